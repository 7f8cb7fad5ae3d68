"""What splicing large bodies saves: CPU time of two whole proxies, one of which copies, in turn, round by round.

    .venv/bin/python packages/data-plane/tests/measure_bodies.py [BYTES [ROUNDS [REQUESTS]]]

Prints the median, least and most of the rounds' ratios (spliced to copied). Loopback, one connection; client and server
on one core, proxies on another. With the policies retry and timeout, as deployed. Not a test: it tells, and judges not.
"""

import os
import socket
import statistics
import subprocess
import sys
import threading
from pathlib import Path

LOCAL = "127.0.1.1"


def serve(size):
    """A server of GET and POST, on a thread a connection; prints its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    body, scratch = b"x" * size, memoryview(bytearray(1 << 20))

    def one(connection):
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                if not (data := connection.recv(65536)):
                    return
                buffer += data
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            if head.startswith(b"POST"):
                got, buffer = len(buffer), b""
                while got < size:
                    got += connection.recv_into(scratch)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + body)

    while True:
        threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()


def proxy(port, way):
    """A whole proxy in front of it; prints its port."""
    sys.path.insert(0, str(Path(__file__).parent))
    import harness
    import trio
    from tulle_api.v1 import discovery_pb2 as pb
    from tulle_data_plane.shell import bulk
    from tulle_plugin_api import load

    if way == "copied":
        bulk.LEAST = 1 << 60

    async def run():
        policies = [
            pb.Policy(type="retry", source="measure", config="{}"),
            pb.Policy(type="timeout", source="measure", config='{"request": "30s"}'),
        ]
        async with harness.mesh(load(kinds=("policy", "balancer"))) as m:
            await m.service(harness.VIP, port, protocol=pb.PROTOCOL_HTTP1, policies=policies)
            m.destinations[LOCAL] = harness.VIP
            print(m.proxy.ports["outbound"], flush=True)
            await trio.sleep_forever()

    trio.run(run)


def load_on(port, method, size, requests):
    """That many exchanges, one after the other."""
    body, scratch = b"x" * size, memoryview(bytearray(1 << 20))
    with socket.create_connection((LOCAL, port)) as client:
        for _ in range(requests):
            data = b""
            if method == "POST":
                client.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size + body)
                while not data.endswith(b"ok"):
                    data += client.recv(65536)
            else:
                client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                while b"\r\n\r\n" not in data:
                    data += client.recv(65536)
                got = len(data.partition(b"\r\n\r\n")[2])
                while got < size:
                    got += client.recv_into(scratch)


def cpu(process):
    """Its user and system nanoseconds; it has one thread."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0])


def started(cores, *words):
    """A copy of this program in another role, and the port that it prints."""
    process = subprocess.Popen([sys.executable, "-OO", __file__, *words], stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, cores)
    return process, int(process.stdout.readline())


def main(size=1 << 20, rounds=7, requests=150):
    """Start all, measure in turn, print."""
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {first})
    server, port = started({first}, "serve", str(size))
    proxies = {way: started(set(others) or {first}, "proxy", str(port), way) for way in ("copied", "spliced")}
    try:
        for method in ("POST", "GET"):
            ratios = []
            for number in range(rounds + 1):
                used = {}
                for way in sorted(proxies, reverse=bool(number % 2)):
                    process, at = proxies[way]
                    before = cpu(process)
                    load_on(at, method, size, requests)
                    used[way] = cpu(process) - before
                if number:  # the first warms up
                    ratios.append(used["spliced"] / used["copied"])
            print(f"{method} of {size} bytes: CPU spliced/copied {statistics.median(ratios):.2f} "
                  f"({min(ratios):.2f} to {max(ratios):.2f}, {rounds} rounds)")
    finally:
        for process, _ in ((server, port), *proxies.values()):
            process.kill()
            process.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    elif sys.argv[1:2] == ["proxy"]:
        proxy(int(sys.argv[2]), sys.argv[3])
    else:
        main(*map(int, sys.argv[1:]))
