"""Which protocol a connection speaks, from its first bytes.

Owns the guess. A total function of the bytes: it never raises, looks at no more than `MOST` of them, and answers as
soon as the answer can not change. Whether there is time to wait for more is the caller's affair (detection has a
deadline, then the connection is opaque).

What looks like HTTP but is malformed counts as HTTP, so that the codec refuses it: if it were relayed unread, it and
whatever follows it on its connection would slip past routing and authorization, on to a server that is more generous
(llhttp, in Node and uvicorn, skips bare CR and LF before a request and takes more spaces than one).

Fine here; but a guess is no wall: a client that wants to can begin with something which looks like no HTTP and which a
server answers all the same, such as a method of 100 letters. Where requests are authorized, say what the port speaks
(appProtocol), so that nothing is guessed.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final


class Protocol(Enum):
    """What `detect` can find."""

    HTTP1 = "http/1"
    HTTP2 = "h2"
    TLS = "tls"
    OPAQUE = "opaque"  # anything else: relayed as it is


# RFC 9113 section 3.4: the client connection preface.
HTTP2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MOST: Final = 64
ASTERISK: Final = 0x2A
_LONGEST_METHOD = 32

_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # token, RFC 9110 section 5.6.2
# Nearly every request: a method of letters and a path. A shortcut past the other rules, which say the same of it.
_USUAL: Final = re.compile(rb"[A-Z]{1,32} /")
# What a request target can begin with (RFC 9112 section 3.2): origin-form, absolute-form, asterisk-form.
_TARGETS: Final = (b"/", b"http://", b"https://", b"* ")
# What an authority can be made of (RFC 3986 section 3.2), whether it is a good one or not: authority-form begins so.
_AUTHORITY: Final = re.compile(rb"[0-9A-Za-z\-._~!$&'()*+,;=:%@\[]")
_BLANKS: Final = b" \t"


def detect(first: bytes) -> Protocol | None:
    """The protocol of a connection whose client has sent `first`; None if more bytes are needed to tell."""
    return Protocol.HTTP1 if _USUAL.match(first) else by_rules(first)


def by_rules(first: bytes) -> Protocol | None:
    """As `detect`, without its shortcut."""
    first = first[:MOST]
    if not first:
        return None
    if first[0] == 0x16:
        return _tls(first)
    if HTTP2_PREFACE.startswith(first[: len(HTTP2_PREFACE)]):
        return Protocol.HTTP2 if len(first) >= len(HTTP2_PREFACE) else None
    return _http1(first)


def _tls(first: bytes) -> Protocol | None:
    """RFC 8446 sections 5.1 and 4: a handshake record (22), version 3.x, up to 2**14 bytes, a ClientHello (1)."""
    if len(first) > 1 and first[1] != 3:
        return Protocol.OPAQUE
    if len(first) > 2 and first[2] > 4:
        return Protocol.OPAQUE
    if len(first) > 3 and first[3] > 0x40:
        return Protocol.OPAQUE
    if len(first) > 4 and not 4 <= first[3] << 8 | first[4] <= 0x4000:
        return Protocol.OPAQUE
    if len(first) > 5:
        return Protocol.TLS if first[5] == 1 else Protocol.OPAQUE
    return None


def _http1(first: bytes) -> Protocol | None:
    """RFC 9112 section 3: method, one space, and what a target can begin with; empty lines before it (section 2.2).

    More blanks, and line breaks that are none, are for the codec to refuse.
    """
    rest = first.lstrip(b"\r\n" + _BLANKS)
    undecided = None if len(first) < MOST else Protocol.OPAQUE
    if not rest:
        return undecided
    method = _METHOD.match(rest)
    if method is None or method.end() > _LONGEST_METHOD:
        return Protocol.OPAQUE
    after = rest[method.end() :]
    target = after.lstrip(_BLANKS).lower()
    if after and len(target) == len(after):
        return Protocol.OPAQUE
    if not target:
        return undecided
    if target.startswith(_TARGETS):
        return Protocol.HTTP1
    if (method[0] == b"CONNECT" and _AUTHORITY.match(target)) or (method[0] == b"OPTIONS" and target[0] == ASTERISK):
        return Protocol.HTTP1
    return undecided if any(begin.startswith(target) for begin in _TARGETS) else Protocol.OPAQUE
