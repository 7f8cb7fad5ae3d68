"""The head of an HTTP/1.x answer, from bytes.

Owns the status line and where the body of an answer ends. As strict as `request`: an upstream that is ambiguous could
poison what the next client on its connection is told. `parse_response` is a function of its arguments;
`ResponseParser` remembers what it said of heads that repeat.
"""

from __future__ import annotations

from tulle_data_plane.wire.errors import ProtocolError, quote
from tulle_data_plane.wire.facts import RESPONSE_FIELDS, Facts, without_fields
from tulle_data_plane.wire.faults import line_fault
from tulle_data_plane.wire.grammar import STATUS_LINE
from tulle_data_plane.wire.limits import DEFAULT_LIMITS, Limits
from tulle_data_plane.wire.memory import Memory, Repeats
from tulle_data_plane.wire.messages import CHUNKED, NO_BODY, NONE, UNTIL_CLOSE, UNTIL_CLOSE_BODY, Framing, ResponseHead

_memory = Memory(RESPONSE_FIELDS)
_match_line = STATUS_LINE.match
_facts = _memory.facts


def parse_response(
    head: bytes, request_method: str, limits: Limits = DEFAULT_LIMITS, asked_upgrade: str = ""
) -> ResponseHead:
    """A complete head as `find_head_end` delimits it, of the answer to a `request_method`; raises ProtocolError.

    `asked_upgrade`: the `upgrade` that the request went out with; a 101 to anything else is refused.
    """
    line = _match_line(head)
    if line is None:
        raise _refusal(head, limits)
    minor, raw_status = line.groups()
    section_start = line.end()
    if section_start > limits.request_line:
        error = line_fault(head, 0, len(head), limits.request_line, "bad-status-line")
        if error is not None:
            raise error
    try:
        facts, block = _facts(head[section_start:], limits)
    except ProtocolError as error:
        raise line_fault(head, 0, len(head), limits.request_line, "bad-status-line") or error from None
    status = int(raw_status)
    framing = facts.framing
    if minor == b"0" and framing.kind == CHUNKED:  # RFC 9112 section 6.1: treat the framing as faulty
        raise ProtocolError("bad-transfer-encoding", "HTTP/1.0 has no Transfer-Encoding")
    # RFC 9112 section 6.3, in its order: first what never has a body, whatever the fields say.
    if status < 200 or status == 204:
        block = _without_length(facts, block, status)
        framing = NO_BODY
    elif request_method == "HEAD" or status == 304:
        framing = NO_BODY  # Content-Length tells how long the body would have been, and is passed on
    elif request_method == "CONNECT" and status < 300:
        _no_answer_instead(facts)  # a tunnel begins
        framing = NO_BODY
    elif framing.kind == NONE:
        framing = UNTIL_CLOSE_BODY
    upgrade = ""
    if status == 101:
        upgrade = _agreed(facts.upgrade, asked_upgrade)
    elif status == 426:  # Upgrade Required says to what (RFC 9110 section 15.5.22)
        upgrade = facts.upgrade
    keep_alive = not facts.close if minor == b"1" else facts.persist and not facts.close  # RFC 9112 section 9.3
    return ResponseHead(
        status,
        "1.1" if minor == b"1" else "1.0",
        block,
        framing,
        keep_alive and framing.kind != UNTIL_CLOSE,
        upgrade,
        status < 200 and status != 101,
        facts.secret,
    )


class ResponseParser:
    """Parses answers with the same limits, whatever connection they come on; much quicker where heads repeat."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._heads: Repeats[ResponseHead] = Repeats()
        self.known = self._heads.known
        """Final answers' heads that have repeated, by their bytes. They hold for a request without Upgrade whose
        method is neither HEAD nor CONNECT."""
        self.usual_end = 0
        """Where the last answer's head ended. That of the next one mostly ends there, too: if what comes before is a
        known head, whole, its end need not be searched for."""

    def parse(self, head: bytes, request_method: str, asked_upgrade: str = "") -> ResponseHead:
        """As `parse_response`."""
        parsed = parse_response(head, request_method, self.limits, asked_upgrade)
        if (
            not (parsed.secret or parsed.informational or asked_upgrade)
            and parsed.status != 101
            and request_method not in ("HEAD", "CONNECT")
        ):
            self._heads.note(head, parsed)
        return parsed


def _agreed(upgrade: str, asked: str) -> str:
    """RFC 9110 section 7.8: a server MUST NOT switch to what the client did not offer, and MUST say to what it did."""
    if not upgrade:
        raise ProtocolError("bad-upgrade", "101 without an Upgrade field that Connection names")
    if not set(upgrade.split(", ")) <= set(asked.split(", ")):
        raise ProtocolError("bad-upgrade", f"switched to {upgrade!r}, asked was {asked!r}")
    return upgrade


def _without_length(facts: Facts, block: bytes, status: int) -> bytes:
    """1xx and 204 have no body and no framing (RFC 9110 section 8.6, RFC 9112 section 6.1).

    "Content-Length: 0" is a common slip and harmless: it is taken off. Any other framing means that the server
    believes it sends a body, so the bytes that follow can not be trusted.
    """
    framing: Framing = facts.framing
    if framing.kind == NONE:
        return block
    if framing.kind == CHUNKED:
        raise ProtocolError("bad-transfer-encoding", f"a {status} has no body and no Transfer-Encoding")
    if framing.length:
        raise ProtocolError("bad-content-length", f"a {status} has no body, this one says {framing.length} bytes")
    return without_fields(block, [b"content-length"])


def _no_answer_instead(facts: Facts) -> None:
    """RFC 9110 section 9.3.6: a server MUST NOT send Content-Length or Transfer-Encoding in a 2xx to CONNECT.

    One that does has answered an ordinary request, and waits for the next: what the client then says in its tunnel
    would be requests that no route and no policy has seen. A client is told to ignore both fields; to stand between
    two that disagree about where requests begin is worse than to refuse (RATIONALE.md).
    """
    kind = facts.framing.kind
    if kind != NONE:
        reason = "bad-transfer-encoding" if kind == CHUNKED else "bad-content-length"
        raise ProtocolError(reason, "a 2xx to CONNECT begins a tunnel and has no body, this one announces one")


def _refusal(head: bytes, limits: Limits) -> ProtocolError:
    """Why a head has no acceptable status line: the slow path, once we know that it has none."""
    error = line_fault(head, 0, len(head), limits.request_line, "bad-status-line")
    if error is not None:
        return error
    line = head[: head.find(b"\n") + 1]
    if line.startswith(b"HTTP/") and not line.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")):
        return ProtocolError("bad-version", f"only HTTP/1.1 and HTTP/1.0 are spoken here: {quote(line)}")
    return ProtocolError("bad-status-line", f"not HTTP/1.1 SP STATUS SP REASON: {quote(line)}")
