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
from typing import TYPE_CHECKING, TypeVar

import msgspec
from tulle_plugin_api import Address, Exchange, Exporter, ExporterContext
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

MAX_REMEMBERED = 256
"""Parts of lines that are looked up rather than written again, of each kind; then all are forgotten."""

_asked: dict[tuple[str, ...], bytes] = {}
_ways: dict[tuple[object, ...], bytes] = {}


def json_line(exchange: Exchange, now: float) -> bytes:
    """One JSON object, without the line's end. `now`: the wall clock's seconds, as the exchange ends."""
    seconds = max(0.0, exchange.ended - exchange.started)
    question = (exchange.direction, exchange.protocol, exchange.method, exchange.authority, exchange.path)
    asked = _asked.get(question)
    if asked is None:
        asked = _asked[_room(_asked, question)] = b'",' + _inner(_encode(Asked(*question))) + b","
    if exchange.span is None:
        key = (
            exchange.source, exchange.source_identity, exchange.destination, exchange.service, exchange.route,
            exchange.backend, exchange.endpoint, exchange.attempts, exchange.secured,
        )  # fmt: skip
        way = _ways.get(key)
        if way is None:
            way = _ways[_room(_ways, key)] = _way(exchange)
    else:
        way = _way(exchange)
    return b"".join((b'{"time":"', _clock.text(now - seconds), asked, _ended(exchange, seconds), way))


K = TypeVar("K")


def _room(memory: dict[K, bytes], key: K) -> K:
    if len(memory) >= MAX_REMEMBERED:
        memory.clear()
    return key


_STATUSES = {status: b'"status":%d,"duration_ms":' % status for status in range(100, 600)}


def _ended(exchange: Exchange, seconds: float) -> bytes:
    """How it ended. Written by hand where it ended well, which is most of the time; a test compares the two."""
    start = _STATUSES.get(exchange.status)
    if start is None or exchange.reason or exchange.aborted or exchange.protocol == "tcp":
        return _ended_otherwise(exchange, seconds)
    micros = str(round(seconds * 1_000_000)).zfill(4)
    line = start + f"{micros[:-3]}.{micros[-3:]}".encode()
    if exchange.request_bytes:
        line += b',"request_bytes":' + str(exchange.request_bytes).encode()
    if exchange.response_bytes:
        line += b',"response_bytes":' + str(exchange.response_bytes).encode()
    return line


def _ended_otherwise(exchange: Exchange, seconds: float) -> bytes:
    return _inner(
        _encode(
            Ended(
                exchange.status if exchange.protocol != "tcp" else None,
                exchange.reason,
                exchange.aborted,
                round(seconds * 1000, 3),
                exchange.request_bytes,
                exchange.response_bytes,
            )
        )
    )


def _inner(encoded: bytes) -> bytes:
    """The members of an encoded object, without its braces, and safe for a terminal."""
    text = encoded[1:-1]
    return text if text.isascii() else _C1.sub(lambda match: b"\\u%04x" % match[1][0], text)


def _way(exchange: Exchange) -> bytes:
    """The rest of the line."""
    endpoint, service, span = exchange.endpoint, exchange.service, exchange.span
    members = _inner(
        _encode(
            Way(
                _place(exchange.source),
                exchange.source_identity,
                _place(exchange.destination),
                service.authority if service else "",
                exchange.route,
                exchange.backend,
                _place(endpoint.address) if endpoint else "",
                endpoint.pod if endpoint else "",
                exchange.attempts,
                exchange.secured,
                span.trace_id if span else "",
                span.span_id if span else "",
            )
        )
    )
    return b"," + members + b"}" if members else b"}"


def _place(address: Address) -> str:
    return str(address) if address.ip else ""


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


class Clock:
    """Wall-clock times as text. Under load many lines are of the same millisecond: the last text is kept."""

    def __init__(self) -> None:
        self._millis = -1
        self._text = b""

    def text(self, wall: float) -> bytes:
        """RFC 3339 in UTC with milliseconds: "2026-11-20T19:35:00.123Z"."""
        millis = int(wall * 1000)
        if millis != self._millis:
            second, thousandths = divmod(millis, 1000)
            date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._millis, self._text = millis, f"{date}.{thousandths:03d}Z".encode()
        return self._text


_clock = Clock()


def _to_stdout(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
