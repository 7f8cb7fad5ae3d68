"""Access log: one line for every request and relayed connection that ended.

Owns the line: its fields and their escaping. Refuses to know how lines are written: `ExporterContext.write_line` takes
them for stdout, file.py for a file; both in batches, and neither makes a request wait.

What a client sends (a path, a host) must not be able to forge a line or reach a terminal's control sequences: JSON
escapes what is below U+0020, and we U+0080 to U+009F as well; the common format escapes as Apache's httpd does.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
from tulle_plugin_api import Address, Direction, Exchange, Exporter, ExporterContext, ExporterFactory, hookimpl
from tulle_plugin_api.options import Options

if TYPE_CHECKING:
    from tulle_exporter_access_log.file import LogFile


# The JSON format's fields: `time` (RFC 3339, UTC, milliseconds: when the request's head was complete), then these, in
# this order; what is empty is left out. In three parts, since requests are alike: the same client asks the same of the
# same service, so that the first and the last part are looked up, and only the one between is written each time.


class Asked(msgspec.Struct, omit_defaults=True, frozen=True):
    """What was asked."""

    direction: str
    protocol: str
    method: str = ""
    authority: str = ""
    path: str = ""


class Ended(msgspec.Struct, omit_defaults=True):
    """How it ended."""

    status: int | None = None
    """As sent to the client; 0: none was. Not for protocol "tcp"."""
    reason: str = ""
    """Why, where the proxy made the answer itself."""
    aborted: bool = False
    """Broken off after the answer had begun."""
    duration_ms: float | None = None
    request_bytes: int = 0
    response_bytes: int = 0


class Way(msgspec.Struct, omit_defaults=True, frozen=True):
    """Whose it was, and which way it went."""

    source: str = ""
    source_identity: str = ""
    destination: str = ""
    service: str = ""
    route: str = ""
    backend: str = ""
    endpoint: str = ""
    """Address of the last try; `pod` is its name."""
    pod: str = ""
    attempts: int = 0
    tls: bool = False
    trace_id: str = ""
    """Where the proxy takes part in traces; `span_id` is its own span."""
    span_id: str = ""


class AccessLog(Exporter):
    """Options, see README: format, sample (failed exchanges are logged always), output."""

    def __init__(self, context: ExporterContext) -> None:
        """Raises ValueError for options that are not understood, or a file that cannot be opened."""
        options = Options(context.options)
        self._format = FORMATS[options.choice("format", FORMATS, "json")]
        self._sample = options.share("sample", 1.0)
        output = options.text("output", "stdout")
        options.done()
        self._file: LogFile | None = None
        self._write = context.write_line or _to_stdout
        if output != "stdout":
            from tulle_exporter_access_log.file import LogFile

            self._file = LogFile(output)
            self._write = self._file.write
        self._random = random.Random()

    def observe(self, exchange: Exchange) -> None:
        """Hand on the exchange's line."""
        if self._sample < 1 and not exchange.failed and self._random.random() >= self._sample:
            return
        self._write(self._format(exchange, time.time()))

    async def run(self) -> None:
        """Write the file, if there is one, until cancelled."""
        if self._file is not None:
            await self._file.run()

    async def aclose(self) -> None:
        """Write the rest."""
        if self._file is not None:
            await self._file.aclose()

    def counters(self) -> Mapping[str, float]:
        """Of the file: lines. The proxy itself counts for stdout."""
        return self._file.counters() if self._file is not None else {}


# --- json -------------------------------------------------------------------------------------------------

_encode = msgspec.json.Encoder().encode
_C1 = re.compile(rb"\xc2([\x80-\x9f])")  # U+0080 to U+009F in UTF-8


