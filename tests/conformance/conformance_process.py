"""The fast form: the control plane's core, a whole proxy on loopback, and echo servers, all in this process.

Only the stream between control plane and proxy is left out: the message that it would carry is handed over. Owns the
same offer to tests as conformance_lab.py, which is the form that docs/conformance.md's rows are proven by.
"""

import importlib.util
import json
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import trio
from conformance_objects import Got, Request, named
from tulle_control_plane.control_plane import directions_of
from tulle_control_plane.core.parse import Parser, PluginsAtHand
from tulle_control_plane.core.snapshots import DestinationKey, Snapshots
from tulle_control_plane.translate import destination
from tulle_control_plane.web.rows import catalog
from tulle_plugin_api import Address, load
from tulle_plugin_api.protocols import Deleted, Synced, Upserted
from tulle_testkit import Answer, http_upstream

ROOT = Path(__file__).parents[2]
PLUGINS = load(kinds=("policy", "balancer"))
VIPS = {"default": "10.96.0.", "far": "10.97.0."}


def _harness():
    name = "tulle_data_plane_tests_harness"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "packages/data-plane/tests/harness.py")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


harness = _harness()


class App:
    """An echo server that does as it is told."""

    def __init__(self, service, version):
        self.service, self.version = service, version
        self.upstream = None
        self.be()

    def be(self, *statuses):
        self.left, self.seen = list(statuses) or [200], []

    def __call__(self, request):
        self.seen.append(
            Request(request.method, request.target, list(request.headers), request.body.decode("latin-1"),
                    trio.current_time())
        )  # fmt: skip
        status = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        told = {
            "service": self.service, "version": self.version, "path": request.target, "method": request.method,
            "headers": [[name, value] for name, value in request.headers],
        }  # fmt: skip
        fields = (("content-type", "application/json"), ("x-echo", "1"))
        return Answer(status, headers=fields, body=json.dumps(told).encode())


