"""What this pod's own proxy says of itself on its admin port, for the other scripts. Standard library only.

    own_proxy.py [MOST]

`look` is one scrape; `settled` waits until nothing is open any more, and no more is held than MOST (what an earlier
run printed). As a program it prints what `settled` found, as JSON.
"""
from __future__ import annotations

import http.client
import json
import re
import sys
import time

ADMIN = 4191
TIMEOUT = 10.0
_GAUGE = re.compile(r"^tulle_proxy_(\w+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


def look() -> dict[str, float]:
    """tulle_proxy_NAME -> value, over a connection of its own. Raises OSError when nobody answers within 10 s."""
    connection = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=TIMEOUT)
    try:
        connection.request("GET", "/metrics", headers={"connection": "close"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise OSError(f"/metrics answered {answer.status}")
        return {name: float(value) for name, value in _GAUGE.findall(answer.read().decode())}
    finally:
        connection.close()


def held(seen: dict[str, float]) -> dict[str, int]:
    """What must be back at the baseline: tasks, and descriptors but for those that the pool keeps for what comes."""
    return {
        "tasks": int(seen["tasks"]),
        "descriptors": int(seen["open_descriptors"] - seen["pool_idle_connections"]),
        "connections": int(seen["connections_open_outbound"] + seen["connections_open_inbound"]),
        "in_flight": int(seen["requests_in_flight"]),
    }


def settled(most: dict[str, int] | None = None, seconds: float = 10.0) -> dict[str, int]:
    """What it holds once no connection is open, twice in a row the same, and no more than `most` of anything; or what
    it holds after `seconds`.
    """
    until, last = time.monotonic() + seconds, dict[str, int]()
    while True:
        now = held(look())
        enough = most is None or all(now[name] <= value for name, value in most.items())
        if (now == last and not now["connections"] and enough) or time.monotonic() > until:
            return now
        last = now
        time.sleep(0.05)


if __name__ == "__main__":
    print(json.dumps(settled(json.loads(sys.argv[1]) if len(sys.argv) > 1 else None)))
