"""Trace context: which trace a request belongs to, read from its head and written to it.

Owns the two formats that are in use: W3C Trace Context (w3.org/TR/trace-context, `traceparent`) and B3
(github.com/openzipkin/b3-propagation, one field or several). Refuses to know who is told of spans. Pure but for chance.

What cannot be read is as if it were not there: a new trace begins. A request that carries a context keeps the formats
in which it came; `tracestate` and baggage pass as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from tulle_plugin_api.exchange import Direction, Endpoint, Exchange, Service
from tulle_plugin_api.headers import Headers


@dataclass(frozen=True, slots=True)
class Span:
    """One proxy's part in a trace. Ids are lower-case hexadecimal."""

    trace_id: str  # 32 digits
    span_id: str  # 16 digits
    parent_id: str = ""  # empty for the first of its trace
    sampled: bool = True


class Context(NamedTuple):
    """What a head says: the caller's span, and whether it is recorded (None: the caller leaves that to us)."""

    trace_id: str
    span_id: str
    sampled: bool | None


# version, trace-id, parent-id, flags; a version that we do not know may go on after a "-" (section 3.2.4)
_W3C = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_TRACE_ID = re.compile(r"(?!0+$)(?:[0-9a-f]{32}|[0-9a-f]{16})")
_SPAN_ID = re.compile(r"(?!0+$)[0-9a-f]{16}")
_SAMPLED = {"1": True, "d": True, "true": True, "0": False, "false": False}


def read_w3c(headers: Headers) -> Context | None:
    """`traceparent: 00-TRACE-SPAN-01`. Sent twice, it is not valid."""
    values = headers.get_all("traceparent")
    match = _W3C.fullmatch(values[0]) if len(values) == 1 else None
    if match is None or (match[1] == "00" and match[5]):
        return None
    return Context(match[2], match[3], bool(int(match[4], 16) & 1))


def read_b3(headers: Headers) -> Context | None:
    """`b3: TRACE-SPAN[-SAMPLED[-PARENT]]`. A mere `b3: 0` is a decision without a trace: the ids are then empty."""
    value = headers.get("b3")
    if value is None:
        return None
    trace_id, _, rest = value.lower().partition("-")
    if not rest:
        return Context("", "", _SAMPLED[trace_id]) if trace_id in _SAMPLED else None
    span_id, _, rest = rest.partition("-")
    return _b3(trace_id, span_id, rest.partition("-")[0])


def read_b3_multi(headers: Headers) -> Context | None:
    """`X-B3-TraceId`, `X-B3-SpanId`, `X-B3-Sampled`, `X-B3-Flags: 1` (debug)."""
    trace_id, span_id = headers.get("x-b3-traceid"), headers.get("x-b3-spanid")
    sampled = "d" if headers.get("x-b3-flags") == "1" else (headers.get("x-b3-sampled") or "").lower()
    if trace_id is None or span_id is None:
        return Context("", "", _SAMPLED[sampled]) if sampled in _SAMPLED else None
    return _b3(trace_id.lower(), span_id.lower(), sampled)


def _b3(trace_id: str, span_id: str, sampled: str) -> Context | None:
    if not _TRACE_ID.fullmatch(trace_id) or not _SPAN_ID.fullmatch(span_id):
        return None
    return Context(trace_id.rjust(32, "0"), span_id, _SAMPLED.get(sampled))


def write_w3c(headers: Headers, span: Span) -> None:
    """Make the span the parent of what comes next."""
    headers.set("traceparent", f"00-{span.trace_id}-{span.span_id}-{'01' if span.sampled else '00'}")


def write_b3(headers: Headers, span: Span) -> None:
    """As `write_w3c`, in one field."""
    parent = f"-{span.parent_id}" if span.parent_id else ""
    headers.set("b3", f"{span.trace_id}-{span.span_id}-{'1' if span.sampled else '0'}{parent}")


def write_b3_multi(headers: Headers, span: Span) -> None:
    """As `write_w3c`, in several fields. `X-B3-Flags` stays: debug is a decision that goes on."""
    headers.set("x-b3-traceid", span.trace_id)
    headers.set("x-b3-spanid", span.span_id)
    if span.parent_id:
        headers.set("x-b3-parentspanid", span.parent_id)
    else:
        headers.remove("x-b3-parentspanid")
    if headers.get("x-b3-flags") != "1":
        headers.set("x-b3-sampled", "1" if span.sampled else "0")


Read = Callable[[Headers], Context | None]
Write = Callable[[Headers, Span], None]

FORMATS: Mapping[str, tuple[Read, Write]] = {
    "w3c": (read_w3c, write_w3c),
    "b3": (read_b3, write_b3),
    "b3-multi": (read_b3_multi, write_b3_multi),
}
"""By name; the first that can be read counts."""


class Tracer:
    """Begins spans. One a proxy."""

    def __init__(self, sample: float, format: str = "w3c", random: Random | None = None) -> None:
        """`sample`: share of traces begun here that are recorded; `format`: in which such a trace is written."""
        self._sample = sample
        self._write = FORMATS[format][1]
        self._random = random or Random()

    def begin(self, headers: Headers) -> Span:
        """The span of a request with this head, which is changed so that the span is its parent from here on."""
        parent: Context | None = None
        writers: list[Write] = []
        low = headers.block.lower()
        # most requests carry no context: three searches say so sooner than three formats' readers would
        known = FORMATS.values() if b"traceparent:" in low or b"x-b3-" in low or b"b3:" in low else ()
        for read, write in known:
            context = read(headers)
            if context is not None:
                writers.append(write)
                parent = parent or context
        if parent is None:
            writers = [self._write]
            if b"tracestate:" in low:
                headers.remove("tracestate")  # of a traceparent that cannot be read (section 3.3)
        sampled = parent.sampled if parent else None
        bits = self._random.getrandbits
        span = Span(
            parent.trace_id if parent and parent.trace_id else f"{bits(128) or 1:032x}",
            f"{bits(64) or 1:016x}",
            parent.span_id if parent else "",
            self._random.random() < self._sample if sampled is None else sampled,
        )
        for write in writers:
            write(headers, span)
        return span


# --- what exporters of spans keep of an exchange -------------------------------------------------------------------

PATH = 256
"""Characters of a path that are kept: a queue of records must have a bound in bytes, too."""


class Record(NamedTuple):
    """An exchange that ended, without its bodies and heads."""

    span: Span | None
    ended: float  # wall clock, seconds since 1970
    seconds: float
    direction: Direction
    protocol: str
    method: str
    path: str  # without its query, which may hold secrets
    authority: str
    status: int
    reason: str
    failed: bool
    aborted: bool
    service: Service | None
    endpoint: Endpoint | None
    route: str
    backend: str
    source_ip: str
    source_port: int
    source_identity: str
    attempts: int
    request_bytes: int
    response_bytes: int


def record(exchange: Exchange, now: float) -> Record:
    """What is kept of it; `now`: the wall clock's seconds. On the hot path."""
    return Record(
        exchange.span,
        now,
        max(0.0, exchange.ended - exchange.started),
        exchange.direction,
        exchange.protocol,
        exchange.method,
        exchange.path.partition("?")[0][:PATH],
        exchange.authority[:PATH],
        exchange.status,
        exchange.reason,
        exchange.failed,
        exchange.aborted,
        exchange.service,
        exchange.endpoint,
        exchange.route,
        exchange.backend,
        exchange.source.ip,
        exchange.source.port,
        exchange.source_identity,
        exchange.attempts,
        exchange.request_bytes,
        exchange.response_bytes,
    )
