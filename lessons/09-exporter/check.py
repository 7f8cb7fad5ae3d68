"""Lesson 9: what the receiver heard, against what the client did."""

import json
import re
from collections import Counter

from tulle_learn.answers import told
from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See

TELL = """
import socket, sys
with socket.create_connection(("127.0.0.1", 9126)) as sock:
    while data := sock.recv(65536):
        sys.stdout.write(data.decode())
"""
LINE = re.compile(r"(\S+) (\d+) count=(\d+) max_ms=(\d+\.\d)")


class Receiver:
    """What it heard since the last `mark`."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh, self.from_line = mesh, 0

    def heard(self) -> list[tuple[int, str]]:
        """(number of the datagram, line)."""
        ran = self.mesh.run("deploy/receiver", self.mesh.python, "-c", TELL)
        return [(number, line) for number, line in json.loads(ran.out or "[]")][self.from_line :]

    def mark(self) -> None:
        """Forget what was."""
        self.from_line += len(self.heard())

    def counts(self) -> Counter[str]:
        """Of well-formed lines: how many by `service status`."""
        counts: Counter[str] = Counter()
        for _, line in self.heard():
            if match := LINE.fullmatch(line):
                counts[f"{match[1]} {match[2]}"] += int(match[3])
        return counts

    def quiet(self, wanted: Counter[str], after: float = 0.0) -> Counter[str]:
        """The counts once all of `wanted` has arrived, or after 4 s; and whatever came `after` that."""
        self.mesh.until(lambda: True if self.counts() >= wanted else None, 4.0)
        if after:
            self.mesh.until(lambda: None, after)
        return self.counts()


def check(mesh: Mesh, see: See) -> None:
    """Counts, form, times, and how often it sends."""
    receiver = Receiver(mesh)
    receiver.mark()
    good = mesh.http("http://server/", 40, concurrency=4)
    bad = mesh.http("http://server/?failure_rate=1", 7)
    want = Counter({"server.demo 200": len(good.good), "server.demo 503": len(bad.bad)})
    counts = receiver.quiet(want, 2.2)  # two more reports: nothing may come again
    heard = receiver.heard()
    wrong = [line for _, line in heard if not LINE.fullmatch(line)]
    see(1, "47 requests, 7 of them failing: what the receiver heard", told(counts) or (f"no line that it understands: {wrong[0]!r}"
        if wrong else "nothing arrived"), told(want), bool(counts), "The mesh is blind: nobody sees that requests fail.")  # fmt: skip
    see(1, "lines that the receiver cannot read", wrong[:2] or "none", "none", not wrong,
        "A format is a contract: NAME STATUS count=N max_ms=N.N, and a line break.")  # fmt: skip
    see(1, "of what was counted, by Service and status", told(counts), told(want), counts == want,
        "A Service is known by its name and its namespace: NAME.NAMESPACE; there may be a `server` in each."
        if any("." not in key.split(" ")[0] for key in counts) else "It also counts what others asked of this pod, Kubernetes' probes among it." if set(counts) - set(want) else
        "Requests are counted again in each report: it has to begin anew." if counts > want else
        "Requests are missing: lost between two reports, or overwritten.")  # fmt: skip

    pod = mesh.pods("server")[0]  # called by its address, not by a Service's: not to be counted
    receiver.mark()
    mesh.http(f"http://{pod.ip}:8080/", 6)
    counts = receiver.quiet(Counter(), 1.5)
    see(1, "six requests to a pod's own address, which is no Service: counted", told(counts) or "none", "none", not counts,
        "exchange.service is None for these.")  # fmt: skip

    receiver.mark()
    # one after the other, so that two slow ones are in one report wherever a second ends, and a quick one is the last in it
    asked = mesh.http(["http://server/?latency_ms=200", "http://server/"] * 5)
    receiver.quiet(Counter({"server.demo 200": 10}))
    times = [float(match[4]) for _, line in receiver.heard() if (match := LINE.fullmatch(line))]
    took = asked.slowest() * 1000
    see(2, "five requests that take 200 ms, and a quick one after each: the longest", f"{max(times, default=0):.1f} ms",
        f"200 to {took:.0f} ms (what the client measured)", 200 <= max(times, default=0) <= took + 60,
        "Seconds were sent as milliseconds." if max(times, default=0) < 2 else
        "The last one was kept, not the longest." if max(times) < 200 else
        "They are added up: max_ms is the longest of them." if max(times) > 380 else "A clock was read at the wrong moment.")  # fmt: skip

    receiver.mark()
    mesh.http("http://server/", 200, concurrency=4)
    counts = receiver.quiet(Counter({"server.demo 200": 200}))
    datagrams = len({number for number, _ in receiver.heard()})
    see(3, "200 requests: how many were counted", told(counts), "200 x server.demo 200", counts["server.demo 200"] == 200,
        "Under load some are lost.")  # fmt: skip
    see(3, "and how many datagrams the receiver got for them", datagrams, "one a second, less than 12", datagrams < 12,
        "Something is sent for each request: the proxy now does twice the work, on the way of every request.")  # fmt: skip
