"""A small mesh in one process: the control plane's core, a whole proxy on loopback, and echo servers behind it.

Objects go in as on a cluster; what comes out is asked for by a client through the proxy. Only the stream between the
two is left out: the message that it would carry is handed over. docs/conformance.md lists the tests.

    async with cluster("app-b", "app-b2") as c:
        c.tell(c.route({"matches": [...], "backendRefs": [c.backend("app-b2")]}))
        assert (await c.get("/cart")).service == "app-b2"
"""

import importlib.util
import json
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio
from tulle_control_plane.control_plane import directions_of
from tulle_control_plane.core import conditions
from tulle_control_plane.core.objects import GRPCRoute, HTTPRoute
from tulle_control_plane.core.parse import Parser, PluginsAtHand
from tulle_control_plane.core.snapshots import DestinationKey, Snapshots
from tulle_control_plane.translate import destination
from tulle_plugin_api import Address, load
from tulle_plugin_api.protocols import Deleted, Synced, Upserted
from tulle_testkit import Answer, http_upstream

ROOT = Path(__file__).parents[2]
PLUGINS = load(kinds=("policy", "balancer"))


def _harness():
    name = "tulle_data_plane_tests_harness"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "packages/data-plane/tests/harness.py")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


harness = _harness()
VIPS = {"default": "10.96.0.", "far": "10.97.0."}


