"""The control stream against a real gRPC server: what is asked, what is acknowledged, and what serves on without it."""

import json

import pytest
import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_data_plane.shell import reporting
from tulle_plugin_api import Address
from tulle_testkit import Answer, echo_upstream, http_upstream

pytestmark = pytest.mark.trio

VIP = Address("10.96.0.1", 80)
FOR_EVER = 1000.0  # of discovery: what waits so long would fail its test


@pytest.fixture
async def control(control_module):
    server = control_module.Control()
    yield server
    await trio.to_thread.run_sync(server.close)


def place(app):
    return [("127.0.0.1", app.port)]


async def answers(m, body=b"ok", address=VIP):
    """One request on a new connection, and that it was answered by who says `body`."""
    async with m.client(address) as client:
        answer = await client.get()
        assert (answer.status, answer.body) == (200, body)


# --- introduction and readiness ----------------------------------------------------------------------------------


async def test_a_proxy_says_who_it_is_and_is_ready_once_it_knows_its_inbound_side(mesh, harness, control):
    more = {"workload": "deployment/app-a", "service_account": "a", "node_name": "n1", "pod_ips": ("10.1.0.9", "fd::9")}
    async with mesh(control_plane=control.address, **more) as m, m.admin() as admin:
        stream = await control.stream()
        node = await stream.next("node")
        assert (node.pod, node.namespace, node.service_account, node.workload) == (
            "app-a-1", "default", "a", "deployment/app-a",
        )
        assert (list(node.addresses), node.host, node.version) == (["10.1.0.9", "fd::9"], "n1", "0.1.0")
        assert len(node.instance) == 32
        answer = await admin.get("/ready")
        assert answer.status == 503
        assert answer.body == f"waiting for the control plane at {control.address}\n".encode()
        assert (await admin.get("/live")).status == 200
        stream.send(pb.WatchResponse(version="i1", inbound=pb.Inbound(ports=[pb.InboundPort(port=8080)])))
        ack = await stream.next("ack")
        assert (ack.destination, ack.version) == ("", "i1")
        assert (await admin.get("/ready")).status == 200
        assert m.counter("control_plane_connected") == 1


async def test_a_refused_first_inbound_configuration_is_said_by_ready(mesh, harness, control):
    async with mesh(control_plane=control.address) as m, m.admin() as admin:
        stream = await control.introduced(inbound=False)
        bad = pb.InboundPort(port=1, policies=[pb.Policy(type="fly", source="MeshPolicy a/b")])
        stream.send(pb.WatchResponse(version="i1", inbound=pb.Inbound(ports=[bad])))
        nack = await stream.next("nack")
        assert (nack.destination, nack.version) == ("", "i1")
        assert "MeshPolicy a/b: in this proxy policy 'fly' is not installed; there are" in nack.error
        answer = await admin.get("/ready")
        assert (answer.status, b"MeshPolicy a/b" in answer.body) == (503, True)


async def test_a_message_of_a_kind_that_a_later_control_plane_knows_is_passed_over(mesh, harness, control):
    """It is not acknowledged either: without a kind, an ack would be one of the inbound configuration."""
    async with mesh(control_plane=control.address) as m, m.admin() as admin:
        stream = await control.introduced(inbound=False)
        stream.send(pb.WatchResponse.FromString(b"\x0a\x02x9" + b"\xca\xbb\x07\x03new"))  # a version, and field 15289
        stream.send(pb.WatchResponse(version="i1", inbound=pb.Inbound()))
        ack = await stream.next("ack")
        assert (ack.destination, ack.version) == ("", "i1")
        assert (await admin.get("/ready")).status == 200


# --- on demand ---------------------------------------------------------------------------------------------------


async def test_the_first_connection_asks_and_waits_for_the_answer(mesh, harness, control):
    async with mesh(control_plane=control.address, discovery_seconds=FOR_EVER) as m, http_upstream() as app:
        stream = await control.introduced()
        async with m.client() as client, m.client() as second:
            await client.ask()
            await second.ask()
            assert (await stream.next("subscribe")) == pb.Subscribe(destination="10.96.0.1:80")
            await trio.testing.wait_all_tasks_blocked()
            assert stream.nothing(), "asked once, however many wait"
            stream.send(pb.WatchResponse(version="d1", destination=harness.destination(VIP, place(app))))
            assert (await client.answer()).body == b"ok"
            assert (await second.answer()).body == b"ok"
            assert (await stream.next("ack")) == pb.Ack(destination="10.96.0.1:80", version="d1")
        await answers(m)
        assert stream.nothing()


