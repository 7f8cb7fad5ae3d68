"""Reporting: sends telemetry to the control plane each second, and carries out what it asks for on the same stream.

Owns the stream and its reconnects. What is not delivered is lost after the stream's own buffer: figures of a moment
are worth nothing later, and the next report has the next moment's. The last one is waited for (`Reporting.finish`).
"""

from __future__ import annotations

import logging
import os
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio
from tulle_api.v1 import telemetry_pb2 as pb
from tulle_trio_grpc import Backoff, Call, Channel, GrpcError, Stub

from tulle_data_plane.destinations import Destinations
from tulle_data_plane.host import Host
from tulle_data_plane.log import log, say
from tulle_data_plane.settings import LEVELS
from tulle_data_plane.shell.discovery import INSTANCE
from tulle_data_plane.telemetry import Telemetry

if TYPE_CHECKING:
    from tulle_data_plane.shell.explaining import Explaining

SERVICE: Any = pb.DESCRIPTOR.services_by_name["Telemetry"]
INTERVAL = 1.0  # seconds
WELL_SECONDS = 10.0
MOST_AT_ONCE = 64
"""Reports that wait to be sent at once."""
PAGE = os.sysconf("SC_PAGE_SIZE")


def gauges() -> pb.ProxyGauges:
    """The process's own figures."""
    with open("/proc/self/statm", "rb") as statm:
        resident = int(statm.read().split()[1]) * PAGE
    return pb.ProxyGauges(
        resident_bytes=resident,
        open_descriptors=len(os.listdir("/proc/self/fd")),
        tasks=trio.lowlevel.current_statistics().tasks_living,
    )


class Reporting:
    """One proxy's reports."""

    def __init__(self, host: Host, telemetry: Telemetry, destinations: Destinations) -> None:
        self._host = host
        self._telemetry = telemetry
        self._destinations = destinations
        # to be sent at once; None: look whether this is the end
        self._at_once, self._told = trio.open_memory_channel[pb.ReportRequest | None](MOST_AT_ONCE)
        self._explaining: Explaining | None = None  # there is one once somebody asks
        self._streaming = False
        self._ending = trio.Event()
        self._ended = trio.Event()

    async def run(self, channel: Channel) -> None:
        """Report over `channel` until `finish`, or until cancelled."""
        failures, backoff = 0, Backoff(first=0.2, longest=5.0)
        while not self._ending.is_set():
            began = trio.current_time()
            try:
                async with Stub(channel, SERVICE).Report.open() as call:
                    self._streaming = True
                    await self._report(call)
            except (GrpcError, OSError) as error:
                say(logging.DEBUG, "no telemetry stream", error=str(error))
            except Exception:
                log.exception("unforeseen error in the telemetry stream")
            finally:
                self._streaming = False
            if self._ending.is_set():
                break
            # a stream that lived for a while says that all was well until now
            failures = 1 if trio.current_time() - began > WELL_SECONDS else min(failures + 1, 6)
            await trio.sleep(backoff.delay(failures, random.random))
        self._ended.set()

    async def finish(self, seconds: float) -> None:
        """Send what was seen since the last report, and wait until the control plane has it: at most `seconds`, and
        not at all while there is no stream."""
        self._ending.set()
        if self._streaming:
            with suppress(trio.WouldBlock):  # it is awake
                self._at_once.send_nowait(None)
            with trio.move_on_after(seconds):
                await self._ended.wait()

    async def _report(self, call: Call[pb.ReportRequest, pb.ReportResponse]) -> None:
        """Until the stream ends: by the control plane, or after the last report, which says that it has come."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, call)
            try:
                async for response in call:
                    command = response.WhichOneof("command")
                    if command == "set_log_level":
                        _set_log_level(response.set_log_level.level)
                    elif command in ("expect", "send", "forget"):
                        nursery.start_soon(self._explain, response)
            except GrpcError as error:
                say(logging.DEBUG, "telemetry stream ended", error=str(error))
            nursery.cancel_scope.cancel()

    async def _send(self, call: Call[pb.ReportRequest, pb.ReportResponse]) -> None:
        """A report each second, and a last one."""
        last, first, ending = trio.current_time(), True, False
        try:
            while True:
                report = self._telemetry.take(round((trio.current_time() - last) * 1000))
                last = trio.current_time()
                if first:
                    report.node.CopyFrom(self._node())
                    first = False
                report.gauges.CopyFrom(gauges())
                for row in self._host.faults.rows.values():
                    report.plugins.add(plugin=row.plugin, state=row.state, error=row.error, failures=row.failures)
                try:
                    await call.send(report)
                except GrpcError:
                    self._host.count("telemetry_reports_dropped_total")
                    raise
                if ending:
                    return await call.done_writing()
                next_at = trio.current_time() + INTERVAL
                while not self._ending.is_set() and (urgent := await self._until(next_at)) is not None:
                    await call.send(urgent)
                ending = self._ending.is_set()
        except GrpcError:
            pass  # `_report` says why

    async def _until(self, moment: float) -> pb.ReportRequest | None:
        """What is to be told at once; None when the moment, or the end, has come."""
        with trio.move_on_at(moment):  # around the wait alone: a message is sent whole or not at all
            return await self._told.receive()
        return None

    async def _explain(self, command: pb.ReportResponse) -> None:
        if self._explaining is None:
            from tulle_data_plane.shell.explaining import Explaining  # a proxy of which nobody asks does without

            self._explaining = Explaining(self._host, self._destinations, self._tell)
        await self._explaining.carry_out(command)

    def _tell(self, report: pb.ReportRequest) -> None:
        try:
            self._at_once.send_nowait(report)
        except trio.WouldBlock:
            self._host.count("telemetry_reports_dropped_total")
        self._host.driver.call_trio()

    def _node(self) -> pb.ReportingNode:
        settings = self._host.settings
        return pb.ReportingNode(
            pod=settings.pod_name,
            namespace=settings.pod_namespace,
            workload=settings.workload,
            service_account=settings.service_account,
            instance=INSTANCE,
        )


def _set_log_level(level: str) -> None:
    if level in LEVELS:
        log.setLevel(level.upper())
        say(logging.INFO, "log level set by the control plane", to=level)
    else:
        say(logging.WARNING, "unknown log level from the control plane", asked=level, expected=", ".join(LEVELS))
