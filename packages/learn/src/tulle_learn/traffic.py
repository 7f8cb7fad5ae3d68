"""A client that checks run inside a pod: requests as told on stdin, one JSON line for each answer on stdout.

Standard library only, and no other file of this package: it is executed as a file, by the pod's own user. Owns
nothing but asking; what the answers mean is the check's affair.

    {"url": "http://app-b/", "count": 60, "concurrency": 4, "keep": true, "headers": {}, "method": "GET", "body": "",
     "timeout": 5, "spread": 0}

`url` may be a list: each is asked once, in order, over a connection of its own.

`keep`: each of the `concurrency` workers holds one connection; otherwise every request has one of its own. `spread`:
seconds over which the requests' starts are spread, evenly; 0 is as fast as answers come.
"""

from __future__ import annotations

import http.client
import json
import queue
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit


def ask(connection: http.client.HTTPConnection, spec: dict[str, Any], path: str, number: int) -> dict[str, Any]:
    """One request; what came of it. Never raises."""
    began = time.monotonic()
    headers = {name: value.replace("$N", str(number)) for name, value in spec["headers"].items()}
    try:
        connection.request(spec["method"], path, spec["body"].encode() or None, headers)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        fields: dict[str, str] = {}
        for name, value in answer.getheaders():  # a field may be there several times (RFC 9110 section 5.3)
            fields[name.lower()] = f"{fields[name.lower()]}, {value}" if name.lower() in fields else value
        found = {"status": answer.status, "headers": fields, "text": text}
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        found = {"status": 0, "headers": {}, "text": "", "error": f"{type(error).__name__}: {error}"}
    return {**found, "number": number, "began": began, "seconds": time.monotonic() - began}


def dial(url: str, timeout: float) -> tuple[http.client.HTTPConnection, str]:
    """A connection to a URL's host (made with the first request), and what to ask there."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    return connection, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def main() -> None:
    """Read the order, ask, say each answer at once."""
    spec = json.load(sys.stdin)
    if isinstance(spec["url"], list):
        for number, one in enumerate(spec["url"]):
            connection, path = dial(one, spec["timeout"])
            print(json.dumps(ask(connection, spec, path, number)), flush=True)
            connection.close()
        return
    tasks: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(spec["count"]):
        tasks.put(number)
    begin, lock = time.monotonic(), threading.Lock()

    def work() -> None:
        connection, path = dial(spec["url"], spec["timeout"])
        while True:
            try:
                number = tasks.get_nowait()
            except queue.Empty:
                connection.close()
                return
            if spec["spread"]:
                time.sleep(max(0.0, begin + number * spec["spread"] / spec["count"] - time.monotonic()))
            found = ask(connection, spec, path, number)
            if not spec["keep"]:
                connection.close()
            with lock:
                print(json.dumps(found), flush=True)

    workers = [threading.Thread(target=work) for _ in range(spec["concurrency"])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