async def test_ipv6_destinations_are_written_in_brackets(mesh, harness, control):
    vip = Address("fd00::7", 80)
    async with mesh(control_plane=control.address, discovery_seconds=FOR_EVER) as m, http_upstream() as app:
        stream = await control.introduced()
        async with m.client(vip) as client:
            await client.ask()
            assert (await stream.next("subscribe")).destination == "[fd00::7]:80"
            stream.send(pb.WatchResponse(version="d1", destination=harness.destination(vip, place(app))))
            assert (await client.answer()).body == b"ok"


async def test_what_nobody_knows_passes_through_and_is_not_asked_again(mesh, harness, control):
    async with mesh(control_plane=control.address, discovery_seconds=FOR_EVER) as m, echo_upstream() as server:
        stream = await control.introduced()
        there = Address("127.0.0.1", server.port)
        async with await m.dial(there) as one:
            await one.send_all(b"\x00one")
            assert (await stream.next("subscribe")).destination == str(there)
            stream.send(pb.WatchResponse(version="u", destination=pb.Destination(address=str(there), known=False)))
            assert await one.receive_some(10) == b"\x00one"
            assert (await stream.next("ack")).version == "u"
            async with await m.dial(there) as two:  # at once, and without a word to anybody
                await two.send_all(b"\x00two")
                assert await two.receive_some(10) == b"\x00two"
        assert stream.nothing()


async def test_an_answer_that_comes_too_late_is_for_the_next_connection(mesh, harness, control):
    async with mesh(control_plane=control.address, discovery_seconds=0.05) as m, http_upstream() as app:
        async with http_upstream(lambda request: Answer(body=b"the original")) as original:
            stream = await control.introduced()
            there = Address("127.0.0.1", original.port)
            await answers(m, b"the original", there)
            assert m.counter("discovery_timeouts_total") == 1
            await stream.next("subscribe")
            stream.send(pb.WatchResponse(version="d1", destination=harness.destination(there, place(app))))
            await stream.next("ack")
            await answers(m, b"ok", there)


async def test_changes_take_effect_on_open_connections(mesh, harness, control):
    async with mesh(control_plane=control.address, discovery_seconds=FOR_EVER) as m, http_upstream() as one:
        async with http_upstream(lambda request: Answer(body=b"two")) as two:
            stream = await control.introduced()
            async with m.client() as client:
                await client.ask()
                await stream.next("subscribe")
                for version, app, body in (("d1", one, b"ok"), ("d2", two, b"two"), ("d3", one, b"ok")):
                    stream.send(pb.WatchResponse(version=version, destination=harness.destination(VIP, place(app))))
                    assert (await stream.next("ack")).version == version
                    if version != "d1":
                        await client.ask()
                    assert (await client.answer()).body == body


# --- refused -----------------------------------------------------------------------------------------------------


async def test_a_refused_version_is_nacked_visible_and_the_last_good_one_serves_on(mesh, harness, control):
    async with mesh(control_plane=control.address, discovery_seconds=FOR_EVER) as m, http_upstream() as app:
        stream = await control.introduced()
        async with m.client() as client, m.admin() as a:
            await client.ask()
            await stream.next("subscribe")
            stream.send(pb.WatchResponse(version="d1", destination=harness.destination(VIP, place(app))))
            await client.answer()
            await stream.next("ack")
            bad = harness.destination(VIP, place(app), balancer="unheard-of")
            stream.send(pb.WatchResponse(version="d2", destination=bad))
            nack = await stream.next("nack")
            assert (nack.destination, nack.version) == ("10.96.0.1:80", "d2")
            assert "balancer 'unheard-of' is not installed; there are round-robin" in nack.error
            assert (await client.get()).status == 200
            shown = json.loads((await a.get("/config")).body)
            assert shown["rejected"] == {"10.96.0.1:80": nack.error}
            assert shown["destinations"]["10.96.0.1:80"]["version"] == "d1"
            assert m.counter("configurations_rejected_total") == 1
            stream.send(pb.WatchResponse(version="d3", destination=harness.destination(VIP, place(app))))
            assert (await stream.next("ack")).version == "d3"
            assert json.loads((await a.get("/config")).body)["rejected"] == {}


@pytest.mark.parametrize("address", ["", "junk", "10.0.0.1", "10.0.0.1:", "10.0.0.1:http"])
async def test_an_address_that_is_none_is_nacked_and_the_stream_lives(mesh, harness, control, address):
    async with mesh(control_plane=control.address) as m:
        stream = await control.introduced()
        stream.send(pb.WatchResponse(version="d1", destination=pb.Destination(address=address, known=True)))
        nack = await stream.next("nack")
        assert (nack.version, "expected IP:PORT" in nack.error) == ("d1", True)
        stream.send(pb.WatchResponse(version="i2", inbound=pb.Inbound()))
        assert (await stream.next("ack")).version == "i2"
        assert m.counter("control_stream_disconnects_total") == 0


