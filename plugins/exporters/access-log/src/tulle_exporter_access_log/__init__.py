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
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import msgspec
from tulle_plugin_api import Address, Exchange, Exporter, ExporterContext, ExporterFactory, hookimpl
from tulle_plugin_api.options import Options

if TYPE_CHECKING:
    from tulle_exporter_access_log.file import LogFile


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

    def observer(self, like: Exchange) -> Callable[[Exchange], object]:
        """Of exchanges like this one: what their lines have in common is put together once."""
        if self._format is not json_line:
            return self.observe
        words, write, now = _words(like), self._write, time.time
        sample = 1.0 if like.failed else self._sample  # whether one has failed is part of its kind

        def alike(exchange: Exchange) -> None:
            if sample >= 1 or self._random.random() < sample:
                write(_line(exchange, now(), words))

        return alike

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

# The fields are `time` (RFC 3339, UTC, milliseconds: when the request's head was complete), then in this order:
#
#   direction protocol method authority | path | status reason aborted | duration_ms request_bytes response_bytes |
#   source | source_identity destination service route backend endpoint pod attempts tls | trace_id span_id
#
# What is empty is left out. A line is put together from pieces of text between these bars. Requests are alike, so the
# pieces are not made each time: what follows from an exchange's kind is worked out once a kind (`AccessLog.observer`);
# path, source, and method with authority are looked up, since a proxy meets ever new ones. Only times and sizes are
# written anew each time, without an encoder: they are plain numbers.

MOST_KNOWN = 128
"""Of each kind of piece that is remembered. When there are more, all are forgotten: what repeats is soon back."""
LONGEST_KNOWN = 256
"""Characters of a path that is remembered."""

_encode = msgspec.json.Encoder().encode
_C1 = re.compile("[\x80-\x9f]")
_asked: dict[tuple[str, str], str] = {}
_paths: dict[str, str] = {}
_sources: dict[Address, str] = {}
_hosts: dict[str, tuple[str, str]] = {}  # of `_sources`: each connection has another port, but few hosts connect

K = TypeVar("K")
V = TypeVar("V")

Words: TypeAlias = tuple[str, str, str]
"""The pieces that exchanges of one kind have in common: before the method, after the path, after the source."""


def json_line(exchange: Exchange, now: float) -> bytes:
    """One JSON object, without the line's end. `now`: the wall clock's seconds, as the exchange ends."""
    return _line(exchange, now, _words(exchange))


def _line(exchange: Exchange, now: float, words: Words) -> bytes:
    begin, ended, way = words
    seconds = exchange.ended - exchange.started
    if seconds < 0.0:
        seconds = 0.0
    asked, path, source = (exchange.method, exchange.authority), exchange.path, exchange.source
    what = _asked.get(asked)
    if what is None:
        what = _kept(_asked, asked, _members(method=exchange.method, authority=exchange.authority))
    where = _paths.get(path)
    if where is None:
        where = _new_path(path)
    whence = _sources.get(source)
    if whence is None:
        whence = _new_source(source)
    sizes = ""
    if exchange.request_bytes:
        sizes = f',"request_bytes":{exchange.request_bytes}'
    if exchange.response_bytes:
        sizes = f'{sizes},"response_bytes":{exchange.response_bytes}'
    span = exchange.span
    if span is not None:
        way += _members(trace_id=span.trace_id, span_id=span.span_id)
    return (
        f'{{"time":"{timestamp(now - seconds)}"{begin}{what}{where}{ended},"duration_ms":{seconds * 1000:.3f}{sizes}'
        f"{whence}{way}}}"
    ).encode()


def _words(exchange: Exchange) -> Words:
    endpoint, service = exchange.endpoint, exchange.service
    begin = _members(direction=exchange.direction, protocol=exchange.protocol)
    # as sent to the client, 0 where none was; a relayed connection has none. `reason`: why, where the proxy answered
    ended = f',"status":{exchange.status}' if exchange.protocol != "tcp" else ""
    ended += _members(reason=exchange.reason, aborted=exchange.aborted)
    way = _members(
        source_identity=exchange.source_identity, destination=_place(exchange.destination),
        service=service.authority if service is not None else "", route=exchange.route, backend=exchange.backend,
        endpoint=_place(endpoint.address) if endpoint is not None else "",
        pod=endpoint.pod if endpoint is not None else "", attempts=exchange.attempts, tls=exchange.secured,
    )  # fmt: skip
    return begin, ended, way


def _new_source(source: Address) -> str:
    ip, port = source
    around = _hosts.get(ip)
    if around is None:
        before, _, after = _members(source=_place(Address(ip, 0))).rpartition("0")
        around = _kept(_hosts, ip, (before, after))
    return _kept(_sources, source, f"{around[0]}{port}{around[1]}" if ip else "")


def _new_path(path: str) -> str:
    text = _members(path=path)
    return _kept(_paths, path, text) if len(path) <= LONGEST_KNOWN else text


def _kept(known: dict[K, V], key: K, value: V) -> V:
    if len(known) >= MOST_KNOWN:
        known.clear()
    known[key] = value
    return value


def _members(**fields: object) -> str:
    """`,"name":value` for each that is not empty, and safe for a terminal."""
    text = _encode({name: value for name, value in fields.items() if value})[1:-1].decode()
    return "," + _C1.sub(lambda match: f"\\u{ord(match[0]):04x}", text) if text else ""


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

_second: tuple[int, str] = (-1000, "")  # the one that was written last, in milliseconds, and its text
_millisecond: tuple[int, str] = (-1, "")  # the same of the millisecond: under load, several lines share one


def timestamp(wall: float) -> str:
    """RFC 3339 in UTC with milliseconds: "2026-11-20T19:35:00.123Z". The date is worked out once a second."""
    global _second, _millisecond
    millis = int(wall * 1000)
    known, text = _millisecond
    if millis == known:
        return text
    second, text = _second
    if not 0 <= millis - second < 1000:
        second = millis // 1000 * 1000
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second // 1000))
        _second = (second, text)
    text = f"{text}.{millis - second:03}Z"
    _millisecond = (millis, text)
    return text


def _to_stdout(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")


@hookimpl
def tulle_exporters() -> Mapping[str, ExporterFactory]:
    """The exporter `access-log`."""
    return {"access-log": AccessLog}
