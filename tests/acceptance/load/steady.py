"""Steady HTTP load over kept connections, and a strict count of what failed. Standard library only.

    steady.py URL [--at-least 10000] [--rate 500] [--connections 4] [--most-seconds 120]

Runs until `--at-least` requests were made and standard input has ended (close it to say "enough"). Nothing is ever
tried again: a reset, a timeout, a status other than 200, an answer cut short each are one failed request. Prints JSON.
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

TIMEOUT = 10.0


class Load:
    """Counts of all connections together."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.url = urllib.parse.urlsplit(options.url)
        self.options = options
        self.lock = threading.Lock()
        self.enough = threading.Event()
        self.began = time.monotonic()
        self.requests = 0
        self.opened = 0
        self.failures: Counter[str] = Counter()
        self.examples: list[str] = []
        self.served: Counter[str] = Counter()  # "version pod" -> answers
        self.first_seen: dict[str, float] = {}  # "version pod" -> Unix time of its first answer
        self.last_seen: dict[str, float] = {}
        self.slowest = 0.0

    def over(self) -> bool:
        """Whether no more requests are to be made."""
        late = time.monotonic() - self.began > self.options.most_seconds
        return late or (self.enough.is_set() and self.requests >= self.options.at_least)

    def connection(self, number: int) -> None:
        """One connection's requests, at its share of the rate; a new connection after each failure."""
        pause = self.options.connections / self.options.rate
        due = self.began + pause * number / self.options.connections
        client: http.client.HTTPConnection | None = None
        while not self.over():
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + pause, time.monotonic() - pause)  # what was missed is not made up for in a burst
            if client is None:
                client = http.client.HTTPConnection(self.url.hostname or "", self.url.port or 80, timeout=TIMEOUT)
                with self.lock:
                    self.opened += 1
            if not self.one(client):
                client.close()
                client = None
        if client is not None:
            client.close()

    def one(self, client: http.client.HTTPConnection) -> bool:
        """One request. Whether the connection can be used again."""
        began, kind, who, stays = time.monotonic(), "", "", False
        try:
            client.request("GET", self.url.path or "/")
            answer = client.getresponse()
            body = answer.read()
            stays = not answer.will_close
            if answer.status != 200:
                kind = f"status {answer.status} ({answer.getheader('tulle-reason', 'from the app')})"
            else:
                said = json.loads(body)
                who = f"{said['version']} {said['pod']}"
        except Exception as error:
            kind = type(error).__name__
            stays = False
        self.count(began, kind, who)
        return stays

    def count(self, began: float, kind: str, who: str) -> None:
        """Enter one request's outcome."""
        now = time.monotonic()
        with self.lock:
            self.requests += 1
            self.slowest = max(self.slowest, now - began)
            if kind:
                self.failures[kind] += 1
                if len(self.examples) < 10:
                    self.examples.append(f"{kind} at {now - self.began:.2f} s, after {now - began:.3f} s")
            else:
                self.served[who] += 1
                self.first_seen.setdefault(who, time.time())
                self.last_seen[who] = time.time()

    def report(self) -> dict[str, object]:
        """What came of it. `complete`: as many requests as were asked for were made in time."""
        return {
            "requests": self.requests,
            "failed": sum(self.failures.values()),
            "failures": dict(self.failures),
            "examples": self.examples,
            "complete": self.requests >= self.options.at_least,
            "connections": self.opened,
            "served": dict(self.served),
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
            "slowest_seconds": round(self.slowest, 4),
            "seconds": round(time.monotonic() - self.began, 2),
        }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--at-least", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second, all connections together")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--most-seconds", type=float, default=120.0)
    load = Load(parser.parse_args())

    def wait_for_enough() -> None:
        sys.stdin.read()
        load.enough.set()

    threading.Thread(target=wait_for_enough, daemon=True).start()
    workers = [threading.Thread(target=load.connection, args=(n,)) for n in range(load.options.connections)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(json.dumps(load.report()), flush=True)


if __name__ == "__main__":
    main()
