"""What a peer can do wrong, as one exception and one table of reasons.

Owns the slugs. Refuses to know status codes: 400, 414, 431 or 502 depends on who sent the bytes, which a codec
does not know.
"""

from __future__ import annotations

# slug -> what happened, for people. A test checks that each is raised by something.
REASONS: dict[str, str] = {
    "bad-request-line": "the request line is not METHOD SP TARGET SP HTTP/1.x (RFC 9112 section 3)",
    "bad-status-line": "the status line is not HTTP/1.x SP 3DIGIT SP REASON (RFC 9112 section 4)",
    "bad-version": "the HTTP version is neither 1.0 nor 1.1 (RFC 9112 section 2.3)",
    "bad-target": "the request target has none of the four forms (RFC 9112 section 3.2)",
    "bad-field": "a field line is not NAME ':' VALUE CRLF (RFC 9112 section 5)",
    "bare-line-feed": "a line of the head ends in LF without CR (RFC 9112 section 2.2)",
    "bad-host": "Host is missing, repeated, malformed or contradicts the target (RFC 9112 section 3.2)",
    "bad-content-length": "Content-Length is repeated, a list, or not a plain decimal number (RFC 9112 section 6.3)",
    "bad-transfer-encoding": "Transfer-Encoding is not exactly 'chunked', or not allowed here (RFC 9112 section 6.1)",
    "conflicting-framing": "both Content-Length and Transfer-Encoding (RFC 9112 section 6.3)",
    "bad-connection": "Connection is malformed or names a field that must reach the recipient (RFC 9110 section 7.6.1)",
    "bad-upgrade": "Upgrade is malformed, or missing where it is required (RFC 9110 section 7.8)",
    "uri-too-long": "the request line is longer than the limit (RFC 9110 section 15.5.15)",
    "head-too-large": "the head is larger than the limit (RFC 6585 section 5)",
    "too-many-fields": "the head has more fields than the limit (RFC 6585 section 5)",
    "bad-chunk": "a chunk's size, extension or end is malformed (RFC 9112 section 7.1)",
    "chunk-extensions-too-large": "the chunk extensions of one message exceed the limit (RFC 9112 section 7.1.1)",
    "bad-trailer": "the trailer section is malformed (RFC 9112 section 7.1.2)",
    "forbidden-trailer": "a field that frames, routes or authenticates came as a trailer (RFC 9110 section 6.5.1)",
    "trailers-too-large": "the trailer section exceeds the limit",
    "truncated-body": "the connection ended before the body did (RFC 9112 section 8)",
}


LIMITS: dict[str, str] = {
    "uri-too-long": "request_line",
    "head-too-large": "head",
    "too-many-fields": "fields",
    "chunk-extensions-too-large": "chunk_extensions",
    "trailers-too-large": "trailers",
}
"""Of those, the ones that say that a limit was passed, and which one (limits.Limits)."""

limit_hits: dict[str, int] = dict.fromkeys(LIMITS, 0)
"""How often each has been passed in this process, by requests and answers alike."""


class ProtocolError(Exception):
    """A peer broke the protocol. The connection it came on can not be read any further.

    `reason` is a key of `REASONS`, fit for metrics; `detail` says what was found, quoted and cut short, fit for a log.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail or REASONS[reason]}")
        if reason in limit_hits:
            limit_hits[reason] += 1
        self.reason = reason
        self.detail = detail or REASONS[reason]


def quote(data: bytes | bytearray, most: int = 60) -> str:
    """Bytes of a peer for a message: printable, one line, cut short."""
    shown = repr(bytes(data[:most]))[1:]
    return shown if len(data) <= most else f"{shown}..."
