"""The control plane put together: who is given what, started and stopped in which order.

Owns the process's tasks. It starts listening before the catalog has synced (proxies may wait in line), and stops in
the order in which nobody is surprised: no new streams, the old ones end with OK, then the API, then the catalog.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import grpc.aio
import msgspec
from tulle_plugin_api.config import decode
from tulle_plugin_api.loader import Plugins
from tulle_plugin_api.protocols import Catalog, Policy

from tulle_control_plane.core.parse import Parser, PluginsAtHand
from tulle_control_plane.core.policies import Directions
from tulle_control_plane.core.quota import Quotas
from tulle_control_plane.core.services import Settings as MeshSettings
from tulle_control_plane.core.snapshots import Snapshots
from tulle_control_plane.core.statuses import Statuses
from tulle_control_plane.directory import CatalogDirectory
from tulle_control_plane.feed import Feed
from tulle_control_plane.grpc.discovery import Discovery
from tulle_control_plane.grpc.proxies import Proxies
from tulle_control_plane.grpc.quota import Quota
from tulle_control_plane.grpc.server import listen, make_server
from tulle_control_plane.grpc.telemetry import Telemetry
from tulle_control_plane.reporting import Reporting
from tulle_control_plane.settings import Settings
from tulle_control_plane.telemetry.reports import Reports
from tulle_control_plane.telemetry.traffic import Traffic
from tulle_control_plane.web import serve
from tulle_control_plane.web.app import Api

log = logging.getLogger(__name__)

GRACE = 3.0  # seconds that streams have to end by themselves
API_HOST = "127.0.0.1"
"""The HTTP API has no authentication of its own. Who reaches the loopback of its pod has the cluster's leave to
(`pods/portforward`), or is the program itself; no other pod is. Not a setting: there is no good other value."""


def directions_of(plugins: Plugins) -> Directions:
    """What the policy plugins say of themselves. One that raises when it is asked sends nowhere, and is named."""

    def sends_to(type_: str, config: str) -> Sequence[tuple[str, int]]:
        policy = plugins.policies.get(type_)
        if policy is None or type(policy).backends is Policy.backends:
            return ()
        try:
            return list(policy.backends(decode(policy.config, msgspec.json.decode(config or "{}"))))
        except Exception:
            log.exception("policy plugin %s could not say where it sends to", type_)
            return ()

    return Directions(_DirectionsNow(plugins.policies), sends_to)


class _DirectionsNow(Mapping[str, str]):
    """By type; also of policies that are found later."""

    def __init__(self, policies: Mapping[str, Policy[Any]]) -> None:
        self._policies = policies

    def __getitem__(self, type_: str) -> str:
        return self._policies[type_].direction

    def __iter__(self) -> Iterator[str]:
        return iter(self._policies)

    def __len__(self) -> int:
        return len(self._policies)


class ControlPlane:
    """One instance a process. `started` is set once it listens; `stopping` ends it."""

    def __init__(self, settings: Settings, plugins: Plugins, make_catalog: Callable[[], Catalog]) -> None:
        self.settings = settings
        self._plugins = plugins
        self.stopping = asyncio.Event()
        self.started = asyncio.Event()
        self.grpc_port = 0
        self.api_port = 0
        self.health_port = 0
        at_hand = PluginsAtHand(plugins.policies, plugins.balancers, plugins.find)
        self.snapshots = Snapshots(
            parser=Parser(at_hand, settings.system_namespace),
            settings=MeshSettings(settings.cluster_domain, settings.opaque_ports),
            directions=directions_of(plugins),
        )
        self.proxies = Proxies(self.snapshots, time.time)
        self.reporting = Reporting(
            Statuses(self.snapshots, plugins.gone), lambda: self.feed.catalog, lambda: self.snapshots.synced
        )
        self.feed = Feed(
            settings.catalog, make_catalog, self.snapshots, self.proxies.changed, noted=self.reporting.noted
        )
        self.directory = CatalogDirectory(self.snapshots.store)
        self.traffic = Traffic(time.monotonic())
        self.telemetry = Telemetry(Reports(self.traffic, self.directory, on_malformed=_malformed), self.stopping)
        self.discovery = Discovery(self.proxies, self.stopping)
        self.quota = Quota(Quotas(), self.stopping)

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `stopping`. Raises PortTaken or SocketTaken before anything is served."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread: a test's
                loop.add_signal_handler(number, self.stopping.set)
        settings = self.settings
        server = make_server(self.discovery, self.telemetry, self.quota)
        self.grpc_port = listen(server, settings.host, settings.grpc_port)
        with contextlib.ExitStack() as opened:
            health = opened.enter_context(serve.tcp_socket(settings.host, settings.health_port, "TULLE_HEALTH_PORT"))
            sockets = [opened.enter_context(serve.tcp_socket(API_HOST, settings.api_port, "TULLE_API_PORT"))]
            self.health_port, self.api_port = health.getsockname()[1], sockets[0].getsockname()[1]
            if settings.api_socket is not None:
                sockets.append(opened.enter_context(serve.unix_socket(settings.api_socket)))
                opened.callback(settings.api_socket.unlink, missing_ok=True)
            await self._serve(server, sockets, health)

    async def _serve(self, server: grpc.aio.Server, sockets: list[socket.socket], health_socket: socket.socket) -> None:
        answers = self._api()
        api, health = serve.make_server(answers.app()), serve.make_server(answers.health())
        await server.start()
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(part.run(), name=name)
                for name, part in (
                    ("catalog", self.feed),
                    ("refresh", self.proxies),
                    ("expiry", self.telemetry),
                    ("statuses", self.reporting),
                )
            ]
            web = tasks.create_task(api.serve(sockets), name="api")
            asked = tasks.create_task(health.serve([health_socket]), name="health")
            ports = {"grpc_port": self.grpc_port, "api_port": self.api_port, "health_port": self.health_port}
            log.info("listening", extra=ports)
            self.started.set()
            await self.stopping.wait()
            log.info("stopping: no new streams, the open ones end")
            await server.stop(GRACE)
            api.should_exit = health.should_exit = True
            await asyncio.gather(web, asked)
            for task in background:
                task.cancel()

    def _api(self) -> Api:
        return Api(
            version=version("tulle-control-plane"),
            cluster_domain=self.settings.cluster_domain,
            started=time.time(),
            proxies=self.proxies,
            feed=self.feed,
            telemetry=self.telemetry,
            traffic=self.traffic,
            directory=self.directory,
            gone=self._plugins.gone,
        )


def _malformed(reporter: str, problem: str) -> None:
    log.warning("a part of a report was left out", extra={"reporter": reporter, "problem": problem})
