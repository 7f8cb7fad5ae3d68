"""Discovery.Watch by a real grpc.aio client over loopback. Waits are for messages and events, never for time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from tulle_api.v1 import discovery_pb2 as pb
from tulle_api.v1 import quota_pb2 as qpb
from tulle_api.v1 import telemetry_pb2 as tpb
from tulle_control_plane.core.quota import Quotas, Slice
from tulle_control_plane.grpc import proxies as proxies_module
from tulle_control_plane.grpc.discovery import Discovery
from tulle_control_plane.grpc.explaining import Question, Unanswerable
from tulle_control_plane.grpc.proxies import Proxies
from tulle_control_plane.grpc.quota import Holder, Quota
from tulle_control_plane.grpc.server import PortTaken, listen, make_server
from tulle_control_plane.grpc.session import INBOUND, State
from tulle_control_plane.grpc.telemetry import Telemetry
from tulle_control_plane.telemetry.reports import Reports
from tulle_control_plane.telemetry.traffic import Traffic
from tulle_plugin_api.protocols import Deleted, Synced, Upserted

HANG = 20.0  # a test that waits so long has failed
VIP = "10.96.0.7:80"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """A change is refreshed in the next turn of the loop."""
    monkeypatch.setattr(proxies_module, "DEBOUNCE", 0.0)


class Nobody:
    def pod(self, namespace, name):
        return None

    def address(self, ip):
        return None


class Served:
    """A running server over a core."""

    def __init__(self, snapshots) -> None:
        self.snapshots = snapshots
        self.clock = 1000.0
        self.stopping = asyncio.Event()
        self.proxies = Proxies(snapshots, lambda: self.clock)
        self.traffic = Traffic(0.0)
        self.telemetry = Telemetry(Reports(self.traffic, Nobody()), self.stopping, lambda: 10.0)
        self.quotas = Quotas()
        self.server = make_server(
            Discovery(self.proxies, self.stopping, lambda: self.clock),
            self.telemetry,
            Quota(self.quotas, self.stopping, lambda: self.clock),
        )
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Served"]:
        self.port = listen(self.server, "127.0.0.1", 0)
        await self.server.start()
        refresh = asyncio.create_task(self.proxies.run())
        self.proxies.changed()
        try:
            yield self
        finally:
            self.stopping.set()
            await self.server.stop(5)
            refresh.cancel()
            await asyncio.gather(refresh, return_exceptions=True)

    def session(self, pod="app-a-1"):
        return next(s for s in self.proxies.sessions if s.node.pod == pod)


class Client:
    """A proxy, as far as discovery is concerned."""

    def __init__(self, channel, pod="app-a-1", namespace="default", instance="i1") -> None:
        self.call = channel.stream_stream(
            "/tulle.v1.Discovery/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )()
        self.node = pb.Node(pod=pod, namespace=namespace, instance=instance, version="0.1.0")

    async def start(self) -> "Client":
        await self.say(node=self.node)
        return self

    async def say(self, **kind) -> None:
        await self.call.write(pb.WatchRequest(**kind))

    async def subscribe(self, destination=VIP, held="") -> None:
        await self.say(subscribe=pb.Subscribe(destination=destination, held_version=held))

    async def hear(self) -> pb.WatchResponse:
        found = await self.call.read()
        assert found is not grpc.aio.EOF, f"the stream ended: {await self.call.code()} {await self.call.details()}"
        return found

    async def ack(self, message) -> None:
        await self.say(ack=pb.Ack(destination=name_of(message), version=message.version))

    async def hear_and_ack(self) -> pb.WatchResponse:
        message = await self.hear()
        await self.ack(message)
        return message


def name_of(message: pb.WatchResponse) -> str:
    return message.destination.address if message.WhichOneof("kind") == "destination" else INBOUND


def addresses(message: pb.WatchResponse) -> list[str]:
    return [e.address for e in message.destination.backends[0].endpoints]


async def until(condition) -> None:
    """Let the loop run until something holds that only the server knows."""
    while not condition():
        await asyncio.sleep(0)


def scenario(test):
    """Run a coroutine test with the bound on hanging."""

    def run(world, make):
        asyncio.run(asyncio.wait_for(test(world, make), HANG))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def shop(world, make, *more):
    return world(make.service(), make.slice(endpoints=[make.endpoint("10.244.0.1", "p")]), *more).snapshots


def retold(snapshots, make, *ips):
    snapshots.apply(Upserted(make.slice(endpoints=[make.endpoint(ip) for ip in ips])))


@contextlib.asynccontextmanager
async def connected(served: Served):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        yield channel


LATER = b"\xc0\xbb\x07\x2a" + b"\xca\xbb\x07\x03new"
"""Two fields that no message of ours has."""


def later(message):
    """The message as a proxy of a later version says it: `message` may hold nothing that we know."""
    return type(message).FromString(message.SerializeToString() + LATER)


@scenario
async def test_what_a_later_proxy_says_beside_what_we_know_is_passed_over(world, make):
    snapshots = shop(world, make, make.pod("app-a-1", "10.244.0.9", ports=[8080]))
    async with Served(snapshots).running() as served, connected(served) as channel:
        client = Client(channel)
        node = pb.Node(pod="app-a-1", namespace="default")  # an earlier one: says no instance, no version
        await client.call.write(later(pb.WatchRequest(node=later(node))))
        await client.hear_and_ack()
        await client.call.write(later(pb.WatchRequest()))  # a kind that we do not know
        await client.call.write(later(pb.WatchRequest(subscribe=later(pb.Subscribe(destination=VIP)))))
        found = await client.hear()
        assert addresses(found) == ["10.244.0.1"]
        await client.call.write(pb.WatchRequest(ack=later(pb.Ack(destination=VIP, version=found.version))))
        session = served.session()
        await until(lambda: session.subscriptions[VIP].acked_version == found.version)
        assert session.node.version == ""


@scenario
async def test_a_conversation(world, make):
    snapshots = shop(world, make, make.pod("app-a-1", "10.244.0.9", ports=[8080]))
    async with Served(snapshots).running() as served, connected(served) as channel:
        client = await Client(channel).start()
        inbound = await client.hear_and_ack()
        assert [port.port for port in inbound.inbound.ports] == [8080]  # without asking
        await client.subscribe()
        first = await client.hear_and_ack()
        assert (name_of(first), first.destination.known, addresses(first)) == (VIP, True, ["10.244.0.1"])
        session = served.session()
        await until(lambda: session.subscriptions[VIP].acked_version == first.version)
        assert session.state(9999.0) == (State.SYNCED, "")

        retold(snapshots, make, "10.244.0.1", "10.244.0.2")
        served.proxies.changed()
        second = await client.hear_and_ack()
        assert addresses(second) == ["10.244.0.1", "10.244.0.2"]
        assert second.version != first.version
        await until(lambda: session.subscriptions[VIP].acked_version == second.version)

        await client.say(unsubscribe=pb.Unsubscribe(destination=VIP))
        await until(lambda: VIP not in session.subscriptions)
        retold(snapshots, make, "10.244.0.3")
        served.proxies.changed()
        await client.subscribe("10.96.9.9:1")
        assert name_of(await client.hear()) == "10.96.9.9:1"  # and nothing of the other before it

        await client.call.done_writing()
        assert await client.call.read() is grpc.aio.EOF
        assert await client.call.code() is grpc.StatusCode.OK
        await until(lambda: not served.proxies.sessions)
        assert not snapshots._watched


@scenario
async def test_a_refusal_is_visible_and_the_next_version_heals_it(world, make):
    snapshots = shop(world, make)
    async with Served(snapshots).running() as served, connected(served) as channel:
        client = await Client(channel).start()
        await client.hear_and_ack()
        await client.subscribe()
        first = await client.hear_and_ack()
        retold(snapshots, make)
        served.proxies.changed()
        second = await client.hear()
        await client.say(nack=pb.Nack(destination=VIP, version=second.version, error="no balancer 'x' here"))
        subscription = served.session().subscriptions[VIP]
        await until(lambda: subscription.error)
        assert subscription.state(9999.0) is State.REJECTED
        assert subscription.acked_version == first.version
        assert served.session().state(9999.0) == (State.REJECTED, "no balancer 'x' here")
        retold(snapshots, make, "10.244.0.5")
        served.proxies.changed()
        await client.hear_and_ack()
        await until(lambda: subscription.state(9999.0) is State.SYNCED)


@scenario
async def test_silence_is_stale(world, make):
    async with Served(shop(world, make)).running() as served, connected(served) as channel:
        client = await Client(channel).start()
        await client.hear_and_ack()
        await client.subscribe()
        await client.hear()
        session = served.session()
        assert session.state(served.clock + 4.9)[0] is State.SYNCED
        assert session.state(served.clock + 5.1)[0] is State.STALE


@scenario
async def test_nothing_is_served_before_the_catalog_has_synced(world, make):
    """A control plane that starts tells nobody that nothing exists."""
    snapshots = shop(world, make)
    snapshots.synced = False
    snapshots.apply(Deleted("EndpointSlice", "default", "app-b-1"))
    async with Served(snapshots).running() as served, connected(served) as channel:
        client = await Client(channel).start()
        await client.subscribe(held="version-of-before")
        await until(lambda: served.proxies.sessions and VIP in served.session().subscriptions)
        served.proxies.changed()
        reading = asyncio.ensure_future(client.hear())
        for _ in range(200):  # whatever was going to be sent would be on its way
            await asyncio.sleep(0)
        assert served.session().subscriptions[VIP].snapshot is None
        assert not snapshots._watched
        assert not reading.done()
        retold(snapshots, make, "10.244.0.1")
        snapshots.apply(Synced())
        served.proxies.changed()
        heard = {name_of(await reading), name_of(await client.hear())}
        assert heard == {INBOUND, VIP}


@scenario
async def test_reconnecting_with_what_it_holds_costs_nothing(world, make):
    snapshots = shop(world, make)
    async with Served(snapshots).running() as served, connected(served) as channel:
        client = await Client(channel).start()
        await client.hear_and_ack()
        await client.subscribe()
        held = (await client.hear_and_ack()).version
        client.call.cancel()
        await until(lambda: not served.proxies.sessions)

        again = await Client(channel).start()
        assert name_of(await again.hear()) == INBOUND
        await again.subscribe(VIP, held)
        await again.subscribe("10.96.9.9:1")
        assert name_of(await again.hear()) == "10.96.9.9:1"  # nothing of the VIP before it
        assert served.session().subscriptions[VIP].state(9999.0) is State.SYNCED
        retold(snapshots, make, "10.244.0.2")
        served.proxies.changed()
        assert addresses(await again.hear()) == ["10.244.0.2"]


@scenario
async def test_each_client_namespace_sees_its_own_routes(world, make):
    snapshots = shop(world, make, make.service("app-b2", "10.96.0.8"), make.route("c", ns="team", parent_ns="default"))
    async with Served(snapshots).running() as served, connected(served) as channel:
        for namespace, routes in (("default", []), ("team", ["team/c/0"])):
            client = await Client(channel, namespace=namespace).start()
            await client.hear()
            await client.subscribe()
            assert [r.name for r in (await client.hear()).destination.routes] == routes


@scenario
async def test_a_proxy_that_does_not_read_costs_one_version_and_gets_the_newest(world, make):
    """5,000 changes of a big destination, for a proxy that reads none of them, and for one beside it that does."""
    snapshots = shop(world, make)
    big = [f"10.244.{i // 250}.{i % 250 + 1}" for i in range(500)]
    async with Served(snapshots).running() as served:
        options = [("grpc.http2.lookahead_bytes", 65535), ("grpc.http2.bdp_probe", 0)]
        async with (
            grpc.aio.insecure_channel(f"127.0.0.1:{served.port}", options=options) as slow_channel,
            connected(served) as quick_channel,
        ):
            slow, quick = await Client(slow_channel, "slow").start(), await Client(quick_channel, "quick").start()
            for client in (slow, quick):
                await client.hear_and_ack()
                await client.subscribe()
                await client.hear_and_ack()
            session = served.session("slow")
            changes, heard_by_quick = 0, 0
            blocked = False
            while not blocked:
                changes += 1
                assert changes < 5_000, "the slow proxy's flow control never made the server wait"
                retold(snapshots, make, *big, f"10.245.{changes // 250}.{changes % 250 + 1}")
                while snapshots.dirty:
                    served.proxies.refresh()
                newest = await quick.hear()  # the one that reads is not held up
                heard_by_quick += 1
                blocked = session.subscriptions[VIP].sent_version != newest.version
            # the slow one's sender waits; all further changes are one version to send
            for more in range(1, 21):
                retold(snapshots, make, f"10.246.0.{more}")
                while snapshots.dirty:
                    served.proxies.refresh()
                assert addresses(await quick.hear()) == [f"10.246.0.{more}"]
            assert list(session._to_send) == [VIP]
            heard = 0
            while addresses(message := await slow.hear()) != ["10.246.0.20"]:
                heard += 1
                assert len(addresses(message)) > 400  # none of the 19 in between
            assert heard < changes + 1
            assert heard_by_quick == changes


@scenario
async def test_a_proxy_that_vanishes_is_forgotten(world, make):
    snapshots = shop(world, make)
    async with Served(snapshots).running() as served:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{served.port}")
        client = await Client(channel).start()
        await client.subscribe()
        await client.hear()
        await client.hear()
        await channel.close()  # without a word
        await until(lambda: not served.proxies.sessions)
        assert not snapshots._watched
        assert not served.proxies._watchers


@scenario
async def test_a_restarted_proxy_replaces_its_lingering_stream(world, make):
    async with Served(shop(world, make)).running() as served, connected(served) as channel:
        old = await Client(channel, instance="old").start()
        await old.hear()
        new = await Client(channel, instance="new").start()
        await new.hear()
        assert [s.node.instance for s in served.proxies.sessions] == ["new"]
        old.call.cancel()
        await until(lambda: len(served.proxies._connected) == 1)
        assert [s.node.instance for s in served.proxies.sessions] == ["new"]


@scenario
async def test_shutdown_ends_streams_with_ok(world, make):
    async with Served(shop(world, make)).running() as served, connected(served) as channel:
        client = await Client(channel).start()
        await client.hear()
        served.stopping.set()
        assert await client.call.read() is grpc.aio.EOF
        assert await client.call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ([], "ended before its first message"),
        ([pb.WatchRequest()], "first message must be `node`"),
        ([pb.WatchRequest(subscribe=pb.Subscribe(destination=VIP))], "first message must be `node`"),
        ([pb.WatchRequest(node=pb.Node(pod="p"))], "needs `pod` and `namespace`"),
        ([pb.WatchRequest(node=pb.Node(pod="p", namespace="n"))] * 2, "expected subscribe, unsubscribe, ack or nack"),
        (
            [
                pb.WatchRequest(node=pb.Node(pod="p", namespace="n")),
                pb.WatchRequest(subscribe=pb.Subscribe(destination="1" * 65)),
            ],
            "got 65 characters",
        ),
    ],
)
def test_nonsense_ends_the_stream_with_a_sentence_and_harms_nobody(world, make, requests, words):
    async def test(world, make):
        async with Served(shop(world, make)).running() as served, connected(served) as channel:
            good = await Client(channel, "good").start()
            await good.hear()
            bad = Client(channel, "bad")
            with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
                for request in requests:
                    await bad.call.write(request)
                if not requests:
                    await bad.call.done_writing()
                while await bad.call.read() is not grpc.aio.EOF:
                    pass  # the status comes after what was sent before it
            assert await bad.call.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert words in await bad.call.details()
            await until(lambda: [s.node.pod for s in served.proxies.sessions] == ["good"])
            await good.subscribe()
            assert (await good.hear()).destination.known

    scenario(test)(world, make)


@scenario
async def test_a_destination_that_makes_no_sense_is_merely_unknown(world, make):
    async with Served(shop(world, make)).running() as served, connected(served) as channel:
        client = await Client(channel).start()
        await client.hear()
        await client.subscribe("not an address")
        message = await client.hear()
        assert (message.destination.address, message.destination.known) == ("not an address", False)


@scenario
async def test_reports_are_added_up_and_forgotten_with_their_stream(world, make):
    async with Served(shop(world, make)).running() as served, connected(served) as channel:
        call = channel.stream_stream(
            "/tulle.v1.Telemetry/Report",
            request_serializer=tpb.ReportRequest.SerializeToString,
            response_deserializer=tpb.ReportResponse.FromString,
        )()
        node = tpb.ReportingNode(pod="a", namespace="default", workload="deployment/a", instance="i1")
        edge = tpb.Edge(direction=tpb.DIRECTION_OUTBOUND, peer_pod="10.0.0.1")
        await call.write(tpb.ReportRequest(node=node, http=[tpb.HttpSeries(edge=edge, status=200, requests=3)]))
        await call.write(
            tpb.ReportRequest(
                tcp=[tpb.TcpSeries(edge=edge, sent_bytes=7, open_connections=2)],
                gauges=tpb.ProxyGauges(resident_bytes=1 << 20, open_descriptors=9, tasks=4),
                plugins=[tpb.PluginFault(plugin="policy-x", state="suspended", error="e" * 1000, failures=3)],
            )
        )
        await until(lambda: served.telemetry.gauges)
        assert served.telemetry.gauges["default", "a"].open_descriptors == 9
        await until(lambda: served.telemetry.faults.get(("default", "a")))
        (fault,) = served.telemetry.faults["default", "a"]
        assert (fault.plugin, fault.state, len(fault.error), fault.failures) == ("policy-x", "suspended", 300, 3)
        assert sum(served.traffic.open_connections().values()) == 2
        await call.done_writing()
        await until(lambda: not served.telemetry.gauges)
        assert served.telemetry.faults == {}
        assert served.traffic.open_connections() == {}
        assert len(served.traffic.windows) == 1  # what was seen stays


@scenario
async def test_reports_must_say_whose_they_are(world, make):
    async with Served(shop(world, make)).running() as served, connected(served) as channel:
        call = channel.stream_stream(
            "/tulle.v1.Telemetry/Report",
            request_serializer=tpb.ReportRequest.SerializeToString,
            response_deserializer=tpb.ReportResponse.FromString,
        )()
        await call.write(tpb.ReportRequest(interval_ms=1000))
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


@scenario
async def test_what_is_asked_on_a_reporting_stream_reaches_its_proxy(world, make):
    async with Served(shop(world, make)).running() as served, connected(served) as channel:
        call = channel.stream_stream(
            "/tulle.v1.Telemetry/Report",
            request_serializer=tpb.ReportRequest.SerializeToString,
            response_deserializer=tpb.ReportResponse.FromString,
        )()
        gauges = tpb.ProxyGauges(resident_bytes=1 << 20, open_descriptors=9, tasks=4)
        node = tpb.ReportingNode(pod="app-a-1", namespace="default")
        await call.write(tpb.ReportRequest(node=node, gauges=gauges))
        await until(lambda: served.telemetry.gauges)
        request = tpb.Send(seconds=20, destination=VIP, method="GET", path="/cart")
        asking = asyncio.create_task(
            served.telemetry.explaining.ask(Question(("default", "app-a-1"), [("default", "gone")], request))
        )
        told = await call.read()
        assert (told.send.path, list(told.send.expected_at)) == ("/cart", [])
        account = tpb.Account(token=told.send.token, direction=tpb.DIRECTION_OUTBOUND, status=503)
        await call.write(tpb.ReportRequest(accounts=[account]))
        assert (await asking).client.status == 503
        # such a report says nothing of the rest
        assert served.telemetry.gauges["default", "app-a-1"].open_descriptors == 9
        await call.done_writing()
        await until(lambda: not served.telemetry.gauges)
        with pytest.raises(Unanswerable):
            await served.telemetry.explaining.ask(Question(("default", "app-a-1"), [], request))


@scenario
async def test_a_port_that_is_taken_is_refused(world, make):
    async with Served(shop(world, make)).running() as served:
        with pytest.raises(PortTaken):
            listen(Served(shop(world, make)).server, "127.0.0.1", served.port)


# --- Quota.Lease ------------------------------------------------------------------------------------------------------


def holder(channel):
    return channel.stream_stream(
        "/tulle.v1.Quota/Lease",
        request_serializer=qpb.LeaseRequest.SerializeToString,
        response_deserializer=qpb.LeaseResponse.FromString,
    )()


def asks(*quotas, tokens=10, requests=100.0, **more):
    return qpb.LeaseRequest(
        asks=[qpb.QuotaAsk(quota=q, requests=requests, per_seconds=1, burst=20, tokens=tokens, **more) for q in quotas]
    )


async def heard(call):
    found = await call.read()
    assert found is not grpc.aio.EOF, f"the stream ended: {await call.code()} {await call.details()}"
    return [(s.quota, s.tokens, round(s.after_seconds, 6), s.sharers, s.answer) for s in found.slices]


@scenario
async def test_two_proxies_share_a_quota(world, make):
    async with Served(world().snapshots).running() as served, connected(served) as channel:
        a, b = holder(channel), holder(channel)
        await a.write(asks("q", "only a's"))
        assert await heard(a) == [("q", 10, 0.1, 1, True), ("only a's", 10, 0.1, 1, True)]
        await b.write(asks("q", taken=5))
        assert await heard(b) == [("q", 10, 0.25, 2, True)]
        assert await heard(a) == [("q", 0, 0.0, 2, False)]
        await a.write(qpb.LeaseRequest(release=["q", "never asked for"]))
        assert await heard(b) == [("q", 0, 0.0, 1, False)]
        await a.write(asks("q", tokens=0))
        assert await heard(a) == [("q", 0, 0.0, 2, True)]
        assert await heard(b) == [("q", 0, 0.0, 2, False)]
        a.cancel()  # a proxy that is gone gives up all
        assert await heard(b) == [("q", 0, 0.0, 1, False)]
        assert len(served.quotas) == 1
        b.cancel()
        await until(lambda: len(served.quotas) == 0)


@scenario
async def test_nonsense_about_a_quota_ends_the_stream_with_a_sentence(world, make):
    async with Served(world().snapshots).running() as served, connected(served) as channel:
        call = holder(channel)
        await call.write(asks("q", requests=0.0))
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert await call.details() == "requests of 'q': more than 0 and at most 1e12, got 0.0"
        assert len(served.quotas) == 0


@scenario
async def test_quotas_streams_end_with_ok_on_shutdown(world, make):
    async with Served(world().snapshots).running() as served, connected(served) as channel:
        call = holder(channel)
        await call.write(asks("q"))
        await heard(call)
        served.stopping.set()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


def test_news_that_a_slow_proxy_did_not_take_cost_one_entry_a_quota():
    async def test():
        slow = Holder()
        for sharers in range(1000):
            slow.tell(Slice("q", 0, 0.0, sharers, answer=False))
        slow.tell(Slice("q", 10, 0.5, 7))
        slow.tell(Slice("q", 0, 0.0, 8, answer=False))
        assert slow.take() == [Slice("q", 10, 0.5, 8, answer=True)]
        assert (slow.take(), slow.wake.is_set()) == ([], False)

    asyncio.run(test())
