"""The fast parser against a slow one that is obviously right, on heads made to be nasty.

The reference reads a head as the RFC is written: line by line, field by field, into lists. It knows no regular
expression, no cache and no cutting of blocks. It collects every reason for which a head may be refused; the fast
parser must refuse the same heads, for one of those reasons, and understand the others in the same way.
"""

from __future__ import annotations

import string
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tulle_data_plane.wire.http1 import (
    CHUNKED_BODY,
    LENGTH,
    NO_BODY,
    UNTIL_CLOSE_BODY,
    Framing,
    Limits,
    ProtocolError,
    find_head_end,
    parse_request,
    parse_response,
)

TCHAR = set(b"!#$%&'*+-.^_`|~" + string.ascii_letters.encode() + string.digits.encode())
FIELD_CHAR = set(b"\t ") | set(range(0x21, 0x7F)) | set(range(0x80, 0x100))
VCHAR = set(range(0x21, 0x7F))
HOST_CHAR = set(b"-._~!$&'()*+;=" + string.ascii_lowercase.encode() + string.digits.encode())
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"}
MUST_ARRIVE = {"host", "content-length", "content-type", "content-encoding"}
LIMITS = Limits(request_line=200, head=2000, fields=12)

Pairs = list[tuple[str, str]]


# --- the reference ------------------------------------------------------------------------------------------------


def is_token(data: bytes) -> bool:
    return len(data) > 0 and set(data) <= TCHAR


def split_lines(head: bytes, reasons: set[str]) -> list[bytes]:
    """The lines of a head without their CRLF, without the empty one at the end."""
    lines = head.split(b"\n")
    assert lines.pop() == b""
    for line in lines:
        if not line.endswith(b"\r"):
            reasons.add("bare-line-feed")
    return [line.removesuffix(b"\r") for line in lines][:-1]


def split_fields(lines: list[bytes], reasons: set[str]) -> Pairs:
    """Names in lower case, values without the white space around them."""
    if len(lines) > LIMITS.fields:
        reasons.add("too-many-fields")
    fields: Pairs = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not is_token(name) or not set(value) <= FIELD_CHAR:
            reasons.add("bad-field")
        fields.append((name.decode("latin-1").lower(), value.strip(b" \t").decode("latin-1")))
    return fields


def values(fields: Pairs, name: str) -> list[str]:
    return [value for field, value in fields if field == name]


def elements(fields: Pairs, name: str) -> list[str]:
    """The members of a list field over all its lines, lower case."""
    return [element.strip(" \t").lower() for value in values(fields, name) for element in value.split(",")]


def framing_of(fields: Pairs, reasons: set[str]) -> Framing:
    lengths, codings = values(fields, "content-length"), values(fields, "transfer-encoding")
    if lengths and codings:
        reasons.add("conflicting-framing")
    if len(codings) > 1 or any(coding.lower() != "chunked" for coding in codings):
        reasons.add("bad-transfer-encoding")
    good = [length for length in lengths if set(length) <= set(string.digits) and 1 <= len(length) <= 18]
    if len(lengths) > 1 or good != lengths:
        reasons.add("bad-content-length")
    if codings:
        return CHUNKED_BODY
    return Framing(LENGTH, int(good[0])) if good else NO_BODY


def options_of(fields: Pairs, reasons: set[str]) -> list[str]:
    options = [option for option in elements(fields, "connection") if option]
    if any(option in MUST_ARRIVE or not is_token(option.encode("latin-1")) for option in options):
        reasons.add("bad-connection")
    return options


def upgrade_of(fields: Pairs, options: list[str], reasons: set[str]) -> str:
    if "upgrade" not in options:
        return ""
    offered = elements(fields, "upgrade")
    for protocol in offered:
        name, slash, version = protocol.encode("latin-1").partition(b"/")
        if offered != [""] and (not is_token(name) or (slash and not is_token(version))):
            reasons.add("bad-upgrade")
    return ", ".join(protocol for protocol in offered if protocol != "h2c")


def forwarded(lines: list[bytes], options: list[str], *more: str) -> Pairs:
    removed = HOP_BY_HOP | set(options) - {"close", "keep-alive", "upgrade"} | set(more)
    pairs = []
    for line in lines:
        name, _, value = line.partition(b":")
        if name.decode("latin-1").lower() not in removed:
            pairs.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
    return pairs


def authority_is_good(text: str) -> bool:
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        good = bracket == "]" and host != "" and set(host) <= set("0123456789abcdef:.")
        if port and not port.startswith(":"):
            return False
        port = port[1:]
    else:
        host, _, port = text.partition(":")
        good = set(host.encode("latin-1")) <= HOST_CHAR
    return good and set(port) <= set(string.digits) and len(port) <= 5 and int(port or 0) <= 65535