@dataclass
class Got:
    """An answer, and what the echo server saw of the request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def reason(self):
        return self.headers.get("tulle-reason", "")

    @property
    def _echo(self):
        return json.loads(self.body) if self.status == 200 else {}

    @property
    def service(self):
        """Who served; "" for nobody."""
        return self._echo.get("service", "")

    @property
    def version(self):
        return self._echo.get("version", "")

    @property
    def path(self):
        return self._echo["path"]

    def sent(self, name):
        """The values of a header field, as they arrived."""
        return [value for field, value in self._echo["headers"] if field == name]


def echo(service, version, request):
    told = {
        "service": service, "version": version, "path": request.target, "method": request.method,
        "headers": [[name, value] for name, value in request.headers],
    }  # fmt: skip
    return Answer(headers=(("content-type", "application/json"), ("x-echo", "1")), body=json.dumps(told).encode())


class Cluster:
    """See the module's docstring."""

    def __init__(self, m, client):
        self.m, self.client_namespace = m, client
        self.snapshots = Snapshots(
            parser=Parser(PluginsAtHand(PLUGINS.policies, PLUGINS.balancers)), directions=directions_of(PLUGINS)
        )
        self.snapshots.apply(Synced())
        self.apps = {}  # "name", "far/name", "name@v2" -> its HttpUpstream
        self.vips = {}
        self._version = 0

    # --- objects --------------------------------------------------------------------------------------------------

    def tell(self, *objects):
        for obj in objects:
            self.snapshots.apply(Upserted(msgspec.json.decode(msgspec.json.encode(obj))))

    def delete(self, kind, name, namespace="default"):
        self.snapshots.apply(Deleted(kind, namespace, name))

    @property
    def rejected(self):
        return self.snapshots.rejected

    def service(self, name, namespace="default", ports=(80,)):
        """A Service without endpoints; `serve` gives it some."""
        if (name, namespace) not in self.vips:
            self.vips[name, namespace] = VIPS[namespace] + str(len(self.vips) + 1)
        vip = self.vips[name, namespace]
        self.tell({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": vip, "clusterIPs": [vip],
                     "ports": [{"port": port, "name": f"p{port}" if len(ports) > 1 else ""} for port in ports]},
        })  # fmt: skip

    def endpoint(self, name, port, namespace="default", version="v1", ports=(80,)):
        """A ready pod of that version on a loopback port."""
        pod = f"{name}-{port}"
        self.tell(
            {"apiVersion": "v1", "kind": "Pod",
             "metadata": {"name": pod, "namespace": namespace, "labels": {"app": name, "version": version}},
             "spec": {"containers": [{"name": "app"}]}, "status": {"podIP": "127.0.0.1", "phase": "Running"}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {"name": pod, "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
             "ports": [{"port": port, "protocol": "TCP", "name": f"p{number}" if len(ports) > 1 else ""}
                       for number in ports],
             "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True},
                            "targetRef": {"kind": "Pod", "name": pod, "namespace": namespace}}]},
        )  # fmt: skip

    def route(self, *rules, name="app-b", namespace="default", kind="HTTPRoute", parents=None, created=None,
              annotations=None):  # fmt: skip
        return {
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created,
                         "annotations": annotations or {}},
            "spec": {"parentRefs": parents or [{"group": "", "kind": "Service", "name": "app-b",
                                                "namespace": "default"}], "rules": list(rules)},
        }  # fmt: skip

    @staticmethod
    def backend(name="app-b", weight=1, port=80, **more):
        return {"name": name, "port": port, "weight": weight, **more}

    def rule(self, to="app-b", *matches, **more):
        """A rule that sends to one Service; `matches` as in the object."""
        return {**({"matches": list(matches)} if matches else {}), "backendRefs": [self.backend(to)], **more}

    @staticmethod
    def grant(namespace="far", of="default", to=None):
        return {
            "apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant",
            "metadata": {"name": "grant", "namespace": namespace},
            "spec": {"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": of}],
                     "to": [{"group": "", "kind": "Service", **({"name": to} if to else {})}]},
        }  # fmt: skip

    def policy(self, name, type, target, config, section=None):
        self.tell({
            "apiVersion": "tulle.dev/v1alpha1", "kind": "MeshPolicy",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"type": type, "config": config,
                     "targetRef": {**target, **({"sectionName": section} if section else {})}},
        })  # fmt: skip

    def conditions(self, name="app-b", namespace="default", kind=HTTPRoute):
        """Type -> (status, reason) of a route in force."""
        route = self.snapshots.store.get(kind, (namespace, name))
        return {c.type: (c.status, c.reason) for c in conditions.of_route(self.snapshots.store, route)}

    @asynccontextmanager
    async def silent(self, name):
        """A Service whose one pod takes requests and says nothing."""
        async with self.m.raw_upstream() as upstream:
            self.service(name)
            self.endpoint(name, upstream.port)

            async def accept():
                while True:
                    upstream.peers.append(harness.Peer(await upstream.listener.accept()))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(accept)
                yield upstream
                nursery.cancel_scope.cancel()

    # --- traffic --------------------------------------------------------------------------------------------------

    async def send(self, service="app-b", port=80, client=None, namespace="default"):
        """Give the proxy the present configuration; the address that an app dials for it."""
        assert not self.rejected, self.rejected
        address = Address(self.vips[service, namespace], port)
        key = DestinationKey(client or self.client_namespace, str(address))
        result = self.snapshots.watch(key).result
        self.snapshots.release(key)
        self.last = destination(result)
        await self.m.apply(self.last)
        return address

    async def request(self, method, path="/", body=b"", *, service="app-b", port=80, client=None, **fields):
        address = await self.send(service, port, client)
        async with self.m.client(address) as connection:
            answer = await connection.request(method, path, body, **fields)
        return Got(answer.status, answer.headers, answer.body)

    async def get(self, path="/", **given):
        return await self.request("GET", path, **given)

    async def share(self, count=500, **given):
        """How many of so many requests each service served; those that failed under their status."""
        found = {}
        async with self.m.client(await self.send(**given)) as connection:
            for _ in range(count):
                answer = await connection.get("/")
                who = json.loads(answer.body)["service"] if answer.status == 200 else answer.status
                found[who] = found.get(who, 0) + 1
        return found


@asynccontextmanager
async def _cluster(*names, client="default", ports=(80,), labels=None, **settings):
    """Services with an echo server each: "app-b", "far/app-c", "app-b@v2" (another pod of app-b)."""
    async with AsyncExitStack() as stack:
        made = harness.plugins(policies=PLUGINS.policies)
        m = await stack.enter_async_context(harness.mesh(made, pod_namespace=client, **settings))
        m.host.source.labels = labels or {}
        c = Cluster(m, client)
        for given in names:
            namespace, _, rest = given.rpartition("/")
            name, _, version = rest.partition("@")
            app = await stack.enter_async_context(http_upstream(partial(echo, name, version or "v1")))
            c.apps[given] = app
            c.service(name, namespace or "default", ports)
            c.endpoint(name, app.port, namespace or "default", version or "v1", ports)
        yield c


@pytest.fixture
def patient_clock(autojump_clock):
    """Time passes when nothing else does; and not while the kernel is still handing bytes over."""
    autojump_clock.autojump_threshold = 0.02
    return autojump_clock


@pytest.fixture
def cluster():
    """`async with cluster("app-b", "app-b2") as c:`"""
    return _cluster


@pytest.fixture
def kinds():
    return {"HTTPRoute": HTTPRoute, "GRPCRoute": GRPCRoute}