async def test_what_was_never_asked_for_changes_nothing(mesh, harness, control):
    async with mesh(control_plane=control.address) as m:
        stream = await control.introduced()
        stream.send(pb.WatchResponse(version="d1", destination=harness.destination(VIP, [("127.0.0.1", 1)])))
        assert (await stream.next("ack")).version == "d1"
        assert m.table.entries == {}


# --- away and back -----------------------------------------------------------------------------------------------


async def served(m, harness, stream, app):
    """VIP is served by `app`, version d1."""
    async with m.client() as client:
        await client.ask()
        await stream.next("subscribe")
        stream.send(pb.WatchResponse(version="d1", destination=harness.destination(VIP, place(app))))
        await client.answer()
        await stream.next("ack")


@pytest.mark.parametrize("how", ["stopped", "stream finished"])
async def test_after_a_reconnect_all_is_subscribed_again_with_what_is_held(mesh, harness, control, how):
    async with mesh(control_plane=control.address, discovery_seconds=FOR_EVER) as m, http_upstream() as app:
        stream = await control.stream()
        first = await stream.next("node")
        stream.send(pb.WatchResponse(version="i1", inbound=pb.Inbound()))
        await stream.next("ack")
        await served(m, harness, stream, app)
        if how == "stopped":
            control.stop()
            control.start()
        else:
            stream.finish()
        stream = await control.stream()
        again = await stream.next("node")
        assert again == first, "the same process: not a restart"
        assert await stream.next("subscribe") == pb.Subscribe(destination="10.96.0.1:80", held_version="d1")
        await answers(m)


async def test_without_a_control_plane_the_last_good_configuration_serves_on(mesh, harness, control):
    async with mesh(control_plane=control.address, discovery_seconds=FOR_EVER) as m, http_upstream() as app:
        stream = await control.introduced()
        await served(m, harness, stream, app)
        assert m.proxy.ready() == ""
        control.stop()
        await m.until(lambda: m.counter("control_plane_connected") == 0)
        for _ in range(10):
            await answers(m)
        assert m.proxy.ready() == "", "once ready it stays so"
        async with echo_upstream() as server, await m.dial(Address("127.0.0.1", server.port)) as unknown:
            await unknown.send_all(b"\x00new")  # passes through at once: nobody is there to be waited for
            assert await unknown.receive_some(10) == b"\x00new"
        control.start()
        await control.introduced()
        await m.until(lambda: m.counter("control_plane_connected") == 1)
        assert {(s.destination, s.held_version) for s in control.subscribed} == {
            ("10.96.0.1:80", "d1"), (f"127.0.0.1:{server.port}", ""),
        }


async def test_who_waits_when_the_control_plane_goes_waits_no_longer(mesh, harness, control):
    async with mesh(control_plane=control.address, discovery_seconds=FOR_EVER) as m, echo_upstream() as server:
        stream = await control.introduced()
        async with await m.dial(Address("127.0.0.1", server.port)) as waiting:
            await waiting.send_all(b"\x00x")
            await stream.next("subscribe")
            control.stop()
            with trio.fail_after(harness.PATIENCE):
                assert await waiting.receive_some(10) == b"\x00x"


async def test_a_proxy_that_starts_before_its_control_plane(mesh, harness, control):
    control.stop()
    async with mesh(control_plane=control.address, discovery_seconds=FOR_EVER) as m, http_upstream() as app:
        async with http_upstream(lambda request: Answer(body=b"the original")) as original:
            there = Address("127.0.0.1", original.port)
            assert m.proxy.ready() != ""
            await answers(m, b"the original", there)  # passed through
            control.start()
            stream = await control.stream()
            await stream.next("node")
            assert (await stream.next("subscribe")).destination == str(there)
            stream.send(pb.WatchResponse(version="i1", inbound=pb.Inbound()))
            stream.send(pb.WatchResponse(version="d1", destination=harness.destination(there, place(app))))
            assert {(await stream.next("ack")).version for _ in range(2)} == {"i1", "d1"}
            assert m.proxy.ready() == ""
            await answers(m, b"ok", there)