def with_port(authority: str, default: str) -> str:
    if authority.endswith("]") or ":" not in authority:
        return f"{authority}:{default}"
    return authority + default if authority.endswith(":") else authority


def target_of(method: str, target: str, host: str | None, reasons: set[str]) -> tuple[str, str]:
    if method == "CONNECT":
        authority = target.lower()
        host_part, _, port = authority.rpartition(":")
        if not authority_is_good(authority) or not port or "]" in port or not host_part:
            reasons.add("bad-target")
        if host is not None and with_port(host, port) != authority:
            reasons.add("bad-host")
        return "", authority
    if target.startswith("/"):
        return target, host or ""
    if target == "*":
        if method != "OPTIONS":
            reasons.add("bad-target")
        return target, host or ""
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        reasons.add("bad-target")
        return "", ""
    cut = min([at for at in (rest.find("/"), rest.find("?")) if at >= 0], default=len(rest))
    authority, path = rest[:cut].lower(), rest[cut:]
    if not authority_is_good(authority) or not authority or authority.startswith(":"):
        reasons.add("bad-target")
    default = "80" if scheme.lower() == "http" else "443"
    if host is not None and with_port(host, default) != with_port(authority, default):
        reasons.add("bad-host")
    if path == "":
        path = "*" if method == "OPTIONS" else "/"
    return (path if path[0] in "/*" else "/" + path), authority


def reference_request(head: bytes) -> tuple[dict[str, Any], set[str]]:
    """(what the head says, why it must be refused)."""
    reasons: set[str] = set()
    lines = split_lines(head.removeprefix(b"\r\n"), reasons)
    first, lines = (lines[0], lines[1:]) if lines else (b"", [])
    if len(first) > LIMITS.request_line:
        reasons.add("uri-too-long")
    parts = first.split(b" ")
    if len(parts) != 3 or not is_token(parts[0]) or not parts[1] or not set(parts[1]) <= VCHAR - {ord("#")}:
        return {}, reasons | {"bad-request-line", "bad-version"}
    method, target, version = parts[0].decode(), parts[1].decode(), parts[2].decode("latin-1")
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        return {}, reasons | {"bad-request-line", "bad-version"}
    fields = split_fields(lines, reasons)
    framing = framing_of(fields, reasons)
    options = options_of(fields, reasons)
    upgrade = upgrade_of(fields, options, reasons)
    hosts = [host.lower() for host in values(fields, "host")]
    if len(hosts) > 1 or not all(authority_is_good(host) for host in hosts):
        reasons.add("bad-host")
    if not hosts and version == "HTTP/1.1":
        reasons.add("bad-host")
    path, authority = target_of(method, target, hosts[0] if hosts else None, reasons)
    if method == "CONNECT" and framing not in (NO_BODY, Framing(LENGTH, 0)):
        reasons |= {"bad-content-length", "bad-transfer-encoding"}
    said = {"method": method, "target": target, "path": path, "authority": authority}
    said |= {"framing": framing, "upgrade": upgrade}
    if version == "HTTP/1.1":
        said |= {
            "version": "1.1",
            "headers": forwarded(lines, options),
            "keep_alive": "close" not in options,
            "expect_continue": [v.lower() for v in values(fields, "expect")][-1:] == ["100-continue"]
            and framing != NO_BODY,
            "te_trailers": "trailers" in elements(fields, "te"),
        }
    else:
        if framing == CHUNKED_BODY:
            reasons.add("bad-transfer-encoding")
        headers = forwarded(lines, options, "expect")
        if not hosts:
            headers = [("Host", authority), *headers]
        said |= {"version": "1.0", "headers": headers, "keep_alive": False, "upgrade": "", "expect_continue": False}
        said |= {"te_trailers": False}
    if method == "CONNECT":  # a tunnel, or the end
        said |= {"keep_alive": False, "upgrade": "", "expect_continue": False, "te_trailers": False}
    return said, reasons


