"""Requests at a steady rate, whether or not earlier ones were answered: an open loop. Prints JSON.

    openloop.py IP PORT --rate 2000 --seconds 5 --connections 16 [--path /]

Arrivals are random (a Poisson process, the same for each seed), and a latency counts from the moment at which the
request was *due*: one that found all connections busy waits in a queue, and its wait counts. (A closed loop sends
nothing while it waits, and so leaves out just the bad moments: "coordinated omission".) `late` is the share of
requests sent more than a millisecond after they were due though a connection was free: the client's own fault.

select(2) rather than epoll: its timeouts are in microseconds, epoll's in milliseconds. Standard library only.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import random
import select
import socket
import time
from collections import deque

PR_SET_TIMERSLACK = 29  # prctl(2)


def percentile(ordered: list[float], share: float) -> float:
    """The value that `share` of a sorted list do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def connect(ip: str, port: int) -> socket.socket:
    """One kept connection, used once, so that the first measured request finds all set up."""
    sock = socket.create_connection((ip, port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def whole(data: bytes) -> bool:
    """Whether `data` is a whole answer. Raises ValueError when it is not one of 200 with a length."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return False
    at = head.lower().find(b"content-length:")
    if not head.startswith(b"HTTP/1.1 200 ") or at < 0:
        raise ValueError(f"answered {head[:200]!r}")
    return len(body) >= int(head[at + 15 :].split(b"\r\n", 1)[0])


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Run. Raises OSError and ValueError for any request that is not answered with 200."""
    request = (f"GET {options.path} HTTP/1.1\r\nHost: app\r\nUser-Agent: tulle-bench\r\nAccept: */*\r\n\r\n").encode()
    idle = [connect(options.ip, options.port) for _ in range(options.connections)]
    for sock in idle:
        sock.sendall(request)
        data = b""
        while not whole(data):
            data += sock.recv(65536)
        sock.setblocking(False)
    chance, count = random.Random(options.seed), int(options.rate * options.seconds)
    now = time.perf_counter
    began = due = now() + 0.01
    waiting: deque[float] = deque()
    busy: dict[socket.socket, float] = {}
    partial: dict[socket.socket, bytes] = {}
    latencies: list[float] = []
    made = late = 0
    while len(latencies) < count:
        time_now = now()
        while made < count and due <= time_now:
            waiting.append(due)
            late += bool(idle) and time_now - due > 0.001
            due += chance.expovariate(options.rate)
            made += 1
        while waiting and idle:
            sock = idle.pop()
            busy[sock] = waiting.popleft()
            sock.send(request)
        pause = max(0.0, due - now()) if made < count else 10.0
        ready = select.select(busy, (), (), pause)[0]
        if not ready and made == count:
            raise ValueError(f"{len(busy)} requests were not answered within 10 s")
        for sock in ready:
            data = sock.recv(65536)
            if not data:
                raise ValueError("closed without an answer")
            if sock in partial:
                data = partial.pop(sock) + data
            if whole(data):
                latencies.append(now() - busy.pop(sock))
                idle.append(sock)
            else:
                partial[sock] = data
    seconds = now() - began
    latencies.sort()
    return {
        "operations": count, "seconds": seconds, "errors": 0, "late": late / count,
        "p50": percentile(latencies, 0.5), "p99": percentile(latencies, 0.99), "p999": percentile(latencies, 0.999),
        "max": latencies[-1],
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ip")
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--path", default="/")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)  # sleeps end when they should, not up to 50 us later
    gc.disable()
    try:
        print(json.dumps(measure(options)))
    except (OSError, ValueError) as error:
        print(json.dumps({"operations": 0, "seconds": 0.0, "errors": 1, "example": f"{type(error).__name__}: {error}"}))


if __name__ == "__main__":
    main()
