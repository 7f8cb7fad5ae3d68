"""Requests at a rate over kept connections, and when each was admitted. Standard library only.

    quota.py URL [--rate 300] [--connections 12] [--most-seconds 60]

Runs until standard input has ended. 200 is admitted, 429 with `tulle-reason: quota-exhausted` is refused, anything else
failed. Prints JSON: the Unix times at which admitted requests were answered, and counts of the rest.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import threading
import time
import urllib.parse
from collections import Counter


class Load:
    """What came of all connections together."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.url = options, urllib.parse.urlsplit(options.url)
        self.lock, self.enough, self.began = threading.Lock(), threading.Event(), time.monotonic()
        self.admitted: list[float] = []
        self.refused = 0
        self.failed: Counter[str] = Counter()

    def connection(self, number: int) -> None:
        """One connection's requests, at its share of the rate."""
        pause = self.options.connections / self.options.rate
        due, client = self.began + pause * number / self.options.connections, None
        while not self.enough.is_set() and time.monotonic() - self.began < self.options.most_seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + pause, time.monotonic() - 1)  # a machine that was busy makes up for a second at most
            client = client or http.client.HTTPConnection(self.url.hostname or "", self.url.port or 80, timeout=10)
            if not self.one(client):
                client.close()
                client = None

    def one(self, client: http.client.HTTPConnection) -> bool:
        """One request. Whether the connection can be used again."""
        try:
            client.request("GET", self.url.path or "/")
            answer = client.getresponse()
            answer.read()
        except Exception as error:
            with self.lock:
                self.failed[type(error).__name__] += 1
            return False
        reason = answer.getheader("tulle-reason", "from the app")
        with self.lock:
            if answer.status == 200:
                self.admitted.append(time.time())
            elif (answer.status, reason) == (429, "quota-exhausted"):
                self.refused += 1
            else:
                self.failed[f"{answer.status} ({reason})"] += 1
        return not answer.will_close


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--connections", type=int, default=12)
    parser.add_argument("--most-seconds", type=float, default=60.0)
    load = Load(parser.parse_args())
    workers = [threading.Thread(target=load.connection, args=(n,)) for n in range(load.options.connections)]
    for worker in workers:
        worker.start()
    threading.Thread(target=lambda: (sys.stdin.read(), load.enough.set()), daemon=True).start()
    for worker in workers:
        worker.join()
    print(json.dumps({"admitted": sorted(load.admitted), "refused": load.refused, "failed": load.failed}), flush=True)


if __name__ == "__main__":
    main()
