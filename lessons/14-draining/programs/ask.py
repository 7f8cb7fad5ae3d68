"""Asks the server from inside its own pod, each time over a new connection, until the server has ended.

One JSON line a question: when it was asked (seconds from the beginning), what came, and whether the answer said
`connection: close`. A question every 0.05 s for a page, and one for /ready; answers overlap, since each takes 0.2 s.
"""

import http.client
import json
import threading
import time

BEGIN = time.monotonic()
lock = threading.Lock()


def ask(path: str) -> bool:
    """Whether there was somebody who took the connection."""
    at, closes = time.monotonic() - BEGIN, False
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=15)
    try:
        connection.connect()
    except OSError:
        said = "refused"
    else:
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            said, closes = str(answer.status), (answer.getheader("connection") or "").lower() == "close"
        except (OSError, http.client.HTTPException):
            said = "cut off"
    with lock:
        print(json.dumps({"path": path, "at": at, "ended": time.monotonic() - BEGIN, "said": said, "close": closes}), flush=True)
    return said != "refused"


under_way: list[threading.Thread] = []
refused = 0
while refused < 3 and time.monotonic() - BEGIN < 40:
    under_way.append(threading.Thread(target=ask, args=("/",), daemon=True))
    under_way[-1].start()
    refused = 0 if ask("/ready") else refused + 1
    time.sleep(0.05)
for thread in under_way[-8:]:  # shutdown() may wait for these
    thread.join(1)
