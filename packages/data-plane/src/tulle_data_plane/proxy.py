"""The proxy: all parts put together, from the first listener to the end of the drain.

Owns the life of the process's parts and the order in which they start and stop. Refuses to read the environment or
signals (main.py does), so that tests run whole proxies inside one process.
"""

from __future__ import annotations

import gc
import logging
import socket
from collections.abc import Callable
from typing import Any

import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Address, Exchange, Plugins
from tulle_trio_grpc import Backoff, Keepalive, open_channel

from tulle_data_plane import __version__, exporters, lean, limits
from tulle_data_plane.driver import Driver
from tulle_data_plane.host import Host
from tulle_data_plane.log import log, say
from tulle_data_plane.settings import Settings
from tulle_data_plane.shell.admin import Admin
from tulle_data_plane.shell.capture import Capture, Codec, Stage
from tulle_data_plane.shell.channel import accepted
from tulle_data_plane.shell.discovery import ControlStream
from tulle_data_plane.shell.http1_server import Server
from tulle_data_plane.shell.listener import accept_forever, listen
from tulle_data_plane.shell.original_destination import original_destination
from tulle_data_plane.shell.output import Lines
from tulle_data_plane.shell.reporting import Reporting, gauges
from tulle_data_plane.telemetry import Telemetry

HOUSEKEEPING_SECONDS = 5.0
SWEEP_SECONDS = 0.5
"""Between looks for requests that a policy does not let go of."""
FEW_CONNECTIONS = 500
"""With no more than these, looking at every object for garbage takes less than a millisecond or two."""
REPORT_SECONDS = 1.0  # for the last report to be taken
DRAIN_QUIET_SECONDS = 1.0
"""While draining: with nothing in flight for so long, idle connections are not waited for."""


