"""Lesson 1: what a client without a mesh gets, and what anybody on the way can read. Your tally against the truth."""

import json
import secrets
import threading
from collections import Counter
from typing import Any

from tulle_learn.answers import shares
from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See

CALLS = 60


def calls(mesh: Mesh, how: str) -> tuple[dict[str, Any], str]:
    """What observe.py says, and its error if it ends in one."""
    ran = mesh.run("deploy/client", mesh.exercise / "observe.py", "calls", "http://server/", str(CALLS), how)
    return (
        (json.loads(ran.out), "") if ran.code == 0 else ({}, ran.err.strip().splitlines()[-1] if ran.err else "it hung")
    )


def truth(report: dict[str, Any]) -> tuple[int, Counter[str]]:
    """How many failed, and who answered, from the answers themselves."""
    answers = report["answers"]
    return sum(status >= 500 for status, _ in answers), Counter(pod for _, pod in answers)


def close(told: object, true: dict[str, float]) -> bool:
    """Whether shares are right, to the percent."""
    return isinstance(told, dict) and told.keys() == true.keys() and all(abs(told[k] - true[k]) < 0.01 for k in true)


def check(mesh: Mesh, see: See) -> None:
    """One of three servers is broken; then all are well, and the client keeps its connection; then somebody listens."""
    pods = mesh.pods("server")
    mesh.knobs(pods, failure_rate=0)
    mesh.knobs(pods[:1], failure_rate=1, failure_status=500)
    report, error = calls(mesh, "new")
    mesh.knobs(pods, failure_rate=0)
    see(1, "observe.py runs", error or "it does", "a line of JSON", not error, "Your code raised this.")
    failed, by_pod = truth(report)
    told = report.get("failed")
    word = "nothing failed, it says" if not told else f"{told!r}"
    see(
        1,
        f"share of {CALLS} calls that failed while one server of three is broken",
        f"your tally: {word}",
        f"{failed / CALLS:.3f} ({failed} of {CALLS})",
        isinstance(told, int | float) and abs(told - failed / CALLS) < 0.01,
        "`failed` is a share of all calls, between 0 and 1; this is a count."
        if isinstance(told, int | float) and told > 1
        else "Every one of these was an error that a user saw: without a mesh nobody tries another server."
        " (They came with status 500, which counts.)",
    )
    true = {pod: n / CALLS for pod, n in by_pod.items()}
    see(
        1,
        "shares of the servers, a new connection for each call",
        f"your tally: {report.get('shares')}",
        shares(by_pod),
        close(report.get("shares"), true),
        "A failed answer was given by a pod, too, and shares are of all answers.",
    )

    report, _ = calls(mesh, "keep")
    _, by_pod = truth(report)
    true = {pod: n / CALLS for pod, n in by_pod.items()}
    see(
        2,
        "shares of the servers, one connection for all calls",
        f"your tally: {report.get('shares')}",
        f"{shares(by_pod)}; the other servers nothing",
        close(report.get("shares"), true) and len(true) == 1,
        "Kubernetes chooses a server for a connection, not for a request.",
    )

    secret = f"password={secrets.token_hex(6)}"
    heard: list[str] = []

    def listen() -> None:
        ran = mesh.run("node", mesh.exercise / "observe.py", "wire", "5", seconds=7)
        heard.append(ran.out if ran.code == 0 else f"it ended with: {ran.err.strip()[-200:]}")

    ear = threading.Thread(target=listen)
    ear.start()
    while ear.is_alive():  # it may not be listening yet: send again until it has heard something, or has given up
        mesh.http("http://server/", 1, method="POST", body=secret)
        ear.join(0.2)
    found = heard[0]
    see(
        3,
        "what somebody on the node reads of a request's body",
        ("... " if len(found) > 120 else "") + found[-120:] if found else "nothing",
        secret,
        secret in found and "\r\n" not in found.rsplit(secret, 1)[1].strip(" \r\n"),
        "The body is in these packets. If you see parts of it, or garbage before it, a length is wrong by a few bytes."
        if found
        else "Your `carried` found nothing in any packet that passed.",
    )
    line = next(line for line in reversed(found.splitlines()) if secret in line)
    see(
        3,
        "the line with the secret begins where TCP's bytes begin",
        repr(line[:60]),
        repr(secret),
        line.strip("\x00") == secret or line.startswith("POST"),
        "There are header bytes in front of it.",
    )
