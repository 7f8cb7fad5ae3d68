"""What parsers by other people make of the bytes that we send on: h11 (Python) and llhttp (Node's, through httptools).

Owns two readers with one answer, `Said`. Refuses to know our codec: it is what they are to be compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import h11
import httptools

Fields = list[tuple[bytes, bytes]]


class Said(NamedTuple):
    """One message as another parser understands it."""

    start: tuple[bytes, ...]  # (method, target) or (status,)
    fields: Fields  # names in lower case
    body: bytes = b""
    done: bool = False
    rest: bytes | None = None  # after the message; None where the parser can not tell


REFUSED = "refused"


def h11_reads(wire: bytes, answers: str = "", asked_upgrade: str = "", ended: bool = False) -> Said | str | None:
    """A request, or an answer to `answers`. REFUSED, or None while the head is incomplete. `ended`: so has the
    connection."""
    connection = h11.Connection(h11.CLIENT if answers else h11.SERVER, max_incomplete_event_size=1 << 20)
    if answers:
        fields = [("Host", "a")]
        if asked_upgrade:
            fields += [("Connection", "upgrade"), ("Upgrade", asked_upgrade)]
        connection.send(h11.Request(method=answers, target="/" if answers != "CONNECT" else "a:1", headers=fields))
        connection.send(h11.EndOfMessage())
    start: tuple[bytes, ...] | None = None
    fields_seen: Fields = []
    body = b""
    try:
        connection.receive_data(wire)
        if ended:
            connection.receive_data(b"")
        for _ in range(len(wire) + 10):
            event = connection.next_event()
            if isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.Request):
                start, fields_seen = (event.method, event.target), list(event.headers)
            elif isinstance(event, h11.InformationalResponse | h11.Response):
                start, fields_seen = (b"%d" % event.status_code,), list(event.headers)
                if isinstance(event, h11.InformationalResponse):
                    return Said(start, fields_seen, b"", True, connection.trailing_data[0])
            elif isinstance(event, h11.EndOfMessage):
                assert start is not None
                return Said(start, fields_seen, body, True, connection.trailing_data[0])
            else:
                return None if start is None else Said(start, fields_seen, body)
    except h11.RemoteProtocolError:
        return REFUSED
    raise AssertionError("h11 does not come to an end")


# The methods that llhttp knows; it refuses all others, and HTTP/1.1 has no list of methods (RFC 9110 section 9.1).
# fmt: off
LLHTTP_METHODS = frozenset((
    "ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "M-SEARCH", "MERGE",
    "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH",
    "PURGE", "PUT", "QUERY", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK",
    "UNLOCK", "UNSUBSCRIBE",
))
# fmt: on


class _Listener:
    """llhttp's callbacks. Of a connection's messages the first is kept, the others are counted."""

    def __init__(self, start: Callable[[], tuple[bytes, ...]]) -> None:
        self._start = start
        self.start: tuple[bytes, ...] = ()
        self.begun = 0
        self.heads = 0
        self.complete = 0
        self.target = b""
        self.status = 0
        self.fields: Fields = []
        self.trailers: Fields = []
        self.body = b""

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_url(self, url: bytes) -> None:
        if self.begun == 1:
            self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.begun == 1:
            (self.trailers if self.heads else self.fields).append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.heads += 1
        if self.heads == 1:
            self.start = self._start()

    def on_body(self, body: bytes) -> None:
        if self.begun == 1:
            self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


NEXT_REQUEST = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"
NEXT_ANSWER = b"HTTP/1.1 299 Next\r\nContent-Length: 0\r\n\r\n"


def llhttp_reads(wire: bytes, answers: bool = False) -> Said | str | None:
    """A request, or an answer to GET. REFUSED, or None while the head is incomplete.

    llhttp does not say where a message ended, so one may put NEXT_* after it: `rest` is that, if it was understood as
    the next message, and what came after an upgrade; else None. An answer that ends with the connection is not `done`.
    """
    parser: httptools.HttpRequestParser | httptools.HttpResponseParser

    def start() -> tuple[bytes, ...]:
        if isinstance(parser, httptools.HttpRequestParser):
            return parser.get_method(), listener.target
        return (b"%d" % parser.get_status_code(),)

    listener = _Listener(start)
    parser = httptools.HttpResponseParser(listener) if answers else httptools.HttpRequestParser(listener)
    rest: bytes | None = None
    try:
        parser.feed_data(wire)
    except httptools.HttpParserUpgrade as upgraded:
        rest = wire[upgraded.args[0] :]
    except httptools.HttpParserError:
        if not listener.complete:
            return REFUSED
    if not listener.heads:
        return None
    following = NEXT_ANSWER if answers else NEXT_REQUEST
    if rest is None and (listener.begun, listener.complete) == (2, 2) and wire.endswith(following):
        rest = following
    return Said(listener.start, listener.fields, listener.body, listener.complete > 0, rest)
