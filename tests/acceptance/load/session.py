"""A Python `requests` session, as anybody would write it: one connection, kept. Counts strictly; prints JSON.

    session.py URL [--requests 10000] [--most-seconds 120]

`requests` itself tries nothing again unless told to. `connections` is what this process has opened, by Python's own
audit events: the client is left as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.parse
from collections import Counter
from typing import Any

import requests


def _is_connect(event: str, args: tuple[Any, ...], port: int) -> bool:
    return event == "socket.connect" and isinstance(args[1], tuple) and args[1][1] == port


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--most-seconds", type=float, default=120.0)
    options = parser.parse_args()
    served: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    port = urllib.parse.urlsplit(options.url).port or 80
    connects: list[object] = []
    sys.addaudithook(lambda event, args: connects.append(args) if _is_connect(event, args, port) else None)
    began = time.monotonic()
    made = 0
    with requests.Session() as session:
        session.trust_env = False  # proxies of the environment are for another network
        while made < options.requests and time.monotonic() - began < options.most_seconds:
            made += 1
            try:
                answer = session.get(options.url, timeout=10)
                if answer.status_code == 200:
                    served[answer.json()["pod"]] += 1
                else:
                    failures[f"status {answer.status_code} ({answer.headers.get('tulle-reason', '')})"] += 1
            except Exception as error:
                failures[type(error).__name__] += 1
    print(json.dumps({
        "requests": made,
        "failed": sum(failures.values()),
        "failures": dict(failures),
        "complete": made == options.requests,
        "served": dict(served),
        "connections": len(connects),
        "seconds": round(time.monotonic() - began, 2),
    }))


if __name__ == "__main__":
    main()