def json_line(exchange: Exchange, now: float) -> bytes:
    """One JSON object, without the line's end. `now`: the wall clock's seconds, as the exchange ends."""
    seconds = max(0.0, exchange.ended - exchange.started)
    endpoint, service, span, protocol = exchange.endpoint, exchange.service, exchange.span, exchange.protocol
    asked = _asked(exchange.direction, protocol, exchange.method, exchange.authority, exchange.path)
    ended = _encode(
        Ended(  # by keyword it would take four times as long
            exchange.status if protocol != "tcp" else None,
            exchange.reason,
            exchange.aborted,
            round(seconds * 1000, 3),
            exchange.request_bytes,
            exchange.response_bytes,
        )
    )
    way = (_way if span is None else _new_way)(
        exchange.source,
        exchange.source_identity,
        exchange.destination,
        service.authority if service else "",
        exchange.route,
        exchange.backend,
        endpoint.address if endpoint else NOWHERE,
        endpoint.pod if endpoint else "",
        exchange.attempts,
        exchange.secured,
        span.trace_id if span else "",
        span.span_id if span else "",
    )
    return b'{"time":"%b",%b,%b%b}' % (timestamp(now - seconds), asked, _inner(ended), way)


NOWHERE = Address("", 0)


def _inner(encoded: bytes) -> bytes:
    """The members of an encoded object, without its braces, and safe for a terminal."""
    text = encoded[1:-1]
    return text if text.isascii() else _C1.sub(lambda match: b"\\u%04x" % match[1][0], text)


@lru_cache(maxsize=128)
def _asked(direction: Direction, protocol: str, method: str, authority: str, path: str) -> bytes:
    return _inner(_encode(Asked(direction, protocol, method, authority, path)))


def _new_way(
    source: Address, identity: str, destination: Address, service: str, route: str, backend: str, endpoint: Address,
    pod: str, attempts: int, tls: bool, trace_id: str, span_id: str,
) -> bytes:  # fmt: skip
    places = [str(place) if place.ip else "" for place in (source, destination, endpoint)]
    fields = (places[0], identity, places[1], service, route, backend, places[2], pod, attempts, tls, trace_id, span_id)
    members = _inner(_encode(Way(*fields)))
    return b"," + members if members else b""


_way = lru_cache(maxsize=256)(_new_way)


# --- the common log format --------------------------------------------------------------------------------

_UNSAFE = re.compile(r'[^\x20-\x7e]|["\\]')


def common_line(exchange: Exchange, now: float) -> bytes:
    r"""`10.0.0.1 - - [20/Nov/2026:19:35:00 +0000] "GET / HTTP/1.1" 200 5`; unsafe characters as `\xhh`."""
    seconds = max(0.0, exchange.ended - exchange.started)
    request = _quotable(f"{exchange.method} {exchange.path} {exchange.protocol.upper()}")
    host, who = exchange.source.ip or "-", _quotable(exchange.source_identity) or "-"
    when = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now - seconds))
    status, size = exchange.status or "-", exchange.response_bytes or "-"
    return f'{host} - {who} [{when}] "{request}" {status} {size}'.encode("ascii")


def _quotable(text: str) -> str:
    return _UNSAFE.sub(lambda match: f"\\x{min(ord(match[0]), 0xFF):02x}", text)


FORMATS: Mapping[str, Callable[[Exchange, float], bytes]] = {"json": json_line, "common": common_line}


# --- small parts ------------------------------------------------------------------------------------------

_second: tuple[int, bytes] = (-1, b"")


def timestamp(wall: float) -> bytes:
    """RFC 3339 in UTC with milliseconds: "2026-11-20T19:35:00.123Z". The date is worked out once a second."""
    global _second
    millis = int(wall * 1000)
    whole = millis // 1000
    if whole != _second[0]:
        _second = (whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)).encode())
    return b"%b.%03dZ" % (_second[1], millis % 1000)


def _to_stdout(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")


@hookimpl
def tulle_exporters() -> Mapping[str, ExporterFactory]:
    """The exporter `access-log`."""
    return {"access-log": AccessLog}
