"""docs/policies.md is true: where policies meet, in a whole proxy with the policies that are installed.

One test a row of its table. Client and server are two sides of one proxy: what leaves it comes in at its other port.
"""

import gzip
import importlib.util
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio
import yaml
from tulle_api.v1 import discovery_pb2 as pb
from tulle_control_plane.control_plane import directions_of
from tulle_control_plane.core.parse import Parser, PluginsAtHand
from tulle_control_plane.core.snapshots import DestinationKey, Snapshots
from tulle_plugin_api import Address, Policy, Position, load
from tulle_plugin_api.meshpolicy import validate
from tulle_plugin_api.protocols import Synced, Upserted
from tulle_policy_external import link
from tulle_testkit import Answer, http_upstream

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/policies.md").read_text()
POLICIES = load().policies
OTHER = "default/shadow:80"


def _harness():
    name = "tulle_data_plane_tests_harness"
    if name not in sys.modules:
        path = ROOT / "packages/data-plane/tests/harness.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


harness = _harness()
VIP = harness.VIP


@pytest.fixture(autouse=True)
def _links_that_nobody_uses_are_closed_at_once(monkeypatch):
    monkeypatch.setattr(link, "IDLE_SECONDS", 0.05)


def mesh(**given):
    return harness.mesh(harness.plugins(policies=POLICIES), **given)


def spec(type, **config):
    return pb.Policy(type=type, source=f"MeshPolicy default/{type}", config=msgspec.json.encode(config).decode())


def destination(*ports, mirror=None, **more):
    """A Service with endpoints on these loopback ports (or places), and perhaps one that only a mirror sends to."""
    places = [port if isinstance(port, tuple) else ("127.0.0.1", port) for port in ports]
    backends = {"default/app-b:80": places}
    if mirror is not None:
        backends[OTHER] = [("127.0.0.1", mirror)]
    return harness.destination(VIP, backends, **more)


@asynccontextmanager
async def server_side(m, app, *policies):
    """The place of an endpoint that has a proxy with these policies before it."""
    m.table.apply_inbound(pb.Inbound(ports=[pb.InboundPort(port=app.port, policies=policies)]))
    local = f"127.0.1.{len(m.destinations) + 1}"
    m.destinations[local] = Address("127.0.0.1", app.port)
    place = Address(local, m.proxy.ports["inbound"])
    yield place
    m.host.outbound_pool.forget(place)  # or the proxy would keep itself busy


def answers(*statuses):
    """Each of them in turn, the last one for ever."""
    left = list(statuses)
    return lambda request: Answer(left.pop(0) if len(left) > 1 else left[0])


RETRY = spec("retry", attempts=2)

# --- the documents ----------------------------------------------------------------------------------------------------


def test_every_row_has_its_test_and_every_policy_its_row():
    rows = re.findall(r"\| `(test_\w+)` \|$", DOCUMENT, re.M)
    assert len(rows) == len(set(rows)) > 15
    missing = [name for name in rows if not callable(globals().get(name))]
    assert not missing
    types = re.findall(r"^\| \[([a-z-]+)\]\(\.\./plugins/policies/([a-z-]+)\)", DOCUMENT, re.M)
    ours = {path.name for path in (ROOT / "plugins/policies").iterdir() if (path / "pyproject.toml").exists()}
    assert {name for name, _ in types} == ours
    assert ours <= set(POLICIES)


@pytest.mark.parametrize("path", sorted((ROOT / "plugins/policies").glob("*/README.md")), ids=lambda p: p.parent.name)
def test_every_policys_page_has_an_example_that_is_accepted_and_names_every_field(path):
    text = path.read_text()
    (example,) = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]
    assert validate(example, POLICIES) == []
    assert example["spec"]["type"] == path.parent.name
    for field in msgspec.structs.fields(POLICIES[path.parent.name].config):
        assert f"`{field.name}" in text or f"`{field.name}." in text, f"{field.name} is not described"


@pytest.mark.parametrize("type_", sorted(POLICIES))
def test_policies_that_come_with_tulle_stay_on_the_fast_path(type_):
    # a gRPC call for each request is not the fast path anyway
    assert POLICIES[type_].uses_trio is (type_ == "external")


# --- which hold -------------------------------------------------------------------------------------------------------

SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app-b", "namespace": "default"},
           "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": [{"port": 80, "protocol": "TCP"}]}}


def mesh_policy(name, kind, target, type_, created="2026-01-01T00:00:00Z", ns="default", **config):
    reference = {"kind": kind, **({"name": target} if target else {})}
    return {"apiVersion": "tulle.dev/v1alpha1", "kind": "MeshPolicy",
            "metadata": {"name": name, "namespace": ns, "creationTimestamp": created},
            "spec": {"targetRef": reference, "type": type_, "config": config}}


def in_force(*objects):
    """Policies of the Service as its clients' proxies are told, {type: configuration}."""
    plugins = load()
    parser = Parser(PluginsAtHand(plugins.policies, plugins.balancers))
    snapshots = Snapshots(parser=parser, directions=directions_of(plugins))
    for obj in (SERVICE, *objects):
        snapshots.apply(Upserted(obj))
    snapshots.apply(Synced())
    result = snapshots.watch(DestinationKey("default", "10.96.0.7:80")).result
    return {policy.type: msgspec.json.decode(policy.config) for policy in result.policies}


def test_nearest_wins_whole():
    wide = mesh_policy("wide", "Namespace", "default", "timeout", request="2s", idle="1s")
    near = mesh_policy("near", "Service", "app-b", "timeout", per_try="1s")
    other = mesh_policy("other", "Mesh", "", "retry", ns="tulle-system", attempts=1)
    assert in_force(wide, other) == {"timeout": {"request": "2s", "idle": "1s"}, "retry": {"attempts": 1}}
    assert in_force(wide, near, other) == {"timeout": {"per_try": "1s"}, "retry": {"attempts": 1}}


def test_older_wins():
    old = mesh_policy("z", "Service", "app-b", "retry", "2026-01-01T00:00:00Z", attempts=1)
    new = mesh_policy("a", "Service", "app-b", "retry", "2026-02-01T00:00:00Z", attempts=2)
    same = mesh_policy("b", "Service", "app-b", "retry", "2026-01-01T00:00:00Z", attempts=3)
    assert in_force(new, old) == {"retry": {"attempts": 1}}
    assert in_force(new, old, same) == {"retry": {"attempts": 3}}, "of the same age: the first by name"


@pytest.mark.trio
async def test_the_order():
    """Every policy wrapped by one that notes when it is passed."""
    notes = []

    class Noting(Policy):
        def __init__(self, name, inner):
            self.name, self.inner, self.config = name, inner, inner.config
            self.position, self.direction, self.uses_trio = inner.position, inner.direction, inner.uses_trio

        def build(self, config, next, runtime):
            return self._noted(self.inner.build, config, next, runtime, "")

        def build_endpoint(self, config, next, runtime):
            return self._noted(self.inner.build_endpoint, config, next, runtime, " at the endpoint")

        def _noted(self, build, config, next, runtime, where):
            built = build(config, next, runtime)
            if built is next:
                return next

            async def handler(exchange):
                notes.append(f"{runtime.direction}: {self.name}{where}")
                return await built(exchange)

            return handler

    client = [spec("timeout", request="5s", per_try="2s"), RETRY, spec("mirror", service="shadow", port=80, percent=0),
              spec("circuit-breaker", limits={"connections": 5}), spec("headers", request={"set": {"a": "b"}}),
              spec("fault", delay={"time": "1s", "percent": 0}), spec("rate-limit", requests=100, side="client"),
              spec("shared-quota", requests=100, side="client"),
              spec("external", address="127.0.0.1:1", on_failure="open", side="client")]
    server = [spec("external", address="127.0.0.1:1", on_failure="open"), spec("shared-quota", requests=100),
              spec("rate-limit", requests=100), spec("cors", allow_origins=["*"]),
              spec("headers", response={"remove": ["a"]}, side="server"), spec("compression"),
              spec("fault", abort={"status": 503, "percent": 0}, side="server")]
    made = harness.plugins(policies={name: Noting(name, policy) for name, policy in POLICIES.items()})
    async with harness.mesh(made) as m, http_upstream() as app:
        async with server_side(m, app, *server) as place:
            await m.apply(destination(place, policies=client))
            async with m.client() as requests:
                assert (await requests.get()).status == 200
    assert notes == [
        "outbound: external", "outbound: rate-limit", "outbound: shared-quota", "outbound: fault", "outbound: headers",
        "outbound: timeout", "outbound: retry", "outbound: circuit-breaker", "outbound: mirror",
        "outbound: circuit-breaker at the endpoint", "outbound: timeout at the endpoint",
        "inbound: cors", "inbound: external", "inbound: rate-limit", "inbound: shared-quota",
        "inbound: compression", "inbound: fault", "inbound: headers",
    ]
    assert list(Position) == sorted(Position)