class Cluster:
    """See the module's docstring."""

    form = "process"

    def __init__(self, m, stack):
        self.m, self._stack = m, stack
        m.host.runtime.random.seed(7)
        self.snapshots = Snapshots(
            parser=Parser(PluginsAtHand(PLUGINS.policies, PLUGINS.balancers)), directions=directions_of(PLUGINS)
        )
        self.snapshots.apply(Synced())
        self.refusals_are_meant = False
        self._apps, self._silent, self._vips = {}, {}, {}

    # --- objects --------------------------------------------------------------------------------------------------

    def tell(self, *objects):
        """Apply objects; in force with the next request."""
        for obj in objects:
            self.snapshots.apply(Upserted(msgspec.json.decode(msgspec.json.encode(obj))))

    def delete(self, kind, name, namespace="default"):
        self.snapshots.apply(Deleted(kind, namespace, name))

    def service(self, name, namespace="default", *, headless=False):
        """A Service without endpoints."""
        if (name, namespace) not in self._vips:
            self._vips[name, namespace] = VIPS[namespace] + str(len(self._vips) + 1)
        vip = self._vips[name, namespace]
        addresses = {"clusterIP": "None"} if headless else {"clusterIP": vip, "clusterIPs": [vip]}
        self.tell({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {**addresses, "ports": [{"port": port, "name": f"p{port}"} for port in (80, 81, 8080)]},
        })  # fmt: skip

    def _endpoint(self, name, port, namespace, version):
        """A ready pod of that version on a loopback port."""
        pod = f"{name}-{port}"
        self.tell(
            {"apiVersion": "v1", "kind": "Pod",
             "metadata": {"name": pod, "namespace": namespace, "labels": {"app": name, "version": version}},
             "spec": {"containers": [{"name": "app"}]}, "status": {"podIP": "127.0.0.1", "phase": "Running"}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {"name": pod, "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
             "ports": [{"port": port, "protocol": "TCP", "name": f"p{number}"} for number in (80, 81, 8080)],
             "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True},
                            "targetRef": {"kind": "Pod", "name": pod, "namespace": namespace}}]},
        )  # fmt: skip

    async def app(self, given):
        namespace, name, version = named(given)
        app = self._apps[given] = App(name, version)
        app.upstream = await self._stack.enter_async_context(http_upstream(app))
        self.service(name, namespace)
        self._endpoint(name, app.upstream.port, namespace, version)

    async def leave(self, given):
        """Its endpoint leaves the Service."""
        namespace, name, _ = named(given)
        self.delete("EndpointSlice", f"{name}-{self._apps[given].upstream.port}", namespace)

    async def silent(self, name):
        """A Service whose one pod takes requests and says nothing."""
        upstream = await self._stack.enter_async_context(self.m.raw_upstream())
        self._silent[name] = upstream
        self.service(name)
        self._endpoint(name, upstream.port, "default", "v1")
        nursery = await self._stack.enter_async_context(trio.open_nursery())

        async def accept():
            while True:
                upstream.peers.append(harness.Peer(await upstream.listener.accept()))

        nursery.start_soon(accept)
        self._stack.callback(nursery.cancel_scope.cancel)

    # --- what is said of objects ------------------------------------------------------------------------------------

    async def rows(self, kind="HTTPRoute"):
        """As `GET /api/v1/catalog` has them."""
        return catalog(self.snapshots, "test", {}, kind, "")["objects"].get(kind, [])

    async def rejected(self):
        """What was refused, by source."""
        return dict(self.snapshots.rejected)

    # --- echo servers -----------------------------------------------------------------------------------------------

    async def be(self, given, *statuses):
        """Answer with each in turn, the last one for ever; what was received is forgotten."""
        self._apps[given].be(*statuses)

    async def received(self, given, least=0):
        """What it has received, once that is `least` requests."""
        if given in self._silent:
            peers = self._silent[given].peers
            await self.m.until(lambda: len(peers) >= least)
            return [Request("GET", "/") for _ in peers]
        app = self._apps[given]
        await self.m.until(lambda: len(app.seen) >= least)
        return list(app.seen)

    # --- traffic --------------------------------------------------------------------------------------------------

    async def send(self, service="app-b", port=80, client="default", namespace="default"):
        """Give the proxy the present configuration; the address that an app dials for it."""
        assert self.refusals_are_meant or not self.snapshots.rejected, self.snapshots.rejected
        return await self._dialled(Address(self._vips[service, namespace], port), client)

    async def _dialled(self, address, client):
        key = DestinationKey(client, str(address))
        result = self.snapshots.watch(key).result
        self.snapshots.release(key)
        self.last = destination(result)
        await self.m.apply(self.last)
        return address

    async def request(self, method, path="/", body=b"", *, service="app-b", port=80, client="default",
                      labels=None, **fields):  # fmt: skip
        """One request of a new connection."""
        self.m.host.source.labels = labels or {}
        address = await self.send(service, port, client)
        async with self.m.client(address) as connection:
            answer = await connection.request(method, path, body, **fields)
        return Got(answer.status, answer.headers, answer.body)

    async def get(self, path="/", **given):
        return await self.request("GET", path, **given)

    async def many(self, count, path="/", **given):
        """So many GETs over one connection."""
        where = {name: given.pop(name) for name in ("service", "port", "client") if name in given}
        self.m.host.source.labels = given.pop("labels", None) or {}
        async with self.m.client(await self.send(**where)) as connection:
            answers = [await connection.get(path, **given) for _ in range(count)]
        return [Got(answer.status, answer.headers, answer.body) for answer in answers]

    async def call_pod(self, given):
        """GET / of a pod's own address."""
        address = await self._dialled(Address("127.0.0.1", self._apps[given].upstream.port), "default")
        async with self.m.client(address) as connection:
            answer = await connection.get("/")
        return Got(answer.status, answer.headers, answer.body)

    async def counter(self, name):
        """What the client's proxy has counted since the test began."""
        return self.m.counter(name)

    async def routes_taken(self, *paths):
        """Which route took the request for each of these paths, as telemetry has it."""
        await self.m.settled()
        found = {exchange.path: exchange.route for exchange in self.m.seen.ended}
        return [found[path] for path in paths]

    @asynccontextmanager
    async def load(self, path, connections=4):
        """Ask without a pause while the block runs; `answers` afterwards, of each connection."""
        load = Load(self, path)
        address = await self.send()
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(self.m.client(address)) for _ in range(connections)]
            nursery = await stack.enter_async_context(trio.open_nursery())
            for client in clients:
                nursery.start_soon(load.run, client)
            yield load
            load.stop = True


class Load:
    """See Cluster.load."""

    def __init__(self, cluster, path):
        self._m, self._path = cluster.m, path
        self.answers, self.count, self.stop = [], 0, False

    async def run(self, client):
        mine = []
        self.answers.append(mine)
        while not self.stop:
            answer = await client.get(self._path)
            mine.append(Got(answer.status, answer.headers, answer.body))
            self.count += 1

    async def more(self, count):
        until = self.count + count
        await self._m.until(lambda: self.count >= until)


@asynccontextmanager
async def cluster(*names, client="default"):
    """Services with an echo server each: "app-b", "far/app-c", "app-b@v2" (another pod of app-b)."""
    async with AsyncExitStack() as stack:
        made = harness.plugins(policies=PLUGINS.policies)
        m = await stack.enter_async_context(harness.mesh(made, pod_namespace=client))
        c = Cluster(m, stack)
        for given in names:
            await c.app(given)
        yield c
