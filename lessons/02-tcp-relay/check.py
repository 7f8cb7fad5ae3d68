"""Lesson 2: bytes both ways, half-close, and no connection that outlives its peers. Each story is in programs/dial.py."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See

DIAL = Path(__file__).parent / "programs" / "dial.py"


def tell(mesh: Mesh, story: str, source: str = "deploy/client") -> dict[str, Any]:
    """Let a client do it; what it got."""
    ran = mesh.run(source, DIAL, story, seconds=12)
    return json.loads(ran.out) if ran.out else {"got": "", "error": ran.err[-300:] or "it hung", "seconds": 12}


def outcome(found: dict[str, Any]) -> str:
    """In words."""
    return (
        f"{found['got'].strip() or 'no answer'}{', ' + found['error'] if found['error'] else ''} ({found['seconds']} s)"
    )


def expected(data: bytes) -> str:
    """What the server says of `data`."""
    return f"{len(data)} bytes {hashlib.sha256(data).hexdigest()}"


def check(mesh: Mesh, see: See) -> None:
    """In the order in which a relay grows."""
    found, want = tell(mesh, "short"), expected(b"hello, mesh")
    kind = "The client ended its direction and waits for the answer. "
    if "Timeout" in found["error"] or "timed out" in found["error"]:
        kind += (
            "Nobody ended anything within 4 s: the end (EOF) did not reach the server, or the answer not the client."
        )
    else:
        kind += "Its connection ended without one: the relay closed too early, or sent nothing on."
    see(
        1,
        "11 bytes through your relay, and the server's answer",
        outcome(found),
        want,
        found["got"].strip() == want,
        kind,
    )

    data = bytes(range(256)) * 4096
    found, want = tell(mesh, "large"), expected(data)
    see(
        1,
        "1 MiB through your relay: every byte, in order",
        outcome(found),
        want,
        found["got"].strip() == want,
        "Bytes were lost or cut. receive_some() gives pieces; the end is b'', not a short piece.",
    )

    found = tell(mesh, "many")
    want = " ".join(str(number) for number in range(1, 41))
    see(
        2,
        "40 clients at once",
        f"{len(found['got'].split())} answers, each client its own ({found['seconds']} s)",
        "40 answers",
        found["got"] == want,
        "Connections wait for one another, or are mixed up.",
    )

    found = tell(mesh, "given_up")
    see(
        3,
        "the server ends in the middle, the client hears of it",
        outcome(found),
        "end after 0 bytes, without waiting",
        found["got"] == "end after 0 bytes",
        "The server's end did not reach the client: a real client would show a spinner until its timeout.",
    )

    tell(mesh, "vanish")
    left = mesh.until(lambda: True if tell(mesh, "open_now", "deploy/client")["got"] == "0" else None, 4.0)
    now = tell(mesh, "open_now", "deploy/client")["got"]
    see(
        3,
        "10 clients are killed; connections that the server still holds open",
        now,
        "0",
        left is True,
        "Each killed client leaves a connection behind. A proxy that does this runs out of descriptors within days.",
    )

    found = tell(mesh, "short")
    see(
        3,
        "and the relay still serves",
        outcome(found),
        expected(b"hello, mesh"),
        found["got"].strip() == expected(b"hello, mesh"),
        "One broken connection took the others with it.",
    )
