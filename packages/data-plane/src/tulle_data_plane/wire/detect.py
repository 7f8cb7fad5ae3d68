"""Which protocol a connection speaks, from its first bytes.

Owns the guess. A total function of the bytes: it never raises, looks at no more than `MOST` of them, and answers as
soon as the answer can not change. Whether there is time to wait for more is the caller's affair (detection has a
deadline, then the connection is opaque).

What looks like HTTP but is malformed counts as HTTP, so that the codec refuses it: if it were relayed unread, a request
with a strange method or a line break before it would slip past routing and authorization.
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
_LONGEST_METHOD = 32

_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # token, RFC 9110 section 5.6.2
# What a request target can begin with (RFC 9112 section 3.2): origin-form, absolute-form, asterisk-form.
_TARGETS: Final = (b"/", b"http://", b"https://", b"* ")
_HOST: Final = re.compile(rb"[0-9A-Za-z\[]")  # authority-form begins so


def detect(first: bytes) -> Protocol | None:
    """The protocol of a connection whose client has sent `first`; None if more bytes are needed to tell."""
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
    """RFC 9112 section 3: method, one space, and what a target can begin with; empty lines before it (section 2.2)."""
    start = 0
    while first.startswith(b"\r\n", start):
        start += 2
    rest = first[start:]
    undecided = None if len(first) < MOST else Protocol.OPAQUE
    if rest in (b"", b"\r"):
        return undecided
    method = _METHOD.match(rest)
    if method is None or method.end() > _LONGEST_METHOD:
        return Protocol.OPAQUE
    target = rest[method.end() + 1 :].lower()
    if rest[method.end() : method.end() + 1] not in (b" ", b""):
        return Protocol.OPAQUE
    if not target:
        return undecided
    if target.startswith(_TARGETS) or (method[0] == b"CONNECT" and _HOST.match(target)):
        return Protocol.HTTP1
    return undecided if any(begin.startswith(target) for begin in _TARGETS) else Protocol.OPAQUE
