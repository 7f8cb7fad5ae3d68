"""The words in which codecs and shell talk about messages, whatever version of HTTP carried them.

Owns the shape of a head. Refuses to know how it was parsed (`request`, `response`) or what will be done with it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tulle_plugin_api import Headers

# How a body is framed: the four kinds.
NONE: Final = 0  # no body
LENGTH: Final = 1  # exactly `length` bytes (may be 0: then the sender said so)
CHUNKED: Final = 2  # unknown length, the end is marked: chunked coding, or END_STREAM in HTTP/2
UNTIL_CLOSE: Final = 3  # answers of HTTP/1 only: the body ends where the connection ends


class Framing(NamedTuple):
    """Where the body ends. `length` is in bytes, 0 unless `kind` is LENGTH."""

    kind: int
    length: int


NO_BODY: Final = Framing(NONE, 0)
CHUNKED_BODY: Final = Framing(CHUNKED, 0)
UNTIL_CLOSE_BODY: Final = Framing(UNTIL_CLOSE, 0)


class RequestHead:
    """A request without its body. Shared by all requests with the same bytes; nobody changes one."""

    __slots__ = (
        "authority", "block", "expect_continue", "framing", "keep_alive", "method", "path", "secret", "target",
        "te_trailers", "upgrade", "version",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        target: str,
        path: str,
        authority: str,
        version: str,
        block: bytes,
        framing: Framing,
        keep_alive: bool,
        upgrade: str = "",
        expect_continue: bool = False,
        te_trailers: bool = False,
        secret: bool = False,
    ) -> None:
        self.method = method  # as sent; methods are case-sensitive (RFC 9110 section 9.1)
        self.target = target  # as sent, for logs
        self.path = path  # origin form: "/cart?x=1"; "*" for OPTIONS *; "" for CONNECT
        self.authority = authority  # lower case; of the target if it has one, else of Host; "" if there is neither
        self.version = version  # "1.1" or "1.0"
        self.block = block  # the lines of end-to-end fields, Content-Length among them, and always one Host
        self.framing = framing
        self.keep_alive = keep_alive  # the client lets us use its connection again
        self.upgrade = upgrade  # "websocket" and the like, lower case; "" for none
        self.expect_continue = expect_continue  # the client waits for 100 before it sends the body
        self.te_trailers = te_trailers  # the client said "TE: trailers": it reads trailers
        self.secret = secret  # a field lets its owner in: not to be remembered

    @property
    def headers(self) -> Headers:
        """The fields, anew each time: whoever asks may change them."""
        return Headers(self.block)

    def __repr__(self) -> str:
        return f"RequestHead({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


class ResponseHead:
    """An answer without its body; an interim one (1xx) when `informational`. Shared, as RequestHead is."""

    __slots__ = ("block", "framing", "informational", "keep_alive", "length", "secret", "status", "upgrade", "version")

    def __init__(
        self,
        status: int,
        version: str,
        block: bytes,
        framing: Framing,
        keep_alive: bool,
        upgrade: str = "",
        informational: bool = False,
        secret: bool = False,
    ) -> None:
        self.status = status  # 100 to 599
        self.version = version
        self.block = block  # the lines of end-to-end fields
        self.framing = framing
        self.length = framing.length if framing.kind == LENGTH else -1  # of the body; -1: only reading it tells
        self.keep_alive = keep_alive  # the server will read another request on this connection after this body
        self.upgrade = upgrade  # of a 101: the protocol agreed on; of a 426: those demanded; lower case
        self.informational = informational  # 1xx but 101: the final answer is still to come
        self.secret = secret  # a field lets its owner in: not to be remembered

    @property
    def headers(self) -> Headers:
        """The fields, anew each time: whoever asks may change them."""
        return Headers(self.block)

    def __repr__(self) -> str:
        return f"ResponseHead({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"
