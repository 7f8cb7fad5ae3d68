"""Runs inside of an app's container: requests to one URL over kept connections; prints JSON. Standard library only.

load.py URL REQUESTS CONNECTIONS [AT_LEAST]    REQUESTS 0: until stdin says something and there were AT_LEAST; the
                                               first line is then "asking", once there was an answer
"""

import collections
import http.client
import json
import sys
import threading
import urllib.parse

url, requests, connections = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
at_least = int(sys.argv[4]) if len(sys.argv) > 4 else 0
left, lock, over, begun = requests or 10**9, threading.Lock(), threading.Event(), threading.Event()
statuses, pods, versions, errors = (collections.Counter() for _ in range(4))


def ask():
    """One connection's requests. A connection that the server closed between requests is opened again."""
    global left
    connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=20)
    while True:
        with lock:
            if left <= 0 or (over.is_set() and sum(statuses.values()) + sum(errors.values()) >= at_least):
                break
            left -= 1
        try:
            connection.request("GET", url.path or "/", headers={"Host": url.netloc})
            answer = connection.getresponse()
            text = answer.read()
            body = json.loads(text) if answer.status == 200 else {}
            with lock:
                statuses[str(answer.status)] += 1
                pods[body.get("pod", "")] += 1
                versions[body.get("version", "")] += 1
        except (OSError, http.client.HTTPException, ValueError) as error:
            with lock:
                errors[f"{type(error).__name__}: {error}"] += 1
            connection.close()
        begun.set()
    connection.close()


threads = [threading.Thread(target=ask) for _ in range(connections)]
for thread in threads:
    thread.start()
if not requests:
    begun.wait()
    print("asking", flush=True)
    sys.stdin.readline()
    over.set()
for thread in threads:
    thread.join()
print(json.dumps({"statuses": statuses, "pods": pods, "versions": versions, "errors": errors}))
