"""Heads as HTTP/1.1 sends them.

Owns the start lines and the fields of one connection: Connection, Upgrade, Transfer-Encoding. Everything end-to-end,
Host and Content-Length included, is in the header block that it is given.
"""

from __future__ import annotations

import re
from functools import lru_cache
from http import HTTPStatus

from tulle_data_plane.wire.grammar import AUTHORITY, TARGET, TOKEN, UPGRADE
from tulle_data_plane.wire.messages import CHUNKED, CHUNKED_BODY, NO_BODY, NONE, UNTIL_CLOSE, UNTIL_CLOSE_BODY, Framing

# RFC 9110 section 6.2: we send our own version, whatever the other side of us speaks.
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class _StatusLines(dict[int, bytes]):
    """By status, made when it first occurs. KeyError outside of 100 to 599."""

    def __missing__(self, status: int) -> bytes:
        if not 100 <= status <= 599:
            raise KeyError(status)
        line = self[status] = f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n".encode()
        return line


_STATUS_LINES = _StatusLines()
_REQUEST_LINE = re.compile(TOKEN + rb" " + TARGET + rb" HTTP/1\.1\r\n")

_CHUNKED_FIELD = b"transfer-encoding: chunked\r\n"
_CLOSE_FIELD = b"connection: close\r\n"

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

LINE_FEED = 10


def encode_request(
    method: str,
    path: str,
    block: bytes,
    framing: Framing,
    extra: bytes = b"",
    *,
    keep_alive: bool = True,
    upgrade: str = "",
) -> bytes:
    """The head of a request. `path` is the target as it goes on the line ("host:port" for CONNECT).

    `block` holds the end-to-end fields, with Content-Length where `framing` is LENGTH; `extra` more such lines.
    Raises ValueError where method, path or upgrade could not go on the wire: a policy may have made them.
    """
    line = _request_line(method, path)
    if framing.kind == CHUNKED:
        extra += _CHUNKED_FIELD
    if upgrade:
        extra += _upgrade_fields(upgrade)
    elif not keep_alive:
        extra += _CLOSE_FIELD
    return b"".join((line, block, extra, b"\r\n"))


def plain_request(method: str, path: str, block: bytes, body: bytes) -> bytes:
    """A whole request, as nearly all are: nothing about its framing but what `block` says. Raises ValueError, too."""
    return b"".join((_request_line(method, path), block, b"\r\n", body))


@lru_cache(maxsize=256)
def _request_line(method: str, path: str) -> bytes:
    line = f"{method} {path} HTTP/1.1\r\n".encode()
    if not _REQUEST_LINE.fullmatch(line) or (method == "CONNECT" and not _host_and_port(path.lower().encode())):
        raise ValueError(f"not a method and a request target: {method[:40]!r} {path[:80]!r}")
    return line


def _host_and_port(authority: bytes) -> bool:
    """RFC 9112 section 3.2.3: authority-form has both."""
    host, _, port = authority.rpartition(b":")
    return bool(host) and port.isdigit() and AUTHORITY.fullmatch(authority) is not None


def encode_response(
    status: int,
    block: bytes,
    framing: Framing,
    keep_alive: bool = True,
    version: str = "1.1",
    extra: bytes = b"",
    *,
    upgrade: str = "",
) -> bytes:
    """The head of an answer to a client that spoke `version`; `framing` comes from `answer_framing`.

    `block` holds the end-to-end fields, with Content-Length where `framing` is LENGTH; `extra` more such lines.
    The connection ends after this answer (and the head says so) unless `keep_alive`. Raises KeyError for a status
    outside 100 to 599, ValueError for chunked coding towards HTTP/1.0.
    """
    if framing.kind == CHUNKED:
        if version == "1.0":  # RFC 9112 section 6.1: MUST NOT
            raise ValueError("HTTP/1.0 has no chunked coding: choose the framing with answer_framing()")
        extra += _CHUNKED_FIELD
    if upgrade:
        extra += _upgrade_fields(upgrade)
    elif (not keep_alive or framing.kind == UNTIL_CLOSE) and status >= 200:
        extra += _CLOSE_FIELD
    return _STATUS_LINES[status] + block + extra + b"\r\n"


_LAST_FIELD = _CLOSE_FIELD + b"\r\n"


def plain_answer(
    status: int, block: bytes, body: bytes, agreed: tuple[bytes, bytes, int] | None = None, keep_alive: bool = True
) -> bytes | None:
    """The whole answer to a plain request, where nothing about it needs care; None: there is something.

    Plain: HTTP/1.1, not HEAD. Without care: there is a body, the status allows one, and `block` says its true length in
    one of the two ways that nearly every server writes it. That need not be looked for where all three are those that
    a server sent and the codec has found to agree (`agreed`): the very objects. `keep_alive`: see `encode_response`.
    """
    last = b"\r\n" if keep_alive else _LAST_FIELD
    if agreed is not None and agreed[0] is block and agreed[1] is body and agreed[2] == status:
        return b"".join((_STATUS_LINES[status], block, last, body))
    if status < 200 or status == 204 or status == 304:
        return None
    length = b"ontent-Length: %d\r\n" % len(body)
    at = block.find(length)
    if at < 0:
        at = block.find(length.lower())
    # the line's beginning: not a field whose name only ends so
    if at < 1 or block[at - 1] not in b"Cc" or (at > 1 and block[at - 2] != LINE_FEED):
        return None
    return b"".join((_STATUS_LINES[status], block, last, body))


def answer_framing(framing: Framing, request_method: str, status: int, version: str) -> Framing:
    """How to frame towards a client of `version` a body that arrived with `framing`.

    What has no body by rule (RFC 9112 section 6.3) gets none; a body of unknown length is chunked, so that its end and
    a broken connection look different, except to a 1.0 client, which knows only the end of the connection.
    """
    if request_method == "HEAD" or status < 200 or status in (204, 304) or framing.kind == NONE:
        return NO_BODY
    if framing.kind in (CHUNKED, UNTIL_CLOSE):
        return UNTIL_CLOSE_BODY if version == "1.0" else CHUNKED_BODY
    return framing


def _upgrade_fields(protocol: str) -> bytes:
    raw = protocol.encode()
    if not UPGRADE.fullmatch(raw):
        raise ValueError(f"not a protocol to upgrade to: {protocol[:40]!r}")
    return b"connection: upgrade\r\nupgrade: " + raw + b"\r\n"
