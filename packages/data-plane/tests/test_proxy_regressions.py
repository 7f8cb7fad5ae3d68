"""What a sceptical reading found: each of these once went wrong."""

from __future__ import annotations

import h11
import pytest
import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_data_plane.driver import Driver, Expired, Signal
from tulle_plugin_api import Address, Config, Exporter, Policy, Response

pytestmark = pytest.mark.trio

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_a_deadline_that_passes_while_a_strand_leaves_for_trio():
    """The strand is trio's already, but not yet in its crossing: to step it now breaks the driver for everybody."""
    driver, found = Driver(), []

    async def leaving():
        go = Signal(driver)
        found.extend([driver.current_strand(), go])
        await go.wait()
        with pytest.raises(KeyError, match="late"), driver.deadline(1, KeyError("late")):
            await driver.in_trio(trio.sleep_forever)

    async def interrupting():
        while not found:
            await driver.turn()
        strand, go = found
        go.set()  # steps `leaving` in this batch
        await driver.turn()
        assert strand.visit is None, "the moment that this test is about"
        driver.interrupt(strand, Expired())

    async with trio.open_nursery() as outer:
        await outer.start(driver.serve)
        with trio.fail_after(15):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(driver.run, leaving)
                nursery.start_soon(driver.run, interrupting)
        outer.cancel_scope.cancel()
    driver.close()


async def test_a_refused_first_configuration_is_an_answer(mesh, harness):
    """Else each new connection waits for another one, and the log says that the control plane is slow."""
    async with mesh() as m:
        m.table.connected = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(m.driver.run, m.table.lookup, harness.VIP)
            await m.until(lambda: harness.VIP in m.table.entries)
            with pytest.raises(harness.Rejected, match="nope"):
                m.table.apply(harness.destination(harness.VIP, [("127.0.0.1", 1)], balancer="nope"), "v1")
        assert m.counter("discovery_timeouts_total") == 0


async def test_a_kept_inbound_connection_sees_the_first_and_the_last_configuration_of_its_port(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        port = pb.InboundPort(port=app.port, service=pb.Service(name="app-b", namespace="default", port=80))
        async with m.client(Address("127.0.0.1", app.port), "inbound") as client:
            peer = None
            for message in (pb.Inbound(), pb.Inbound(ports=[port]), pb.Inbound()):
                m.table.apply_inbound(message)
                await client.ask()
                peer = peer or await app.accept()
                await peer.until()
                await peer.send(OK)
                await client.answer()
            await m.until(lambda: len(m.seen.ended) == 3)
            assert [e.service.name if e.service else "" for e in m.seen.ended] == ["", "app-b", ""]


async def test_a_body_that_breaks_the_rules_is_the_clients_fault(mesh, harness):
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with await m.dial() as stream:
            client = harness.Peer(stream)
            await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
            head = await client.until()
            assert head.startswith(b"HTTP/1.1 400 ")
            assert b"tulle-reason: bad-chunk\r\n" in head


async def test_a_reason_that_an_application_passes_on_is_not_ours(mesh, harness):
    """The proxy at the client trusts "app-refused-connection" to mean that nobody has handled the request."""
    async with mesh() as m, m.raw_upstream() as app:
        async with m.client(Address("127.0.0.1", app.port), "inbound") as client:
            await client.ask("POST")
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 503 No\r\ntulle-reason: app-refused-connection\r\ncontent-length: 0\r\n\r\n")
            answer = await client.answer()
            assert (answer.status, answer.reason) == (503, "")


async def test_the_head_of_an_answer_does_not_wait_for_its_body(mesh, harness):
    """An event stream's first event may be minutes away."""
    async with mesh() as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            head, _ = await client.head()
            assert head.status_code == 200
            await peer.send(b"5\r\nevent\r\n0\r\n\r\n")
            assert (await client.event()).data == b"event"


class Echo(Policy[Config]):
    """Answers first and reads the request afterwards."""

    config = Config
    uses_trio = False

    def build(self, config, next, runtime):
        async def handler(exchange):
            return Response(200, body=Told(exchange.body))

        return handler


class Told:
    def __init__(self, request):
        self.request, self.said = request, False

    async def read(self):
        if not self.said:
            self.said = True
            return b"begins"
        return await self.request.read()

    async def aclose(self):
        pass


async def test_no_100_continue_in_the_middle_of_an_answer(mesh, harness):
    async with mesh(harness.plugins(policies={"echo": Echo()})) as m:
        await m.service(harness.VIP, 1, policies=[pb.Policy(type="echo", source="MeshPolicy a/b")])
        async with m.client() as client:
            await client.send_head("PUT", "/", b"12345", expect="100-continue")
            head, interim = await client.head()
            assert (head.status_code, interim) == (200, [])
            assert (await client.event()).data == b"begins"
            await client.send(h11.Data(data=b"12345"))
            assert (await client.event()).data == b"12345"


class Panics(Policy[Config]):
    """As a plugin in Rust that panics, or one that calls sys.exit()."""

    config = Config

    def build(self, config, next, runtime):
        raise SystemExit("policy")


def panicking_balancer(config, runtime):
    raise SystemExit("balancer")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"policies": [pb.Policy(type="panics", source="MeshPolicy a/b")]}, r"MeshPolicy a/b .*SystemExit: policy"),
        ({"balancer": "panics"}, r"balancer panics: SystemExit: balancer"),
    ],
)
async def test_a_plugin_that_exits_while_it_is_built_is_a_refused_configuration(mesh, harness, wrong, said):
    made = harness.plugins(policies={"panics": Panics()}, balancers={"panics": panicking_balancer})
    async with mesh(made) as m:
        with pytest.raises(harness.Rejected, match=said):
            await m.service(harness.VIP, 1, **wrong)


class Leaves(Exporter):
    """Its background task exits, and so does its end."""

    def observe(self, exchange):
        pass

    async def run(self):
        raise SystemExit("run")

    async def aclose(self):
        raise SystemExit("aclose")


async def test_an_exporter_that_exits_stops_only_itself(mesh, harness):
    made = harness.plugins(exporters={"leaves": lambda context: Leaves()})
    async with mesh(made, exporters=("leaves",)) as m:
        await m.until(lambda: m.counter("exporter_failures_total") == 1)
        async with m.admin() as client:
            assert (await client.get("/live")).status == 200