# --- time -------------------------------------------------------------------------------------------------------------


async def jump_until(m, clock, condition, step=0.1):
    """Let time pass in small steps until `condition` holds. What is under way takes no time, so it may be late."""
    patience = harness.Patience()
    while not condition():
        patience.check(condition)
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(step)


async def asked(nursery, client, **fields):
    """Ask, and have the answer in a list when it comes."""
    got = []

    async def ask():
        got.append(await client.get(**fields))

    nursery.start_soon(ask)
    return got


class Hanging:
    """A listener that takes requests and says nothing."""

    def __init__(self, upstream, nursery):
        self.upstream, self.peers = upstream, []
        nursery.start_soon(self._accept)

    async def _accept(self):
        while True:
            stream = await self.upstream.listener.accept()
            peer = harness.Peer(stream)
            self.upstream.peers.append(peer)
            await peer.until()
            self.peers.append(peer)


@pytest.mark.trio
async def test_time_is_for_all_tries(mock_clock):
    async with mesh() as m, m.raw_upstream() as upstream, trio.open_nursery() as nursery:
        hanging = Hanging(upstream, nursery)
        policies = [spec("timeout", request="3s", per_try="1s"), spec("retry", attempts=10)]
        await m.apply(destination(upstream.port, policies=policies))
        async with m.client() as client:
            got = await asked(nursery, client)
            await jump_until(m, mock_clock, lambda: got)
            assert (got[0].status, got[0].reason) == (504, "timeout")
            assert b"no complete answer within 3 s" in got[0].body
            tries = len(hanging.peers)
            assert 2 <= tries <= 4
            mock_clock.jump(60)
            await trio.testing.wait_all_tasks_blocked()
            assert len(hanging.peers) == tries
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_a_late_try_is_followed_by_another(mock_clock):
    async with mesh() as m, m.raw_upstream() as upstream, http_upstream() as app, trio.open_nursery() as nursery:
        hanging = Hanging(upstream, nursery)
        await m.apply(destination(upstream.port, app.port, policies=[spec("timeout", per_try="5s"), RETRY]))
        async with m.client() as client:
            got = await asked(nursery, client)
            await m.until(lambda: hanging.peers)
            mock_clock.jump(5.1)
            await jump_until(m, mock_clock, lambda: got)
            assert got[0].status == 200
            assert (len(hanging.peers), len(app.requests)) == (1, 1)
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_a_limit_is_lifted(mock_clock):
    async with mesh() as m, m.raw_upstream() as upstream, trio.open_nursery() as nursery:
        hanging = Hanging(upstream, nursery)
        message = destination(upstream.port, weights={"default/app-b:80": 1}, policies=[spec("timeout", request="2s")])
        message.routes[0].policies.append(spec("timeout", request="0s"))
        await m.apply(message)
        async with m.client() as client:
            got = await asked(nursery, client)
            await m.until(lambda: hanging.peers)
            mock_clock.jump(10)
            await trio.testing.wait_all_tasks_blocked()
            assert not got
            await hanging.peers[0].send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await m.until(lambda: got)
            assert got[0].status == 200
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_waiting_is_part_of_the_time(mock_clock):
    async with mesh() as m, m.raw_upstream() as upstream, trio.open_nursery() as nursery:
        hanging = Hanging(upstream, nursery)
        limits = {"connections": 1, "pending": 5, "pending_timeout": "1h"}
        policies = [spec("timeout", request="3s"), spec("circuit-breaker", limits=limits)]
        await m.apply(destination(upstream.port, policies=policies))
        async with m.client() as one, m.client() as two:
            first = await asked(nursery, one)
            await m.until(lambda: hanging.peers)
            second = await asked(nursery, two)
            await trio.testing.wait_all_tasks_blocked()
            await jump_until(m, mock_clock, lambda: first and second, 0.5)
            assert [got[0].reason for got in (first, second)] == ["timeout", "timeout"]
        nursery.cancel_scope.cancel()