def reference_response(head: bytes, method: str, asked: str) -> tuple[dict[str, Any], set[str]]:
    reasons: set[str] = set()
    lines = split_lines(head, reasons)
    first, lines = (lines[0], lines[1:]) if lines else (b"", [])
    if len(first) > LIMITS.request_line:
        reasons.add("bad-status-line")
    version, _, rest = first.partition(b" ")
    code, _, phrase = rest.partition(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not set(phrase) <= FIELD_CHAR:
        return {}, reasons | {"bad-status-line", "bad-version"}
    if len(code) != 3 or not code.isdigit() or not 100 <= int(code) <= 599:
        return {}, reasons | {"bad-status-line", "bad-version"}
    status = int(code)
    fields = split_fields(lines, reasons)
    framing = framing_of(fields, reasons)
    options = options_of(fields, reasons)
    upgrade = upgrade_of(fields, options, reasons)
    taken_off: list[str] = []
    if version == b"HTTP/1.0" and framing == CHUNKED_BODY:
        reasons.add("bad-transfer-encoding")
    if status < 200 or status == 204:
        taken_off = ["content-length"]
        if framing == CHUNKED_BODY:
            reasons.add("bad-transfer-encoding")
        if framing.length:
            reasons.add("bad-content-length")
        framing = NO_BODY
    elif method == "HEAD" or status == 304:
        framing = NO_BODY
    elif method == "CONNECT" and status < 300:
        if framing != NO_BODY:
            reasons |= {"bad-content-length", "bad-transfer-encoding"}
        framing = NO_BODY
    elif framing == NO_BODY:
        framing = UNTIL_CLOSE_BODY
    if status == 101 and (upgrade == "" or not set(upgrade.split(", ")) <= set(asked.split(", "))):
        reasons.add("bad-upgrade")
    keep_alive = "close" not in options and (version == b"HTTP/1.1" or "keep-alive" in options)
    said = {
        "status": status,
        "version": version[-3:].decode(),
        "headers": forwarded(lines, options, *taken_off),
        "framing": framing,
        "keep_alive": keep_alive and framing != UNTIL_CLOSE_BODY,
        "upgrade": upgrade if status in (101, 426) else "",
        "informational": 100 <= status < 200 and status != 101,
    }
    return said, reasons


# --- heads made to be nasty -----------------------------------------------------------------------------------------

# fmt: off
NAMES = [
    "Host", "host", "Content-Length", "content-length", "Transfer-Encoding", "TRANSFER-ENCODING", "Connection",
    "Upgrade", "Expect", "TE", "Keep-Alive", "Proxy-Connection", "X-A", "x-a", "Accept", "Cookie", "Authorization",
    "Set-Cookie", "Content-Type", "Xhost", "Host2", "A ", "", " A", "\tA", "A\x00", "é", "a" * 300,
]
VALUES = [
    "a", "A:80", "a:81", "", " a ", "\ta\t", "5", "0", "007", "-5", "5, 5", "9" * 18, "9" * 19, "chunked", "Chunked",
    "chunked ", "gzip, chunked", "identity", "close", "Close", "keep-alive", "keep-alive, close", "upgrade", "x-a",
    "Upgrade, x-a", "X-A, te", "host", "content-length", "websocket", "WebSocket, foo/2", "h2c", "h2c, websocket",
    "a b", "100-continue", "100-Continue", "trailers", "gzip, Trailers", "a\rb", "a\nb", "a\r\n b", "\x00", "\x7f",
    "é", "[::1]", "[::1]:80", "a,b", "u@a", ",", ", ,",
]
TARGETS = [
    "/", "/x?y", "*", "http://a/x", "http://A:80", "https://a:443?q", "http://b/", "http://", "a:80", "a:", "a", ":80",
    "[::1]:80", "ftp://a/", "/#x", "/é", "", "/a b", "http://u@a/", "/" + "x" * 180, "/" + "x" * 190, "HTTP://a",
    "//", "http:///x",
]
GOOD_LINES = [
    "X-A: 1", "x-a:2", "Accept: */*", "Cookie: a=b", "Upgrade: websocket", "Upgrade: h2c", "TE: trailers", "TE: gzip",
    "Expect: 100-continue", "Expect: x", "Keep-Alive: timeout=5", "Connection: close", "Connection: keep-alive",
    "Connection: x-a", "Connection: X-A, Upgrade", "Connection: upgrade", "Content-Length: 5", "Content-Length: 0",
    "Transfer-Encoding: chunked",
]
REQUEST_LINES = [
    "GET / HTTP/1.1", "POST / HTTP/1.1", "OPTIONS * HTTP/1.1", "CONNECT a:80 HTTP/1.1", "GET / HTTP/1.0",
]
STATUS_LINES = [
    "HTTP/1.1 200 OK", "HTTP/1.0 200 OK", "HTTP/1.1 204 ", "HTTP/1.1 101 Switching", "HTTP/1.1 304 x",
]
CODES = ["100", "101", "199", "200", "205", "304", "426", "500", "599", "600", "099", "20", "2000", "+20"]
# fmt: on

field_line = st.one_of(
    st.builds(lambda name, value: f"{name}:{value}", st.sampled_from(NAMES), st.sampled_from(VALUES)),
    st.sampled_from(["Host: a", "Host: a", "Host: a", "no colon", ": x", " folded", "A : x"]),
)
line_end = st.sampled_from(["\r\n"] * 30 + ["\n", "\r", "\r\r\n"])
good_line = st.sampled_from(GOOD_LINES)


def head_of(first: str, lines: list[str], ends: list[str]) -> bytes:
    text = "".join(line + (ends[at] if at < len(ends) else "\r\n") for at, line in enumerate([first, *lines]))
    return (text + "\r\n").encode("latin-1")


request_line = st.one_of(
    st.sampled_from(REQUEST_LINES),
    st.builds(
        lambda *parts: "".join(parts),
        st.sampled_from(["GET", "POST", "OPTIONS", "CONNECT", "get", "G(T", "", "\r\nGET"]),
        st.sampled_from([" "] * 9 + ["  ", "\t", ""]),
        st.sampled_from(TARGETS),
        st.sampled_from([" "] * 9 + ["  ", "\t", ""]),
        st.sampled_from(["HTTP/1.1"] * 5 + ["HTTP/1.0"] * 3 + ["HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", ""]),
    ),
)
status_line = st.one_of(
    st.sampled_from(STATUS_LINES),
    st.builds(
        lambda *parts: "".join(parts),
        st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "", "\r\nHTTP/1.1"]),
        st.sampled_from([" "] * 5 + ["  ", ""]),
        st.sampled_from(CODES),
        st.sampled_from(["", " ", " OK", " é", " \x00", "OK", " " + "x" * 190]),
    ),
)
lines = st.one_of(
    st.builds(lambda some: ["Host: a", *some], st.lists(good_line, max_size=4)),
    st.lists(field_line, max_size=14),
)


