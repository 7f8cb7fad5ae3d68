"""Small messages to an echo and back, each connection its next one when the last has returned. Prints JSON.

    pingpong.py IP PORT --seconds 2 --connections 1 [--size 64]

Standard library only.
"""

from __future__ import annotations

import argparse
import gc
import json
import select
import socket
import time

from bench.load.openloop import connect, percentile


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Run. Raises OSError and ValueError when an echo is not what was sent."""
    message = bytes(range(256))[: options.size]
    epoll = select.epoll()
    socks = {}
    for _ in range(options.connections):
        sock = connect(options.ip, options.port)
        sock.sendall(message)
        if sock.recv(options.size, socket.MSG_WAITALL) != message:
            raise ValueError("the echo differs")
        socks[sock.fileno()] = sock
        epoll.register(sock, select.EPOLLIN)
    sent_at: dict[int, float] = {}
    latencies: list[float] = []
    now = time.perf_counter
    began = now()
    until = began + options.seconds
    for descriptor, sock in socks.items():
        sent_at[descriptor] = now()
        sock.send(message)
    while sent_at:
        ready = epoll.poll(10.0)
        if not ready:
            raise ValueError("no echo within 10 s")
        for descriptor, _ in ready:
            sock = socks[descriptor]
            if sock.recv(options.size, socket.MSG_WAITALL) != message:
                raise ValueError("the echo differs")
            at = now()
            latencies.append(at - sent_at.pop(descriptor))
            if at < until:
                sent_at[descriptor] = at
                sock.send(message)
    seconds = now() - began
    latencies.sort()
    return {"operations": len(latencies), "seconds": seconds, "errors": 0,
            "p50": percentile(latencies, 0.5), "p99": percentile(latencies, 0.99)}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ip")
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    gc.disable()
    try:
        print(json.dumps(measure(options)))
    except (OSError, ValueError) as error:
        print(json.dumps({"operations": 0, "seconds": 0.0, "errors": 1, "example": f"{type(error).__name__}: {error}"}))


if __name__ == "__main__":
    main()