# --- tries ------------------------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_each_try_is_balanced_anew():
    fails = answers(503)
    async with mesh() as m, http_upstream(fails) as bad, http_upstream(fails) as worse, http_upstream() as app:
        await m.apply(destination(bad.port, worse.port, app.port, policies=[RETRY]))
        async with m.client() as client:
            for _ in range(30):
                assert (await client.get()).status == 200
        assert len(app.requests) == 30
        assert len(bad.requests) <= 30 >= len(worse.requests), "nobody twice for one request"


@pytest.mark.trio
async def test_each_try_counts_for_its_endpoint():
    async with mesh() as m, http_upstream(answers(503)) as bad, http_upstream() as app:
        policies = [RETRY, spec("circuit-breaker", consecutive_failures=3)]
        await m.apply(destination(bad.port, app.port, policies=policies))
        async with m.client() as client:
            for _ in range(30):
                assert (await client.get()).status == 200
        assert (len(bad.requests), len(app.requests)) == (3, 30)
        assert m.counter("retry_tries_total") == m.counter("retry_successes_total") == 3


@pytest.mark.trio
async def test_an_open_circuit_is_not_retried():
    async with mesh() as m, http_upstream(answers(503)) as bad:
        breaker = spec("circuit-breaker", consecutive_failures=1, max_ejected_percent=100)
        await m.apply(destination(bad.port, policies=[RETRY, breaker]))
        async with m.client() as client:
            assert (await client.get()).reason == "circuit-open", "the first try opened it, the second met it"
            tries = m.counter("retry_tries_total")
            answer = await client.get()
            assert (answer.status, answer.reason) == (503, "circuit-open")
            assert int(answer.headers["retry-after"]) > 0
            assert (m.counter("retry_tries_total"), len(bad.requests)) == (tries, 1)


@pytest.mark.trio
async def test_tries_cost_one_token_at_the_client():
    async with mesh() as m, http_upstream(answers(503, 503, 200, 503, 503, 200)) as app:
        limit = spec("rate-limit", requests=2, per="1h", burst=2, side="client")
        await m.apply(destination(app.port, policies=[RETRY, limit]))
        async with m.client() as client:
            assert [(await client.get()).status for _ in range(3)] == [200, 200, 429]
        assert len(app.requests) == 6


@pytest.mark.trio
@pytest.mark.parametrize("statuses", [[], [429]])
async def test_tries_cost_a_token_each_at_the_server(statuses):
    async with mesh() as m, http_upstream(answers(503)) as app:
        async with server_side(m, app, spec("rate-limit", requests=2, per="1h", burst=2)) as place:
            retry = spec("retry", attempts=3, statuses=statuses, max_retry_after="0s")
            await m.apply(destination(place, policies=[retry]))
            async with m.client() as client:
                answer = await client.get()
                assert (answer.status, answer.reason) == (429, "rate-limited"), "the third try met the limit"
            assert len(app.requests) == 2
            assert m.counter("retry_tries_total") == 2
            if statuses:  # it would be retried, but its Retry-After is longer than max_retry_after
                assert int(answer.headers["retry-after"]) > 0


@pytest.mark.trio
async def test_fields_are_edited_once():
    async with mesh() as m, http_upstream(answers(503, 503, 200)) as app:
        edits = spec("headers", request={"add": {"x-added": "1"}}, response={"add": {"x-back": "1"}})
        await m.apply(destination(app.port, policies=[RETRY, edits]))
        async with m.client() as client:
            answer = await client.get()
        assert (answer.status, answer.headers["x-back"]) == (200, "1")
        assert [request.header("x-added") for request in app.requests] == [["1"]] * 3


# --- copies, faults, limits -------------------------------------------------------------------------------------------

MIRROR = spec("mirror", service="shadow", port=80)