async def test_an_empty_answer_of_a_control_plane_that_has_just_come_back_is_doubted(mesh, harness, control):
    async with mesh(control_plane=control.address, discovery_seconds=FOR_EVER) as m, http_upstream() as app:
        stream = await control.introduced()
        await served(m, harness, stream, app)
        control.stop()
        control.start()
        stream = await control.introduced()
        stream.send(pb.WatchResponse(version="d2", destination=harness.destination(VIP, [])))
        await m.until(lambda: m.counter("configurations_doubted_total"))
        await answers(m)
        m.proxy.control.settle(m.driver.now() + 60)
        assert (await stream.next("ack")).version == "d2"
        async with m.client() as client:
            assert (await client.get()).reason == "no-endpoints", "still so after a while: it is true"


# --- eviction ----------------------------------------------------------------------------------------------------


async def test_an_idle_destination_is_unsubscribed_and_forgotten_and_one_in_use_is_not(mesh, harness, control):
    async with mesh(control_plane=control.address, discovery_seconds=FOR_EVER) as m, echo_upstream() as echo:
        async with http_upstream() as app:
            redis = Address("10.96.0.2", 6379)
            stream = await control.introduced()
            async with await m.dial(redis) as relayed:
                await stream.next("subscribe")
                stream.send(pb.WatchResponse(version="r1", destination=harness.destination(redis, place(echo))))
                await stream.next("ack")
                await relayed.send_all(b"x")
                await relayed.receive_some(1)
                async with m.client() as client:
                    await client.ask()
                    await stream.next("subscribe")
                    stream.send(pb.WatchResponse(version="d1", destination=harness.destination(VIP, place(app))))
                    await client.answer()
                    await stream.next("ack")
                    m.table.evict(m.driver.now() + 301)
                    assert set(m.table.entries) == {VIP, redis}, "both are in use"
                await m.until(lambda: m.open == 1)
                m.table.evict(m.driver.now() + 299)
                assert set(m.table.entries) == {VIP, redis}
                m.table.evict(m.driver.now() + 301)
                assert set(m.table.entries) == {redis}, "a relayed connection is use as well"
                assert (await stream.next("unsubscribe")).destination == "10.96.0.1:80"
                assert m.host.outbound_pool.idle == 0
            async with m.client() as client:  # and is learnt anew
                await client.ask()
                assert await stream.next("subscribe") == pb.Subscribe(destination="10.96.0.1:80")
                stream.send(pb.WatchResponse(version="d2", destination=harness.destination(VIP, place(app))))
                assert (await client.answer()).status == 200


# --- reporting ---------------------------------------------------------------------------------------------------


async def test_what_was_seen_is_reported(mesh, harness, control):
    async with mesh(control_plane=control.address, discovery_seconds=FOR_EVER, workload="deployment/app-a") as m:
        async with http_upstream() as app:
            stream = await control.introduced()
            reports = await control.stream("report")
            first = await reports.next()
            assert (first.node.pod, first.node.workload) == ("app-a-1", "deployment/app-a")
            assert first.gauges.open_descriptors > 0
            await served(m, harness, stream, app)
            while not (report := await reports.next()).http:
                assert not report.HasField("node"), "in the first only"
            (series,) = report.http
            assert (series.requests, series.status, series.edge.service) == (1, 200, "app-b")
            assert report.interval_ms > 0


async def test_what_was_seen_since_the_last_report_is_told_at_the_end(mesh, harness, control, monkeypatch):
    monkeypatch.setattr(reporting, "INTERVAL", FOR_EVER)
    async with mesh(control_plane=control.address, discovery_seconds=FOR_EVER) as m:
        async with http_upstream() as app:
            stream = await control.introduced()
            reports = await control.stream("report")
            await reports.next()
            await served(m, harness, stream, app)
            assert reports.nothing()
            m.proxy.shut_down()
            (series,) = (await reports.next()).http
            assert (series.requests, series.status) == (1, 200)
            await reports.ended()


async def test_reporting_goes_on_after_the_control_plane_was_away(mesh, harness, control):
    async with mesh(control_plane=control.address):
        first = await (await control.stream("report")).next()
        control.stop()
        control.start()
        again = await (await control.stream("report")).next()
        assert again.node == first.node


async def test_the_log_level_can_be_set_from_afar_and_a_wrong_one_breaks_nothing(mesh, harness, control):
    level = harness.log.level
    try:
        async with mesh(control_plane=control.address) as m:
            reports = await control.stream("report")
            reports.send(harness.telemetry.ReportResponse(set_log_level=harness.telemetry.SetLogLevel(level="loud")))
            reports.send(harness.telemetry.ReportResponse(set_log_level=harness.telemetry.SetLogLevel(level="error")))
            await m.until(lambda: harness.log.level == 40)
            await reports.next()
    finally:
        harness.log.setLevel(level)
