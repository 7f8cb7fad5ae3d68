"""Reporting: sends telemetry to the control plane each second, and carries out what it asks for on the same stream.

Owns the stream and its reconnects. What is not delivered is lost after the stream's own buffer: figures of a moment
are worth nothing later, and the next report has the next moment's.
"""

from __future__ import annotations

import logging
import os
import random
from typing import Any

import trio
from tulle_api.v1 import telemetry_pb2 as pb
from tulle_trio_grpc import Backoff, Call, Channel, GrpcError, Stub

from tulle_data_plane.host import Host
from tulle_data_plane.log import log, say
from tulle_data_plane.settings import LEVELS
from tulle_data_plane.shell.discovery import INSTANCE
from tulle_data_plane.telemetry import Telemetry

SERVICE: Any = pb.DESCRIPTOR.services_by_name["Telemetry"]
INTERVAL = 1.0  # seconds
WELL_SECONDS = 10.0
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


async def report_forever(host: Host, telemetry: Telemetry, channel: Channel) -> None:
    """Report over `channel` until cancelled."""
    failures, backoff = 0, Backoff(first=0.2, longest=5.0)
    while True:
        began = trio.current_time()
        try:
            async with Stub(channel, SERVICE).Report.open() as call:
                await _report(call, host, telemetry)
        except (GrpcError, OSError) as error:
            say(logging.DEBUG, "no telemetry stream", error=str(error))
        except Exception:
            log.exception("unforeseen error in the telemetry stream")
        # a stream that lived for a while says that all was well until now
        failures = 1 if trio.current_time() - began > WELL_SECONDS else min(failures + 1, 6)
        await trio.sleep(backoff.delay(failures, random.random))


async def _report(call: Call[pb.ReportRequest, pb.ReportResponse], host: Host, telemetry: Telemetry) -> None:
    settings = host.settings
    node: pb.ReportingNode | None = pb.ReportingNode(
        pod=settings.pod_name,
        namespace=settings.pod_namespace,
        workload=settings.workload,
        service_account=settings.service_account,
        instance=INSTANCE,
    )
    async with trio.open_nursery() as nursery:

        async def commands() -> None:
            try:
                async for response in call:
                    if response.WhichOneof("command") == "set_log_level":
                        _set_log_level(response.set_log_level.level)
            except GrpcError as error:
                say(logging.DEBUG, "telemetry stream ended", error=str(error))
            nursery.cancel_scope.cancel()

        nursery.start_soon(commands)
        last = trio.current_time()
        try:
            while True:
                report = telemetry.take(round((trio.current_time() - last) * 1000))
                last = trio.current_time()
                report.gauges.CopyFrom(gauges())
                for row in host.faults.rows.values():
                    report.plugins.add(plugin=row.plugin, state=row.state, error=row.error, failures=row.failures)
                if node is not None:
                    report.node.CopyFrom(node)
                    node = None
                try:
                    await call.send(report)
                except GrpcError:
                    host.count("telemetry_reports_dropped_total")
                    raise
                await trio.sleep(INTERVAL)
        except GrpcError:
            pass  # `commands` says why


def _set_log_level(level: str) -> None:
    if level in LEVELS:
        log.setLevel(level.upper())
        say(logging.INFO, "log level set by the control plane", to=level)
    else:
        say(logging.WARNING, "unknown log level from the control plane", asked=level, expected=", ".join(LEVELS))
