"""Telemetry.Report: one stream a proxy, on which it says what it saw.

Owns the conversation and each proxy's own gauges; telemetry/ owns the figures, explaining.py what is asked back on the
same stream (tap and log levels come).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import grpc
from tulle_api.v1 import telemetry_pb2 as pb

from tulle_control_plane.grpc.discovery import Context
from tulle_control_plane.grpc.explaining import Explaining
from tulle_control_plane.telemetry.reports import Reports

log = logging.getLogger(__name__)

EXPIRE_EVERY = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Gauges:
    """A proxy's own process, at its last report."""

    instance: str
    resident_bytes: int
    open_descriptors: int
    tasks: int


@dataclass(frozen=True, slots=True)
class PluginFault:
    """What one plugin has done wrong in a proxy, since that started."""

    plugin: str
    state: str
    error: str
    failures: int


class _Asking:
    """Writes what a proxy is asked, as fast as it reads, until `end`."""

    def __init__(self, explaining: Explaining, key: tuple[str, str], context: Context) -> None:
        self._explaining, self._key = explaining, key
        self._line = explaining.connect(key)
        self._writing = asyncio.ensure_future(self._write(context))

    async def _write(self, context: Context) -> None:
        try:
            while True:
                await context.write(await self._line.get())
        except (grpc.RpcError, asyncio.InvalidStateError):  # the stream has ended: who reads it finds out why
            pass

    def end(self) -> None:
        """The stream ends."""
        self._explaining.disconnect(self._key, self._line)
        self._writing.cancel()


MAX_FAULTS = 100  # of one proxy
LONGEST_TEXT = 300


class Telemetry:
    """The service. `now` is monotonic seconds."""

    def __init__(self, reports: Reports, stopping: asyncio.Event, now: Callable[[], float] = time.monotonic) -> None:
        self._reports = reports
        self._stopping = stopping
        self._now = now
        self.gauges: dict[tuple[str, str], Gauges] = {}
        self.faults: dict[tuple[str, str], tuple[PluginFault, ...]] = {}
        self.explaining = Explaining()

    async def report(self, requests: AsyncIterator[pb.ReportRequest], context: Context) -> None:
        """Take one proxy's reports until either side ends the stream."""
        reading = asyncio.ensure_future(self._read(requests, context))
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((reading, stopped), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                problem = reading.result()
                if problem:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, problem)
        finally:
            reading.cancel()
            stopped.cancel()
            await asyncio.gather(reading, stopped, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[pb.ReportRequest], context: Context) -> str:
        node: pb.ReportingNode | None = None
        asking: _Asking | None = None
        try:
            async for report in requests:
                if report.HasField("node"):
                    if not report.node.pod or not report.node.namespace:
                        return "`node` needs `pod` and `namespace`"
                    if node is None:
                        asking = _Asking(self.explaining, (report.node.namespace, report.node.pod), context)
                    node = report.node
                if node is None:
                    return "the first report must name its `node`"
                if self.explaining.take((node.namespace, node.pod), report):
                    continue
                self._reports.take(node, report, self._now())
                if report.HasField("gauges"):
                    self.gauges[node.namespace, node.pod] = Gauges(
                        node.instance,
                        report.gauges.resident_bytes,
                        report.gauges.open_descriptors,
                        report.gauges.tasks,
                    )
                self.faults[node.namespace, node.pod] = tuple(
                    PluginFault(
                        fault.plugin[:LONGEST_TEXT], fault.state[:LONGEST_TEXT], fault.error[:LONGEST_TEXT],
                        fault.failures,
                    )
                    for fault in report.plugins[:MAX_FAULTS]
                )  # fmt: skip
        finally:
            if asking is not None:
                asking.end()
            if node is not None:
                self._reports.forget(node)
                gauges = self.gauges.get((node.namespace, node.pod))
                if gauges is None or gauges.instance == node.instance:  # else it has come back already
                    self.gauges.pop((node.namespace, node.pod), None)
                    self.faults.pop((node.namespace, node.pod), None)
        return ""

    async def run(self) -> None:
        """Let go of old series now and then. Runs until cancelled."""
        while True:
            await asyncio.sleep(EXPIRE_EVERY)
            self._reports.traffic.expire(self._now())
