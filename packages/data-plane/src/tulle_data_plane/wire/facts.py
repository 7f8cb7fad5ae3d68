"""What a codec must know of a header section: framing, Host, connection options. Everything else is only passed on.

Owns the check of a whole section and the rules of the few fields that decide where a message ends and where it goes.
Refuses to know start lines.

Three steps, each one pass in C over the bytes: `FIELD_SECTION` checks the syntax of all lines; a search in a
lower-cased copy finds the fields in `RULES`; the lines that concern this connection only are cut out. No other
field is ever taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from tulle_data_plane.wire.errors import ProtocolError, quote
from tulle_data_plane.wire.faults import field_fault
from tulle_data_plane.wire.grammar import FIELD_SECTION, OPTION, UPGRADE
from tulle_data_plane.wire.limits import Limits
from tulle_data_plane.wire.messages import CHUNKED_BODY, LENGTH, NO_BODY, Framing
from tulle_data_plane.wire.target import authority_of_host


class Facts:
    """What one header section says about its message and connection. Shared between messages: do not change it.

    Slots: CPython reads them alike quickly whichever way one was made.
    """

    __slots__ = (
        "block", "close", "count", "expect_continue", "framing", "host", "offered", "options", "persist", "secret",
        "te_trailers", "upgrade",
    )  # fmt: skip

    block: bytes  # the end-to-end fields, without the empty line

    def __init__(self) -> None:
        self.count = 0  # of fields, before any was taken off
        self.framing = NO_BODY  # as Content-Length and Transfer-Encoding say; NO_BODY when there is neither
        self.host: str | None = None  # requests: the value of Host, checked, lower case
        self.close = False  # Connection: close
        self.persist = False  # Connection: keep-alive
        self.upgrade = ""  # the protocols offered, if Connection agrees
        self.expect_continue = False
        self.te_trailers = False
        self.secret = False  # it has a field that lets its owner in

        # notes while reading
        self.options: tuple[bytes, ...] = ()
        self.offered = b""

    def without_framing(self) -> Facts:
        """A copy for another section with the same fields: it has neither a body yet, nor a block."""
        copy = Facts()
        copy.count, copy.host, copy.close, copy.persist = self.count, self.host, self.close, self.persist
        copy.upgrade, copy.expect_continue = self.upgrade, self.expect_continue
        copy.te_trailers, copy.secret = self.te_trailers, self.secret
        return copy


def read_section(section: bytes, finder: re.Pattern[bytes], limits: Limits) -> Facts:
    """Check field lines with the empty line after them and say what they mean; raises ProtocolError.

    `finder`: REQUEST_FIELDS or RESPONSE_FIELDS.
    """
    if not FIELD_SECTION.fullmatch(section):
        raise ProtocolError("bad-field", field_fault(section))
    facts = Facts()
    facts.count = section.count(b"\n") - 1
    if facts.count > limits.fields:
        raise ProtocolError("too-many-fields", f"{facts.count} fields, at most {limits.fields} are allowed")
    kept: list[bytes] = []  # what remains of the section, in pieces
    kept_to = 0
    # With a line feed in front every line begins after one, and a line's offset in `section` is that of the line feed.
    for found in finder.finditer(b"\n" + section.lower()):
        name, value = found.groups()
        RULES[name](facts, value.strip(b" \t"))
        if name in HOP_BY_HOP:
            kept.append(section[kept_to : found.start()])
            kept_to = found.end() + 1
    if kept:
        kept.append(section[kept_to:-2])
        facts.block = b"".join(kept)
    else:
        facts.block = section[:-2]
    if facts.options:
        _apply_options(facts)
    return facts


def content_length(facts: Facts, value: bytes) -> None:
    """The rule of Content-Length."""
    # RFC 9112 section 6.3 lets equal repeated values pass as one; refusing them is simpler to be sure of.
    _one_framing(facts, LENGTH, "bad-content-length", "more than one Content-Length field")
    # Section 6.2: 1*DIGIT; no sign, no list, no base. At most 18 digits, which is below 2**63 everywhere.
    if not value.isdigit() or len(value) > 18:
        raise ProtocolError("bad-content-length", f"not a plain decimal number: {quote(value)}")
    facts.framing = Framing(LENGTH, int(value))


def _transfer_encoding(facts: Facts, value: bytes) -> None:
    # RFC 9112 section 6.1. Exactly "chunked": other codings would be lost when we frame anew, and a list or a second
    # field is how smuggling hides a coding from one of two parsers.
    _one_framing(facts, CHUNKED_BODY.kind, "bad-transfer-encoding", "more than one Transfer-Encoding field")
    if value != b"chunked":
        raise ProtocolError("bad-transfer-encoding", f"only 'chunked' is supported: {quote(value)}")
    facts.framing = CHUNKED_BODY


def _one_framing(facts: Facts, kind: int, reason: str, twice: str) -> None:
    if facts.framing is not NO_BODY:
        if facts.framing.kind == kind:
            raise ProtocolError(reason, twice)
        # RFC 9112 section 6.3: "ought to be handled as an error"
        raise ProtocolError("conflicting-framing", "both Content-Length and Transfer-Encoding")


def _host(facts: Facts, value: bytes) -> None:
    if facts.host is not None:  # RFC 9112 section 3.2: a request with more than one MUST get a 400
        raise ProtocolError("bad-host", "more than one Host field")
    facts.host = authority_of_host(value)


def _connection(facts: Facts, value: bytes) -> None:
    if value == b"keep-alive":  # much the most frequent
        facts.persist = True
        return
    facts.options += tuple(value.split(b",", MOST_ELEMENTS))
    if len(facts.options) > MOST_ELEMENTS:
        raise ProtocolError("bad-connection", f"more than {MOST_ELEMENTS} connection options")


def _upgrade(facts: Facts, value: bytes) -> None:
    facts.offered = facts.offered + b"," + value if facts.offered else value
    if facts.offered.count(b",") >= MOST_ELEMENTS:
        raise ProtocolError("bad-upgrade", f"more than {MOST_ELEMENTS} protocols")


def _te(facts: Facts, value: bytes) -> None:
    if b"trailers" in [part.strip(b" \t") for part in value.split(b",")]:
        facts.te_trailers = True


def _expect(facts: Facts, value: bytes) -> None:
    # RFC 9110 section 10.1.1: the one expectation there is; others are passed on for the server to judge.
    facts.expect_continue = value == b"100-continue"


def _secret(facts: Facts, value: bytes) -> None:
    facts.secret = True


def _nothing(facts: Facts, value: bytes) -> None:
    pass


# Of Connection and of Upgrade: a few are usual, and 64 KiB of them would keep us busy for 20 ms.
MOST_ELEMENTS = 100

RULES: dict[bytes, Callable[[Facts, bytes], None]] = {
    b"host": _host,
    b"content-length": content_length,
    b"transfer-encoding": _transfer_encoding,
    b"connection": _connection,
    b"keep-alive": _nothing,
    b"proxy-connection": _nothing,
    b"upgrade": _upgrade,
    b"te": _te,
    b"expect": _expect,
    b"authorization": _secret,
    b"proxy-authorization": _secret,
    b"cookie": _secret,
    b"set-cookie": _secret,
    b"x-api-key": _secret,
}
SECRETS = frozenset(name for name, rule in RULES.items() if rule is _secret)
# RFC 9110 section 7.6.1: what an intermediary takes off before it forwards, besides what Connection names.
HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"))
# What Connection may not name: without these the recipient would see another message than we did.
_NEVER_AN_OPTION = frozenset((b"host", b"content-length", b"content-type", b"content-encoding"))


def _finder(*but: bytes) -> re.Pattern[bytes]:
    """Finds the fields that have a rule, in a lower-cased section after a line feed: (name, raw value)."""
    return re.compile(rb"\n(" + b"|".join(name for name in RULES if name not in but) + rb"):([^\r]*+)")


REQUEST_FIELDS = _finder(b"set-cookie")
RESPONSE_FIELDS = _finder(b"host", b"expect", b"authorization", b"proxy-authorization", b"cookie", b"x-api-key")


def _apply_options(facts: Facts) -> None:
    """RFC 9110 section 7.6.1: what Connection says, and the fields that it names."""
    named: set[bytes] = set()
    for option in [raw.strip(b" \t") for raw in facts.options]:
        if option == b"close":
            facts.close = True
        elif option == b"keep-alive":
            facts.persist = True
        elif option == b"upgrade":
            facts.upgrade = _offered(facts.offered)
        elif option:  # section 5.6.1: empty list elements are ignored
            if option in _NEVER_AN_OPTION or not OPTION.fullmatch(option):
                raise ProtocolError("bad-connection", f"Connection may not name {quote(option)}")
            named.add(option)
    if named:
        facts.block = without_fields(facts.block, named)


def _offered(upgrade: bytes) -> str:
    """RFC 9110 section 7.8: the protocols that Upgrade offers, without h2c.

    h2c (HTTP/2 without TLS by upgrade) was dropped by RFC 9113 section 3.1 and would carry later requests past routing
    and authorization unseen ("h2c smuggling"). A server may ignore Upgrade, so we do not pass h2c on.
    """
    if upgrade and not UPGRADE.fullmatch(upgrade):
        raise ProtocolError("bad-upgrade", f"not a list of protocols: {quote(upgrade)}")
    names = [name.strip(b" \t").decode("ascii") for name in upgrade.split(b",")]
    return ", ".join([name for name in names if name != "h2c"])


def without_fields(block: bytes, names: Collection[bytes]) -> bytes:
    """The field lines without those whose name is in `names` (lower case). One pass, however many names there are."""
    lines = block.split(b"\r\n")
    return b"\r\n".join([line for line in lines if line.partition(b":")[0].lower() not in names])
