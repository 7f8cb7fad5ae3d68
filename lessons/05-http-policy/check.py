"""Lesson 5: which fields reach the server, what the client gets back, and what never reaches the server."""

import hashlib
import re

from tulle_learn.answers import Answer
from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See

FIELD = "x-forwarded-team"


def one(mesh: Mesh, path: str, **how: object) -> Answer:
    """One request of the client's."""
    found = mesh.http(f"http://server{path}", **how)  # type: ignore[arg-type]
    return next(iter(found), Answer(0, error="the client did not get to ask"))


def fields(answer: Answer, name: str) -> list[str]:
    """What the server got under a name."""
    return [value for key, value in answer.json.get("fields", []) if key.lower() == name]


def served(mesh: Mesh) -> int:
    """How many requests the server had, asked from outside of the mesh."""
    return int(next(iter(mesh.http("http://server.demo/served", source="node"))).json["served"])


def check(mesh: Mesh, see: See) -> None:
    """The request, the answer, the refusal."""
    answer = one(mesh, "/hello", headers={"X-Forwarded-Team": "forged", "X-Other": "kept"})
    got = fields(answer, FIELD)
    see(
        1,
        f"a request whose client wrote `{FIELD}: forged`: what the server got",
        f"{got} ({answer.outcome})",
        ["blue"],
        got == ["blue"],
        "Who can write the field himself can be anybody: the server believes it."
        if "forged" in got
        else "Your policy raised: to the client that is a 500." if answer.status == 500
        else "The server does not learn who asks.",
    )
    see(
        1,
        "the client's other fields",
        fields(answer, "x-other"),
        ["kept"],
        fields(answer, "x-other") == ["kept"],
        "What a policy does not own it leaves alone.",
    )
    body = "b" * 300_000
    answer = one(mesh, "/upload", method="POST", body=body)
    want = hashlib.sha256(body.encode()).hexdigest()
    see(
        1,
        "a body of 300,000 bytes, and its field",
        f"{answer.json.get('bytes')} bytes, {fields(answer, FIELD)}",
        "300000 bytes, ['blue']",
        answer.json.get("sha256") == want and fields(answer, FIELD) == ["blue"],
        "Bodies stream past a policy; it has no need to touch them.",
    )

    answer = one(mesh, "/slow")
    told = answer.headers.get("server-timing", "")
    match = re.fullmatch(r"mesh;dur=(\d+(?:\.\d+)?)", told)
    took = answer.seconds * 1000
    see(
        2,
        "an answer that takes the server 200 ms: its server-timing field",
        told or "none",
        f"mesh;dur=N, N between 200 and {took:.0f} (what the client measured)",
        match is not None and 200 <= float(match[1]) <= took + 60,
        "That is next to nothing: seconds instead of milliseconds, or both times were read before the answer."
        if match and float(match[1]) < 2
        else "The clock was read too late, or too early: before and after `await next`."
        if match
        else "Browsers and dashboards read this field; without it nobody sees where the time went.",
    )
    timings = one(mesh, "/timed").headers.get("server-timing", "")
    see(
        2,
        "an answer to which the server itself gave a server-timing field: all that it says",
        timings or "none",
        "db;dur=1.5 and mesh;dur=N",
        "db;dur=1.5" in timings and "mesh;dur=" in timings,
        "What the server measured is gone: a field of that name may be there several times, and set() leaves one.",
    )

    before = served(mesh)
    answers = [one(mesh, path) for path in ("/private", "/private/keys", "/private?x=1")]
    said = ", ".join(answer.outcome for answer in answers)
    see(
        3,
        "/private, /private/keys and /private?x=1",
        said,
        "403 not-yours, each",
        all(answer.status == 403 and answer.headers.get("tulle-reason") == "not-yours" for answer in answers),
        "A private page went out."
        if any(answer.status == 200 for answer in answers)
        else "Refused(status, reason, detail) is what the proxy makes a clean answer of; any other exception is a 5xx.",
    )
    after = served(mesh)
    see(
        3,
        "requests that the server had meanwhile",
        after - before,
        0,
        after == before,
        "It was asked first and refused afterwards: what a POST does would have been done.",
    )
    answer = one(mesh, "/privateer")
    see(
        3,
        "/privateer, which is another page",
        answer.outcome,
        "200",
        answer.status == 200,
        "A prefix is not a path: the comparison has to end at a slash.",
    )
