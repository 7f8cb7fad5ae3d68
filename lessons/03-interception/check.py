"""Lesson 3: which connections your proxy got, where it thinks that they were going, and which it must not get."""

import json
from typing import Any

from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See

SERVER = "10.96.77.77:80"


class Log:
    """The proxy's log, from where it was looked at last."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh, self.read = mesh, 0
        self.new()

    def new(self) -> list[dict[str, Any]]:
        """Lines since the last time."""
        lines = [line for line in self.mesh.logs("deploy/app", "proxy").splitlines() if line.startswith("{")]
        found = [json.loads(line) for line in lines[self.read :]]
        self.read = len(lines)
        return [one for one in found if "failed" not in one]  # that line is the second one of its connection


def told(lines: list[dict[str, Any]]) -> str:
    """In words, not too many."""
    if not lines:
        return "nothing: it never saw a connection"
    text = "; ".join(f"{one['direction']} to {one.get('destination', '?')}" for one in lines[:4])
    return f"{len(lines)} connections: {text}{' ...' if len(lines) > 4 else ''}"


def check(mesh: Mesh, see: See) -> None:
    """Out, in, and the exceptions; each is one request, and what the proxy logged meanwhile."""
    app = mesh.pods("app")[0]
    log = Log(mesh)

    answers = mesh.http("http://server/", source="deploy/app", keep=False, timeout=3)
    lines = log.new()
    see(
        1,
        "the app's call to http://server/: what the proxy logged",
        told(lines),
        f"1 connection: outbound to {SERVER}",
        bool(lines),
        "The connection went straight to the server. Without an OUTPUT rule the mesh is not there at all.",
    )
    see(
        2,
        "and how many connections that call became",
        len(lines),
        1,
        len(lines) == 1,
        "The connections that the proxy itself opens are captured again, and again: a loop. In production "
        "this takes a node down within seconds.",
    )
    see(
        1,
        "where that connection was going, as your `destination` reads it",
        f"{lines[0]['direction']} to {lines[0].get('destination')}",
        f"outbound to {SERVER}",
        f"{lines[0]['direction']} to {lines[0].get('destination')}" == f"outbound to {SERVER}",
        "A proxy that reads this wrong sends every request to the wrong place. Ports are in network byte order."
        if lines[0]["direction"] == "outbound"
        else "It came in by the wrong port: the proxy takes the app's own calls for calls to the app.",
    )
    see(
        1,
        "the app's answer from the server, through your proxy",
        answers.outcomes(),
        "1 x 200",
        len(answers.good) == 1,
        "It was captured, and did not arrive.",
    )

    answers = mesh.http(f"http://{app.ip}:8080/", source="deploy/client", keep=False, timeout=3)
    lines = log.new()
    want = f"inbound to {app.ip}:8080"
    see(
        3,
        "a call from the client's pod to the app: what the proxy logged",
        told(lines),
        f"1 connection: {want}",
        len(lines) == 1 and f"{lines[0]['direction']} to {lines[0].get('destination')}" == want,
        "Calls to this pod pass its proxy by: nothing is measured, nobody is refused."
        if not lines
        else "It went through the wrong port, or more than once.",
    )
    see(3, "and the client's answer", answers.outcomes(), "1 x 200", len(answers.good) == 1, "Captured, but lost.")

    answers = mesh.http("http://127.0.0.1:8080/", source="deploy/app", keep=False, timeout=3)
    lines = log.new()
    see(
        2,
        "the app calls itself over loopback: what the proxy logged",
        told(lines),
        "nothing",
        not lines,
        "What the containers of a pod say to one another has no business in the mesh, and a proxy at 127.0.0.1 that "
        "gets its own admin calls soon loops.",
    )
    see(2, "and its answer", answers.outcomes(), "1 x 200", len(answers.good) == 1, "Loopback is broken in this pod.")

    answers = mesh.http(f"http://{app.ip}:4191/ready", source="node", keep=False, timeout=3)
    lines = log.new()
    see(
        3,
        "a probe of the proxy's admin port 4191: what the proxy logged",
        told(lines),
        "nothing",
        not lines,
        "Kubernetes asks this port whether the proxy lives. Asked through the proxy, the answer is worth nothing.",
    )
    see(
        3,
        "and the probe's answer",
        answers.outcomes(),
        "1 x 200",
        len(answers.good) == 1,
        "The pod would never become ready.",
    )