@pytest.mark.trio
@pytest.mark.parametrize("body", [b"", b"whole", [b"in ", b"pieces"]], ids=["none", "whole", "pieces"])
async def test_one_copy_a_request(body):
    async with mesh() as m, http_upstream(answers(503, 503, 200)) as app, http_upstream(answers(500)) as shadow:
        await m.apply(destination(app.port, mirror=shadow.port, policies=[RETRY, MIRROR]))
        async with m.client() as client:
            assert (await client.request("PUT", "/", body)).status == 200
        await m.until(lambda: shadow.requests)
        assert len(app.requests) == 3
        assert len(shadow.requests) == m.counter("mirror_copies_total") == 1
        sent = body if isinstance(body, bytes) else b"".join(body)
        assert {request.body for request in (*app.requests, *shadow.requests)} == {sent}


@pytest.mark.trio
async def test_the_edited_type_decides_what_is_compressed():
    text = b"so it goes. " * 500
    said = Answer(headers=(("content-type", "application/x-own"), ("etag", '"1"')), body=(text, text))
    async with mesh() as m, http_upstream(lambda request: said) as app:
        typed = spec("headers", response={"set": {"content-type": "text/plain"}}, side="server")
        async with server_side(m, app, spec("compression"), typed) as place:
            await m.apply(destination(place))
            async with m.client() as client:
                answer = await client.get(accept_encoding="gzip, br")
                assert gzip.decompress(answer.body) == text * 2
                assert (answer.headers["content-type"], answer.headers["etag"]) == ("text/plain", 'W/"1"')
                assert (await client.get()).body == text * 2


@pytest.mark.trio
async def test_a_copy_has_the_edited_fields():
    async with mesh() as m, http_upstream() as app, http_upstream() as shadow:
        edits = spec("headers", request={"set": {"x-user": "edited"}})
        await m.apply(destination(app.port, mirror=shadow.port, policies=[edits, MIRROR]))
        async with m.client() as client:
            assert (await client.get(x_user="me")).status == 200
        await m.until(lambda: shadow.requests)
        assert shadow.requests[0].header("x-user") == app.requests[0].header("x-user") == ["edited"]


@pytest.mark.trio
async def test_copies_take_no_place():
    async with mesh() as m, http_upstream() as app, m.raw_upstream() as shadow, trio.open_nursery() as nursery:
        Hanging(shadow, nursery)
        breaker = spec("circuit-breaker", limits={"connections": 1})
        await m.apply(destination(app.port, mirror=shadow.port, policies=[breaker, MIRROR]))
        async with m.client() as client:
            for _ in range(5):
                assert (await client.get()).status == 200
        await m.until(lambda: len(shadow.peers) == 5)
        for peer in shadow.peers:
            peer.reset()
        await m.until(lambda: m.counter("mirror_failures_total") == 5)
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_a_clients_fault_is_not_retried():
    async with mesh() as m, http_upstream() as app:
        await m.apply(destination(app.port, policies=[RETRY, spec("fault", abort={"status": 503})]))
        async with m.client() as client:
            answer = await client.get()
        assert (answer.status, answer.reason) == (503, "fault")
        assert (app.requests, m.counter("retry_tries_total")) == ([], 0)


@pytest.mark.trio
async def test_a_servers_fault_is_retried():
    async with mesh() as m, http_upstream() as app:
        async with server_side(m, app, spec("fault", abort={"status": 503}, side="server")) as place:
            await m.apply(destination(place, policies=[RETRY]))
            async with m.client() as client:
                answer = await client.get()
            assert (answer.status, answer.reason) == (503, "fault")
            assert (app.requests, m.counter("retry_tries_total")) == ([], 2)


@pytest.mark.trio
async def test_preflights_are_not_asked_about():
    async with mesh() as m, http_upstream() as app:
        # nobody listens there, so whoever is asked about is refused
        policies = [spec("cors", allow_origins=["https://shop.example"]), spec("external", address="127.0.0.1:1")]
        async with server_side(m, app, *policies) as place:
            await m.apply(destination(place))
            async with m.client() as client:
                fields = {"origin": "https://shop.example", "access_control_request_method": "GET"}
                assert (await client.request("OPTIONS", **fields)).status == 204
                assert (await client.get()).reason == "external-unavailable"