def edited(head: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    """A head with bytes overwritten here and there, up to its (new) end."""
    for at, byte in edits:
        at %= len(head)
        head = head[:at] + byte + head[at + 1 :]
    return head


some_bytes = st.one_of(st.sampled_from([b"\r", b"\n", b":", b" ", b"", b"\x00"]), st.binary(max_size=3))
edits = st.one_of(st.just([]), st.lists(st.tuples(st.integers(0, 400), some_bytes), max_size=3))


def complete(head: bytes) -> bytes | None:
    """The head up to its end as the fast path finds it; None if it has none. Limits are the other tests' affair."""
    end = head.find(b"\r\n\r\n")
    return None if end < 0 else head[: end + 4]


def check(head: bytes, fast: Any, said: dict[str, Any], reasons: set[str]) -> None:
    try:
        assert find_head_end(head, 0, LIMITS) == len(head)
        result = fast(head)
    except ProtocolError as error:
        refused = error.reason
    else:
        refused = ""
    assert (refused in reasons) if refused else not reasons, f"refused for {refused!r}, the reference says {reasons}"
    if not refused:
        names = set(result.__slots__) - {"block", "secret", "length"} | {"headers"}
        seen = {name: getattr(result, name) for name in names} | {"headers": list(result.headers)}
        assert seen == said
        assert len(result.headers) == len(said["headers"])
        kind, length = said["framing"]
        assert getattr(result, "length", None) in (None, length if kind == LENGTH else -1)  # an answer's


@settings(max_examples=500, deadline=None)
@given(request_line, lines, st.lists(line_end, max_size=6), edits)
@example("GET / HTTP/1.1", ["Host: a", "Connection: x-a", "X-A: 1", "x-a:2"], [], [])
def test_requests_are_read_as_the_reference_reads_them(first, lines, ends, edits):
    head = complete(edited(head_of(first, lines, ends), edits))
    if head is None or len(head) > LIMITS.head:
        return
    for _ in range(3):  # the second and third time from memory, if it is kept
        check(head, lambda head: parse_request(head, LIMITS), *reference_request(head))


@settings(max_examples=500, deadline=None)
@given(
    status_line,
    lines,
    st.lists(line_end, max_size=6),
    edits,
    st.sampled_from(["GET", "HEAD", "CONNECT"]),
    st.sampled_from(["", "websocket", "websocket, foo/2"]),
)
def test_answers_are_read_as_the_reference_reads_them(first, lines, ends, edits, method, asked):
    head = complete(edited(head_of(first, lines, ends), edits))
    if head is None or len(head) > LIMITS.head:
        return
    for _ in range(3):
        check(head, lambda head: parse_response(head, method, LIMITS, asked), *reference_response(head, method, asked))