class Proxy:
    """One proxy. `run` is its whole life."""

    def __init__(
        self,
        settings: Settings,
        plugins: Plugins,
        *,
        find_destination: Callable[[socket.socket], Address] = original_destination,
        stages: dict[str, Stage] | None = None,
        codecs: dict[int, Codec] | None = None,
    ) -> None:
        """`stages`: by direction, what turns a captured channel into a secured one. `codecs`: in addition to HTTP/1.1.

        Raises BadSettings for an exporter that is not installed.
        """
        self.settings = settings
        self.driver = Driver()
        self.host = Host(self.driver, settings, plugins)
        self.telemetry = Telemetry()
        self.lines = Lines()
        self.exporters = exporters.make(self.host, self.counters, self.lines.write)
        self.host.observe("telemetry", self.telemetry.observe, self.telemetry.opened, self.telemetry.observer)
        for name, exporter in self.exporters.items():
            self.host.add_exporter(name, exporter)
        self.control = ControlStream(self.host)
        self.reporting = Reporting(self.host, self.telemetry, self.control.destinations)
        self._servers = {direction: self._server(direction) for direction in ("outbound", "inbound")}
        self.captures: dict[str, Capture] = {}
        for direction, lookup in (
            ("outbound", self.control.destinations.lookup),
            ("inbound", self.control.destinations.lookup_inbound),
        ):
            by_protocol: dict[int, Codec] = {pb.PROTOCOL_HTTP1: self._servers[direction]}
            self.captures[direction] = Capture(
                direction,  # type: ignore[arg-type]
                self.host,
                lookup,
                by_protocol | (codecs or {}),
                stage=(stages or {}).get(direction),
                own_ips=(*settings.pod_ips, settings.pod_ip),
                find_destination=find_destination,
            )
        self.ports: dict[str, int] = {}  # as bound: "outbound", "inbound", "admin"
        self._was_ready = False
        self._draining = False
        self._stop = trio.Event()
        self._driving = trio.CancelScope(shield=True)

    # --- parts ----------------------------------------------------------------------------------------------

    def _server(self, direction: str) -> Server:
        return Server(
            direction,  # type: ignore[arg-type]
            self.driver,
            self.host.ended,
            limits=self.host.limits,
            head_seconds=self.settings.head_seconds,
            idle_seconds=self.settings.idle_seconds,
            write_seconds=self.settings.write_seconds,
            body_rate=self.settings.body_rate,
            body_grace_seconds=self.settings.body_grace_seconds,
            pipes=self.host.pipes,
        )

    def counters(self) -> dict[str, float]:
        """The proxy's own counters and gauges, for exporters."""
        process = gauges()
        return {
            **self.host.counters,
            "tulle_proxy_connections_open_inbound": self.captures["inbound"].open,
            "tulle_proxy_connections_open_outbound": self.captures["outbound"].open,
            "tulle_proxy_requests_in_flight": sum(server.in_flight for server in self._servers.values()),
            "tulle_proxy_pool_idle_connections": self.host.outbound_pool.idle + self.host.inbound_pool.idle,
            "tulle_proxy_pool_connects_total": self.host.outbound_pool.connects + self.host.inbound_pool.connects,
            "tulle_proxy_destinations": len(self.control.destinations.entries),
            "tulle_proxy_control_plane_connected": float(self.control.destinations.connected),
            "tulle_proxy_log_lines_dropped_total": self.lines.dropped,
            "tulle_proxy_driver_steps_total": self.driver.steps,
            "tulle_proxy_resident_bytes": process.resident_bytes,
            "tulle_proxy_open_descriptors": process.open_descriptors,
            "tulle_proxy_tasks": process.tasks,
            **limits.hits(),
            **exporters.counters(self.host, self.exporters),
        }

    # --- life -----------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `shut_down` was called and the drain is over, or until cancelled. Closes everything it opened.

        `task_status.started` is called when all ports are bound. Raises OSError when one cannot be.
        """
        listeners: dict[str, list[socket.socket]] = {}
        try:
            for name in ("outbound", "inbound", "admin"):
                listeners[name] = listen(getattr(self.settings, f"{name}_port"))
                self.ports[name] = listeners[name][0].getsockname()[1]
            for capture in self.captures.values():
                capture.own_ports = (self.ports["outbound"], self.ports["inbound"])
            async with trio.open_nursery() as outermost:
                await outermost.start(self._drive)
                try:
                    await self._run_parts(listeners, task_status)
                finally:
                    self._driving.cancel()
        finally:
            for sockets in listeners.values():
                for sock in sockets:
                    sock.close()
            self.host.outbound_pool.close()
            self.host.inbound_pool.close()
            self.host.pipes.close()
            self.driver.close()

    async def _drive(self, task_status: trio.TaskStatus[None]) -> None:
        # shielded: when we are cancelled, connections still need the driver to unwind
        with self._driving:
            await self.driver.serve(task_status=task_status)

    async def _run_parts(self, listeners: dict[str, list[socket.socket]], task_status: trio.TaskStatus[None]) -> None:
        # Nurseries end from the inside out: the admin port outlives the drain.
        async with trio.open_nursery() as background:
            for sock in listeners["admin"]:
                background.start_soon(accept_forever, self.driver, sock, self._serve_admin)
            background.start_soon(self.lines.run)
            background.start_soon(self._housekeeping)
            background.start_soon(self._sweep)
            for name, exporter in self.exporters.items():
                background.start_soon(exporters.run, self.host, name, exporter)
            if self.settings.control_plane:
                background.start_soon(self._talk_to_control_plane)
            async with trio.open_nursery() as connections:
                for direction, capture in self.captures.items():
                    for sock in listeners[direction]:
                        connections.start_soon(
                            accept_forever, self.driver, sock, capture.handle, self.host.ceiling
                        )
                task_status.started()
                await self._stop.wait()
                await self._drain()
                connections.cancel_scope.cancel()
            await self.reporting.finish(REPORT_SECONDS)
            for name, exporter in self.exporters.items():
                await exporters.close(self.host, name, exporter)
            background.cancel_scope.cancel()

    def shut_down(self) -> None:
        """Begin the end: not ready, keep serving, finish what is in flight."""
        if not self._draining:
            self._draining = True
            for server in self._servers.values():
                server.draining = True
            say(logging.INFO, "draining", longest_seconds=self.settings.drain_seconds)
            self._stop.set()

    async def _drain(self) -> None:
        """Until nothing is open, or nothing has been in flight for a moment, or the drain's longest time is over."""
        quiet = 0.0
        with trio.move_on_after(self.settings.drain_seconds) as scope:
            while any(capture.open for capture in self.captures.values()) and quiet < DRAIN_QUIET_SECONDS:
                await trio.sleep(0.05)
                busy = any(server.in_flight for server in self._servers.values()) or self._relaying()
                quiet = 0.0 if busy else quiet + 0.05
        say(logging.INFO, "drained", cut_off=scope.cancelled_caught,
            connections=sum(capture.open for capture in self.captures.values()))

    def _relaying(self) -> bool:
        return any(capture.relaying for capture in self.captures.values())

    def ready(self) -> str:
        """Why this proxy is not ready, or "". Once ready it stays so, whatever becomes of the control plane."""
        if self._draining:
            return "draining"
        if not self._was_ready:
            if self.settings.control_plane and not self.control.synced.is_set():
                refused = self.control.rejected.get("inbound")
                if refused:
                    return f"the inbound configuration was refused: {refused}"
                return f"waiting for the control plane at {self.settings.control_plane}"
            self._was_ready = True
            say(logging.INFO, "ready")
        return ""

    # --- background -------------------------------------------------------------------------------------------

    async def _talk_to_control_plane(self) -> None:
        async with open_channel(
            self.settings.control_plane,
            keepalive=Keepalive(interval=30.0, timeout=10.0),
            connect_timeout=5.0,
            backoff=Backoff(longest=1.0),  # a control plane that is back is heard within about a second
        ) as channel, trio.open_nursery() as nursery:
            nursery.start_soon(self.control.run, channel)
            nursery.start_soon(self.reporting.run, channel)
            nursery.start_soon(self.host.leases.run, channel)

    async def _housekeeping(self) -> None:
        while True:
            await trio.sleep(HOUSEKEEPING_SECONDS)
            now = self.driver.now()
            self.host.outbound_pool.reap(now)
            self.host.inbound_pool.reap(now)
            self.control.destinations.evict(now)
            self.control.settle(now)
            if gc.get_count()[2] > 0 and sum(capture.open for capture in self.captures.values()) < FEW_CONNECTIONS:
                gc.collect()  # ended connections leave cycles; the collector by itself waits for 70,000 objects
            lean.give_back()

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(SWEEP_SECONDS if self.host.guards else HOUSEKEEPING_SECONDS)
            self.host.sweep(self.driver.now())

    async def _serve_admin(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        admin = Admin(
            ready=self.ready,
            config=self.describe,
            exporters=self.exporters,
            counters=self.counters,
            failed=self.host.exporter_failed,
            shutdown=self.shut_down,
        )
        server = Server("inbound", self.driver, _nobody, limits=self.host.limits,
                        head_seconds=5.0, idle_seconds=30.0, write_seconds=30.0)
        try:
            channel = accepted(self.driver, sock, peer)
        except OSError:
            return
        try:
            await server.serve(channel, b"", Address("", self.ports["admin"]), admin)
        except Exception:
            log.exception("unforeseen error on the admin port")
        finally:
            channel.close()

    def describe(self) -> dict[str, Any]:
        """The configuration in force, for `GET /config`."""
        destinations = self.control.destinations
        now = self.driver.now()
        return {
            "version": __version__,
            "pod": f"{self.settings.pod_namespace}/{self.settings.pod_name}",
            "control_plane": {"address": self.settings.control_plane, "connected": destinations.connected},
            "rejected": self.control.rejected,
            "quotas": self.host.leases.describe(),
            "plugins": self.host.faults.describe(),
            "destinations": {
                str(address): {
                    "version": entry.version,
                    "known": entry.target.known,
                    "service": entry.target.service.authority if entry.target.service else None,
                    "protocol": pb.Protocol.Name(entry.target.protocol),
                    "connections": entry.target.users,
                    "backends": {
                        name: {
                            "resolved": backend.resolved,
                            "endpoints": {
                                str(e.address): {
                                    "pod": e.pod,
                                    "weight": e.weight,
                                    "state": "ejected" if backend.ejections.ejected(e, now) else "ready",
                                }
                                for e in backend.endpoints
                            },
                        }
                        for name, backend in entry.target.backends.items()
                    },
                }
                for address, entry in destinations.entries.items()
            },
            "inbound": {
                str(port): {
                    "service": target.service.authority if target.service else None,
                    "protocol": pb.Protocol.Name(target.protocol),
                }
                for port, target in destinations.inbound.items()
            },
        }


def _nobody(exchange: Exchange) -> None:
    """The admin port's own exchanges are nobody's traffic."""


