"""Lesson 4: what your proxy took each connection for, how long it waited, and whether every byte arrived."""

import json
from pathlib import Path
from typing import Any

from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See

SPEAK = Path(__file__).parent / "programs" / "speak.py"
GET = r"GET /hello HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"


def speak(mesh: Mesh, port: int, until: str, *pieces: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the client got, and the proxy's log line about it."""
    before = len(lines(mesh))
    ran = mesh.run("deploy/client", SPEAK, str(port), until, *pieces, seconds=8)
    found = json.loads(ran.out) if ran.out else {"got": "", "error": ran.err[-200:] or "it hung", "seconds": 8}
    line = mesh.until(lambda: next(iter(lines(mesh)[before:]), None), 2.0)
    return found, line or {"protocol": "not known: the connection broke, or still waits", "waited": 99, "read": 0}


def lines(mesh: Mesh) -> list[dict[str, Any]]:
    """The proxy's log."""
    return [json.loads(line) for line in mesh.logs("deploy/proxy").splitlines() if line.startswith("{")]


def first(found: dict[str, Any]) -> str:
    """The first line of what came, or why none did."""
    return f"{found['got'].split(chr(13))[0] or 'nothing'}{', ' + found['error'] if found['error'] else ''} ({found['seconds']} s)"


def check(mesh: Mesh, see: See) -> None:
    """HTTP, HTTP in pieces, what is none, a server that speaks first."""
    late = "It waited for the deadline although the first bytes had told it."
    found, line = speak(mesh, 9080, "}", GET)
    see(
        1,
        "a request in one piece: taken for",
        line["protocol"],
        "http/1",
        line["protocol"] == "http/1",
        "As an opaque connection it is relayed, but never routed, retried or measured by request.",
    )
    see(
        2,
        "and its answer",
        first(found),
        "HTTP/1.1 200 OK",
        found["got"].startswith("HTTP/1.1 200"),
        "The bytes that were read to find out did not reach the server.",
    )
    for pieces in (("G", "ET", " ", GET[4:]), ("P", "ROPFIND /x HTTP/1.1\\r\\nHost: web\\r\\nConnection: close\\r\\n\\r\\n"),
                   ("GET h", "ttp://web/hello HTTP/1.1\\r\\nHost: web\\r\\nConnection: close\\r\\n\\r\\n")):  # fmt: skip
        found, line = speak(mesh, 9080, "}", *pieces)
        shown = " | ".join(piece[:12] for piece in pieces)
        see(
            1,
            f"a request in pieces, {shown!r}: taken for",
            line["protocol"],
            "http/1",
            line["protocol"] == "http/1",
            "Only the last piece was looked at: what was read before it is thrown away, and lost for the server, too."
            if found["got"][9:12] in ("", "400")  # the server's status, to what is no request any more
            else "TCP may cut a request anywhere. What is not yet a request may become one.",
        )
        see(
            1, "how long that took to tell", f"{line['waited']} s", "less than the deadline", line["waited"] < 0.8, late
        )
        see(
            2,
            "and its answer",
            first(found),
            "HTTP/1.1 ...",
            found["got"].startswith("HTTP/1.1"),
            "Of the pieces that were read, some did not reach the server, or not in order.",
        )

    for what, piece in (("a TLS handshake", r"\x16\x03\x01\x02\x00\x01"), ("'HELO mesh'", "HELO mesh\\r\\n"),
                        ("'GETAWAY-CAR: 1'", "GETAWAY-CAR: 1\\r\\n"), ("'GET', a space and a tab", "GET \\tx\\r\\n")):  # fmt: skip
        text = piece.encode("latin-1").decode("unicode_escape")
        found, line = speak(mesh, 9025, piece, piece)
        see(
            1,
            f"{what}: taken for",
            line["protocol"],
            "opaque",
            line["protocol"] == "opaque",
            "A codec for HTTP would refuse it, or worse, understand something.",
        )
        see(
            1, "how long that took to tell", f"{line['waited']} s", "less than the deadline", line["waited"] < 0.8, late
        )
        see(
            2,
            "what the server said back",
            repr(found["got"].removeprefix("220 mail.demo ready\r\n")),
            repr(text),
            found["got"].endswith(text),
            "Opaque means: every byte, as it came.",
        )

    found, line = speak(mesh, 9025, "ready")
    see(
        3,
        "the mail server's greeting, on a port that nobody told the proxy about",
        first(found),
        "220 mail.demo ready, when the deadline of 1 s has passed",
        found["got"].startswith("220"),
        "The client waits for the server's first word, the proxy for the client's: for ever. This is the stall.",
    )
    see(
        3,
        "what it waited for the client's first bytes",
        f"{line['waited']} s",
        "about the deadline, 1 s",
        0.9 <= line["waited"] < 2.5,
        "Too short a deadline takes slow clients' HTTP for opaque; too long a one stalls.",
    )
    found, line = speak(mesh, 9025, "GE", "GE")
    see(
        2,
        "a client that says 'GE' and then nothing for a second: what the server got of it",
        repr(found["got"].removeprefix("220 mail.demo ready\r\n")),
        "'GE'",
        found["got"].endswith("GE"),
        "When the deadline came, the bytes that had been read until then were thrown away.",
    )
    found, line = speak(mesh, 25, "ready")
    see(
        3,
        "the same on port 25, which is in OPAQUE_PORTS",
        f"{first(found)}, waited {line['waited']} s",
        "220 mail.demo ready, without waiting",
        found["got"].startswith("220") and line["waited"] < 0.8,
        "Every mail is late by the deadline. What is known need not be guessed.",
    )