@pytest.mark.trio
async def test_what_is_not_allowed_costs_no_token():
    async with mesh() as m, http_upstream() as app:
        limit = spec("rate-limit", requests=1, per="1h", side="client")
        refuses = spec("external", address="127.0.0.1:1", side="client")
        await m.apply(destination(app.port, policies=[limit, refuses]))
        async with m.client() as client:
            assert [(await client.get()).reason for _ in range(3)] == ["external-unavailable"] * 3
            await m.apply(destination(app.port, policies=[limit]))
            assert [(await client.get()).status for _ in range(2)] == [200, 429]


@pytest.mark.trio
async def test_what_a_rate_limit_refuses_takes_nothing_of_the_quota():
    async with mesh() as m, http_upstream() as app:
        limit = spec("rate-limit", requests=1, per="1h", by="header", header="x-key", side="client")
        # no control plane here: a proxy begins with a slice
        quota = spec("shared-quota", requests=3, per="1h", slice=3, side="client")
        await m.apply(destination(app.port, policies=[quota, limit]))
        async with m.client() as client:
            assert [(await client.get(x_key="greedy")).reason for _ in range(9)] == ["", *["rate-limited"] * 8]
            assert [(await client.get(x_key=key)).reason for key in "abc"] == ["", "", "quota-exhausted"]
            await m.apply(destination(app.port, policies=[quota]))
            assert (await client.get()).reason == "quota-exhausted", "other policies changed, its terms did not"


@pytest.mark.trio
async def test_what_is_refused_goes_no_further():
    async with mesh() as m, http_upstream() as app, http_upstream() as shadow:
        limit = spec("rate-limit", requests=1, per="1h", side="client")
        late = spec("fault", delay={"time": "50ms"})
        await m.apply(destination(app.port, mirror=shadow.port, policies=[limit, late, MIRROR]))
        async with m.client() as client:
            assert [(await client.get()).status for _ in range(3)] == [200, 429, 429]
        await m.until(lambda: shadow.requests)
        assert m.counter("fault_delays_total") == m.counter("mirror_copies_total") == len(app.requests) == 1


@pytest.mark.trio
async def test_preflights_cost_no_token():
    async with mesh() as m, http_upstream() as app:
        policies = [spec("cors", allow_origins=["https://shop.example"]), spec("rate-limit", requests=1, per="1h")]
        async with server_side(m, app, *policies) as place:
            await m.apply(destination(place))
            async with m.client() as client:
                fields = {"origin": "https://shop.example", "access_control_request_method": "GET"}
                for _ in range(5):
                    answer = await client.request("OPTIONS", "/", **fields)
                    assert (answer.status, answer.reason) == (204, "cors-preflight")
                    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
                assert [(await client.get()).status for _ in range(2)] == [200, 429]
            assert len(app.requests) == 1


@pytest.mark.trio
async def test_probes_are_spared():
    async with mesh() as m, http_upstream() as app:
        policies = [spec("rate-limit", requests=1, per="1h"), spec("fault", abort={"status": 503}, side="server"),
                    spec("shared-quota", requests=1, per="1h"),
                    spec("external", address="127.0.0.1:1", on_failure="open")]
        port = pb.InboundPort(port=app.port, policies=policies, probe_paths=["/healthz"])
        m.table.apply_inbound(pb.Inbound(ports=[port]))
        async with m.client(Address("127.0.0.1", app.port), "inbound") as client:
            for _ in range(5):
                assert (await client.get("/healthz", user_agent="kube-probe/1.30")).status == 200
            assert m.counter("external_asked_total") == 0
            assert [(await client.get("/healthz")).status for _ in range(2)] == [503, 429]
        assert len(app.requests) == 5


@pytest.mark.trio
async def test_a_change_starts_counts_afresh():
    async with mesh() as m, http_upstream() as app, http_upstream(answers(503)) as bad:
        policies = [spec("rate-limit", requests=3, per="1h", burst=3, side="client"),
                    spec("circuit-breaker", consecutive_failures=1)]
        await m.apply(destination(app.port, bad.port, policies=policies))
        async with m.client() as client:
            assert [(await client.get()).status for _ in range(4)] == [200, 503, 200, 429]
            policies[0] = spec("rate-limit", requests=2, per="1h", burst=2, side="client")
            await m.apply(destination(app.port, bad.port, policies=policies))
            assert [(await client.get()).status for _ in range(3)] == [200, 200, 429], "new tokens, old ejection"
        assert len(bad.requests) == 1

