"""The head of an HTTP/1.x request, from bytes.

Owns the request line and the rules that need both line and fields. Refuses to know the body. `parse_request` is a
function of its arguments; `RequestParser` remembers what it said of heads that repeat.
"""

from __future__ import annotations

import re

from tulle_data_plane.wire.errors import ProtocolError, quote
from tulle_data_plane.wire.facts import REQUEST_FIELDS, Facts, without_fields
from tulle_data_plane.wire.faults import line_fault
from tulle_data_plane.wire.grammar import REQUEST_LINE
from tulle_data_plane.wire.limits import DEFAULT_LIMITS, Limits
from tulle_data_plane.wire.memory import Memory, Repeats
from tulle_data_plane.wire.messages import CHUNKED, NONE, RequestHead
from tulle_data_plane.wire.target import resolve

_memory = Memory(REQUEST_FIELDS)
_match_line = REQUEST_LINE.match
_facts = _memory.facts
_OTHER_VERSION = re.compile(rb"[^ ]+ [^ ]+ HTTP/[0-9]+(?:\.[0-9]+)?\r\n")


def parse_request(head: bytes, limits: Limits = DEFAULT_LIMITS) -> RequestHead:
    """A complete head as `find_head_end` delimits it, empty line included; raises ProtocolError."""
    line = _match_line(head)
    if line is None:
        raise _refusal(head, limits)
    raw_method, raw_target, minor = line.groups()
    section_start = line.end()
    if section_start > limits.request_line:  # perhaps too long: the exact count, without CRLF
        error = line_fault(head, 0, len(head), limits.request_line, "uri-too-long")
        if error is not None:
            raise error
    try:
        facts, block = _facts(head[section_start:], limits)
    except ProtocolError as error:
        raise line_fault(head, 0, len(head), limits.request_line, "uri-too-long") or error from None
    method, target = raw_method.decode(), raw_target.decode()
    if minor == b"0":
        return _version_10(method, target, facts, block)
    host = facts.host
    if host is None:  # RFC 9112 section 3.2: a server MUST answer 400 to a 1.1 request without Host
        raise ProtocolError("bad-host", "no Host field in an HTTP/1.1 request")
    framing = facts.framing
    if target[0] == "/" and method != "CONNECT":
        path = target  # origin-form: nearly every request
    else:
        path, host = resolve(method, target, host)
        if method == "CONNECT":
            return _connect(target, host, "1.1", block, facts)
    return RequestHead(
        method,
        target,
        path,
        host,
        "1.1",
        block,
        framing,
        not facts.close,  # RFC 9112 section 9.3
        facts.upgrade,
        facts.expect_continue and framing.kind != NONE,  # RFC 9110 section 10.1.1: not without a body
        facts.te_trailers,
        facts.secret,
    )


class RequestParser:
    """Parses requests with the same limits, whatever connection they come on; much quicker where heads repeat."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._heads: Repeats[RequestHead] = Repeats()
        self.known = self._heads.known
        """Heads that have repeated, by their bytes: a shortcut past `parse`, and past `find_head_end` as well."""

    def parse(self, head: bytes) -> RequestHead:
        """As `parse_request`."""
        parsed = self.known.get(head)
        if parsed is None:
            parsed = parse_request(head, self.limits)
            if not parsed.secret:
                self._heads.note(head, parsed)
        return parsed


def _version_10(method: str, target: str, facts: Facts, block: bytes) -> RequestHead:
    """HTTP/1.0: no chunked coding, no Upgrade, no Expect, Host optional, and never keep-alive.

    RFC 9112 section 9.3: a proxy does not keep a connection with a 1.0 client, whose "keep-alive" may have been passed
    on blindly by a proxy before us (appendix C.2.2).
    """
    if facts.framing.kind == CHUNKED:  # RFC 9112 section 6.1: treat the framing as faulty
        raise ProtocolError("bad-transfer-encoding", "HTTP/1.0 has no Transfer-Encoding")
    path, authority = resolve(method, target, facts.host)
    block = without_fields(block, [b"expect"])  # RFC 9110 section 10.1.1: ignored in 1.0, and not passed on
    if facts.host is None:  # whoever forwards this in HTTP/1.1 needs one, even an empty one (RFC 9112 section 3.2)
        block = b"Host: " + authority.encode("ascii") + b"\r\n" + block
    if method == "CONNECT":
        return _connect(target, authority, "1.0", block, facts)
    return RequestHead(
        method, target, path, authority, "1.0", block, facts.framing, keep_alive=False, secret=facts.secret
    )


def _connect(target: str, authority: str, version: str, block: bytes, facts: Facts) -> RequestHead:
    """RFC 9110 section 9.3.6: CONNECT has no content. Some read what it announces all the same, to others it is the
    tunnel's first bytes (llhttp, for one): so it is refused.

    The connection carries no other request: it becomes a tunnel, or ends with the answer that declines it. A client
    that did not wait for the answer may have sent the tunnel's first bytes, and these, which it lets somebody else
    choose, must never be read as a request. Upgrade says nothing here: the request is for a tunnel already.
    """
    framing = facts.framing
    if framing.length or framing.kind == CHUNKED:
        reason = "bad-transfer-encoding" if framing.kind == CHUNKED else "bad-content-length"
        raise ProtocolError(reason, "CONNECT has no body")
    return RequestHead("CONNECT", target, "", authority, version, block, framing, keep_alive=False, secret=facts.secret)


def _refusal(head: bytes, limits: Limits) -> ProtocolError:
    """Why a head has no acceptable request line: the slow path, once we know that it has none."""
    error = line_fault(head, 0, len(head), limits.request_line, "uri-too-long")
    if error is not None:
        return error
    start = 2 if head.startswith(b"\r\n") else 0
    line = head[start : head.find(b"\n", start) + 1]
    if _OTHER_VERSION.fullmatch(line) and not line.endswith((b" HTTP/1.1\r\n", b" HTTP/1.0\r\n")):
        return ProtocolError("bad-version", f"only HTTP/1.1 and HTTP/1.0 are spoken here: {quote(line[-12:])}")
    return ProtocolError("bad-request-line", f"not METHOD SP TARGET SP HTTP/1.1: {quote(line)}")
