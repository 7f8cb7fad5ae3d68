"""What matching costs in a proxy, printed as JSON: `python -m tests.acceptance.routing_cost`.

Owns two measurements in a process of its own: CPU time of whole requests through a proxy's parts (only the network is
canned, as in `make bench-profile`) with 1 rule and with 1,000; and time and memory for the configuration of 1,000
routes with 10 rules each, from objects to handlers.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from typing import Any

import trio
from google.protobuf.message import Message
from tulle_api.v1 import discovery_pb2 as pb
from tulle_control_plane.core.parse import Parser
from tulle_control_plane.core.snapshots import DestinationKey, Snapshots
from tulle_control_plane.translate import destination
from tulle_data_plane import stack
from tulle_data_plane.driver import Driver
from tulle_data_plane.host import Host
from tulle_data_plane.log import set_up
from tulle_data_plane.settings import Settings
from tulle_data_plane.shell.http1_server import Server
from tulle_plugin_api import Plugins, load
from tulle_plugin_api.protocols import Synced, Upserted

from bench.profile.canned import ENDPOINT, VIP, Client, Upstream
from bench.profile.layers import running

ROUNDS, REQUESTS = 21, 500
BACKEND = "default/app-b:80"


def table(kind: int, count: int) -> pb.Destination:
    """`count` rules: for other paths, and the last one for what the client asks."""
    end = pb.Endpoint(address=ENDPOINT.ip, port=ENDPOINT.port, pod="app-1", namespace="default")
    message = pb.Destination(
        address=str(VIP), known=True, protocol=pb.PROTOCOL_HTTP1,
        service=pb.Service(name="app-b", namespace="default", port=80, authority="app-b.default.svc.cluster.local:80"),
        backends=[pb.Backend(name=BACKEND, resolved=True, endpoints=[end, end])],
    )  # fmt: skip
    for number in range(count):
        message.routes.append(
            pb.Route(name=f"default/r/{number}", backends=[pb.WeightedBackend(backend=BACKEND, weight=1)])
        )
        if number == count - 1:  # a path that all begin with, and a condition, so that it is matched and not assumed
            message.matches.append(pb.RouteMatch(route=number, method="GET"))
        elif kind == pb.MATCH_TYPE_UNSPECIFIED:
            value = pb.ValueMatch(name="x-user", type=pb.MATCH_TYPE_EXACT, value=str(number))
            message.matches.append(pb.RouteMatch(route=number, headers=[value]))
        else:
            path = pb.PathMatch(type=pb.MatchType.ValueType(kind), value=f"/path/{number}")
            message.matches.append(pb.RouteMatch(route=number, path=path))
    return message


class Proxy:
    """A proxy's parts with one configuration."""

    def __init__(self, driver: Driver, plugins: Plugins, message: pb.Destination) -> None:
        host = Host(driver, Settings(exporters=()), plugins)
        self.route: Any = stack.outbound(message, host, None)
        host.outbound_pool.give_back(Upstream(same=False))
        self.driver = driver
        self.server = Server("outbound", driver, lambda exchange: None,
                             limits=host.limits, head_seconds=10.0, idle_seconds=600.0)  # fmt: skip

    async def serve(self, count: int) -> None:
        """So many requests; AssertionError when one is not answered."""
        client = Client(count, same=False)
        await self.driver.run(self.server.serve, client, b"", VIP, self.route)
        if client.answers != count or not bytes(client.last).startswith(b"HTTP/1.1 200"):
            raise AssertionError(f"{client.answers} answers of {count}, the last {bytes(client.last)[:200]!r}")


def costs(plugins: Plugins) -> dict[str, float]:
    """Microseconds of CPU a request, by what the rules match and how many there are: the quickest third's median."""
    kinds = {"exact": pb.MATCH_TYPE_EXACT, "prefix": pb.MATCH_TYPE_PREFIX, "header": pb.MATCH_TYPE_UNSPECIFIED}
    rounds: dict[str, list[float]] = {}

    async def measure() -> None:
        async with running() as driver:
            proxies = {
                f"{name} {count}": Proxy(driver, plugins, table(kind, count))
                for name, kind in kinds.items()
                for count in (1, 1000)
            }
            for proxy in proxies.values():
                await proxy.serve(REQUESTS)
            gc.collect()
            gc.freeze()
            for _ in range(ROUNDS):
                for name, proxy in proxies.items():
                    began = time.process_time_ns()
                    await proxy.serve(REQUESTS)
                    rounds.setdefault(name, []).append((time.process_time_ns() - began) / REQUESTS / 1000)

    trio.run(measure)
    return {name: statistics.median(sorted(each)[: ROUNDS // 3]) for name, each in rounds.items()}


def compiled(plugins: Plugins) -> dict[str, float]:
    """1,000 routes of 10 rules on one Service: seconds and bytes, control plane and proxy."""
    objects: list[dict[str, Any]] = [{
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "app-b", "namespace": "default"},
        "spec": {"clusterIP": VIP.ip, "clusterIPs": [VIP.ip], "ports": [{"port": VIP.port}]},
    }]  # fmt: skip
    for number in range(1000):
        rules = [
            {"matches": [{"path": {"type": "PathPrefix", "value": f"/{number}/{rule}"}}],
             "backendRefs": [{"name": "app-b", "port": VIP.port}]}
            for rule in range(10)
        ]  # fmt: skip
        objects.append({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": f"r{number}", "namespace": "default"},
            "spec": {"parentRefs": [{"kind": "Service", "group": "", "name": "app-b"}], "rules": rules},
        })  # fmt: skip
    snapshots = Snapshots(parser=Parser())
    times = [time.process_time()]
    for obj in objects:
        snapshots.apply(Upserted(obj))
    snapshots.apply(Synced())
    times.append(time.process_time())
    message = destination(snapshots.watch(DestinationKey("default", str(VIP))).result)  # type: ignore[arg-type]
    times.append(time.process_time())
    assert isinstance(message, Message)
    size = message.ByteSize()
    del snapshots, objects
    gc.collect()

    async def build() -> tuple[float, float, int]:
        async with running() as driver:
            host = Host(driver, Settings(exporters=()), plugins)
            before, began = resident(), time.process_time()
            target = stack.outbound(message, host, None)
            took = time.process_time() - began
            assert target.known
            return took, resident() - before, len(message.matches)

    took, grown, rows = trio.run(build)
    return {
        "rules": rows, "parse_seconds": times[1] - times[0], "compile_seconds": times[2] - times[1],
        "message_bytes": size, "build_seconds": took, "proxy_bytes": grown,
    }  # fmt: skip


def resident() -> float:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def main() -> None:
    """Measure both, print them."""
    set_up("error")
    plugins = load(kinds=("balancer", "policy"))
    print(json.dumps({"compiled": compiled(plugins), "costs": costs(plugins)}))


if __name__ == "__main__":
    main()
