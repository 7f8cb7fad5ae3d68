"""The proxy's own parts, put together once for each line of the table; each line has one layer more than the last.

Owns the order, which is the stack's from the client inwards, then the observers. The parts are the proxy's: only the
network is canned. What a layer costs is its line's figure less that of the line above.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_data_plane import routes, stack
from tulle_data_plane.driver import Driver
from tulle_data_plane.host import Host
from tulle_data_plane.settings import Settings
from tulle_data_plane.shell.http1_server import Server
from tulle_data_plane.telemetry import Telemetry
from tulle_plugin_api import Direction, Exchange, ExporterContext, Handler, Headers, Plugins, Response

from bench.profile.asked import ASKED, OPTIONS
from bench.profile.canned import ANSWER, ENDPOINT, VIP, Client, Upstream
from bench.services import CANARY_WEIGHT, STABLE_WEIGHT
from bench.subjects.manifests import POLICIES

SHADOW = "bench/shadow:80"
HEADERS = Headers.of([("server", "nginx"), ("content-type", "text/plain"), ("content-length", "3")])


@dataclass(frozen=True)
class Layers:
    """What is there besides the client's codec."""

    stack: bool = False
    dial: bool = False
    policies: tuple[str, ...] = ()
    telemetry: bool = False
    exporters: tuple[str, ...] = ()
    inbound: bool = False
    """A request that comes in, at the server's proxy."""


def lines(plugins: Plugins) -> list[tuple[str, Layers]]:
    """Names and layers, from the least to everything, as far as installed."""
    policies = [name for name in POLICIES if name in plugins.policies]
    exporters = [name for name in ("prometheus", "access-log") if name in plugins.exporters]
    made = [
        ("client's side: read a request, write an answer", Layers()),
        ("rescue, route, balance", Layers(stack=True)),
        ("dial: pool, and the upstream's side", Layers(stack=True, dial=True)),
    ]
    for number, name in enumerate(policies, 1):
        made.append((f"policy {name}", Layers(True, True, tuple(policies[:number]))))
    made.append(("telemetry", Layers(True, True, tuple(policies), True)))
    for number, name in enumerate(exporters, 1):
        made.append((f"exporter {name}", Layers(True, True, tuple(policies), True, tuple(exporters[:number]))))
    return made


def destination(policies: tuple[str, ...]) -> pb.Destination:
    """What the control plane would say of the bench's app: two backends by weight, and policies."""
    backends = ("bench/app:80", "bench/app-canary:80")
    end = pb.Endpoint(address=ENDPOINT.ip, port=ENDPOINT.port, pod="app-1", namespace="bench",
                      workload="deployment/app")
    return pb.Destination(
        address=str(VIP), known=True, protocol=pb.PROTOCOL_DETECT,
        service=pb.Service(name="app", namespace="bench", port=80, authority="app.bench.svc.cluster.local:80"),
        policies=[_policy(name) for name in policies],
        routes=[pb.Route(name="bench/app", backends=[
            pb.WeightedBackend(backend=name, weight=weight)
            for name, weight in zip(backends, (STABLE_WEIGHT, CANARY_WEIGHT), strict=True)
        ])],
        backends=[pb.Backend(name=name, resolved=True, endpoints=[end, end]) for name in (*backends, SHADOW)],
    )


def _policy(name: str) -> pb.Policy:
    return pb.Policy(type=name, source=f"bench/{name}", config=json.dumps(ASKED[name]))


def port(policies: tuple[str, ...]) -> pb.InboundPort:
    """What it would say of a pod's own port."""
    service = pb.Service(name="app", namespace="bench", port=80, authority="app.bench.svc.cluster.local:80")
    return pb.InboundPort(port=80, protocol=pb.PROTOCOL_DETECT, service=service,
                          policies=[_policy(name) for name in policies])


async def constant(exchange: Exchange) -> Response:
    """Stands where a layer is left out."""
    return Response(200, HEADERS, b"ok\n")


def _no_dial(*_: object, **__: object) -> Handler:
    return constant


def ignore(exchange: Exchange) -> None:
    """An observer that does nothing."""


@dataclass
class _Route:
    handler: Handler
    service: Any = None


class Assembly:
    """One line's parts, on a running driver."""

    def __init__(self, driver: Driver, plugins: Plugins, layers: Layers, *, same: bool = False) -> None:
        settings = Settings(exporters=layers.exporters)
        host = Host(driver, settings, plugins)
        if layers.telemetry:
            telemetry = Telemetry()
            host.observe("telemetry", telemetry.observe, telemetry.opened, telemetry.observer)
        for name in layers.exporters:
            host.add_exporter(name, plugins.exporters[name](_context(name)))
        self.driver, self.same = driver, same
        self.route: Any = _Route(constant)
        if layers.stack:
            # the one part of the stack that is left out by exchanging it, while the stack is built
            left_out = contextlib.nullcontext() if layers.dial else mock.patch.object(routes, "dial_http1", _no_dial)
            with left_out:
                self.route = (stack.inbound(port(layers.policies), host) if layers.inbound else
                              stack.outbound(destination(layers.policies), host, None))
        if layers.inbound:
            host.inbound_pool.give_back(Upstream(VIP, same=same))
        for _ in range(2):  # the second for a copy
            host.outbound_pool.give_back(Upstream(same=same))
        direction: Direction = "inbound" if layers.inbound else "outbound"
        ended = host.ended if layers.telemetry else ignore
        self.server = Server(direction, driver, ended, limits=host.limits, head_seconds=10.0, idle_seconds=600.0)

    async def serve(self, count: int) -> None:
        """So many requests of one connection. Raises AssertionError when one is not answered with 200."""
        client = Client(count, same=self.same, turn=self.driver.turn)
        await self.driver.run(self.server.serve, client, b"", VIP, self.route)
        if client.answers != count or (count and not bytes(client.last).startswith(ANSWER[:12])):
            raise AssertionError(f"{client.answers} answers of {count}, the last {bytes(client.last)[:200]!r}")


def _context(name: str) -> ExporterContext:
    return ExporterContext(pod="bench-1", namespace="bench", workload="deployment/bench", node="node",
                           service_account="default", version="0", options=OPTIONS.get(name, {}),
                           write_line=lambda line: None)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Driver]:
    """A driver that steps strands."""
    driver = Driver()
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.serve)
        yield driver
        nursery.cancel_scope.cancel()
    driver.close()
