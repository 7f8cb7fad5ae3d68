"""What is asked, what is done with the answer, and what holds without one. A server in memory, on a mock clock."""

from contextlib import asynccontextmanager

import pytest
import trio
from tulle_api.v1 import plugin_pb2 as pb
from tulle_plugin_api import PROBE_ROUTE, Address, Exchange, Headers, Position, Refused, Response, Service, TrioRuntime
from tulle_plugin_api.config import decode
from tulle_policy_external import LONGEST_TIMEOUT, External, ExternalConfig, link
from tulle_policy_external.link import CHECK_AGAIN_SECONDS, IDLE_SECONDS, Link
from tulle_policy_external.verdicts import FRAMING, Undecided, carry_out, question
from tulle_trio_grpc import StatusCode
from tulle_trio_grpc.testing import Abort, memory_server


class Judge:
    """A server by hand: `decide` is called with each question."""

    def __init__(self):
        self.problems, self.checks, self.asked = [], [], []
        self.decide = lambda asked: go_on()

    async def check(self, call):
        self.checks.append(pb.CheckRequest.FromString(await call.receive()).config)
        await call.send(pb.CheckResponse(problems=self.problems).SerializeToString())

    async def on_request(self, call):
        self.asked.append(pb.OnRequestRequest.FromString(await call.receive()))
        said = self.decide(self.asked[-1])
        if said is None:
            await trio.sleep_forever()
        await call.send(said.SerializeToString())

    @property
    def methods(self):
        return {"/tulle.v1.ExternalPolicy/Check": self.check, "/tulle.v1.ExternalPolicy/OnRequest": self.on_request}


def go_on(set=(), remove=()):
    said = pb.OnRequestResponse()
    edits = getattr(said, "continue")
    edits.SetInParent()
    edits.set_headers.extend(pb.Field(name=name, value=value) for name, value in set)
    edits.remove_headers.extend(remove)
    return said


def answer(status, body=b"", **fields):
    return pb.OnRequestResponse(
        answer=pb.Answer(status=status, body=body, headers=[pb.Field(name=n, value=v) for n, v in fields.items()])
    )


def request(**fields):
    exchange = Exchange(Headers.of([("Host", "app-b"), *((name.replace("_", "-"), v) for name, v in fields.items())]))
    exchange.method, exchange.path, exchange.authority = "GET", "/cart?x=1", "app-b"
    exchange.source, exchange.source_identity = Address("10.0.0.9", 4711), "spiffe://cluster.local/ns/demo/sa/app-a"
    exchange.service = Service("app-b", "demo", 80, "app-b.demo.svc.cluster.local:80")
    return exchange


class Below:
    """The application: remembers what arrived."""

    def __init__(self):
        self.seen = []

    async def __call__(self, exchange):
        self.seen.append(dict(exchange.headers))
        return Response(200, body=b"app")


@asynccontextmanager
async def policy(monkeypatch, judge, **given):
    runtime, below = TrioRuntime(direction="inbound"), Below()
    async with memory_server(judge.methods) as server:
        monkeypatch.setattr(link, "open_channel", lambda address, **more: OPEN(address, **more, dial_with=server.dial))
        config = decode(ExternalConfig, {"address": "judge:9000", **given})
        handler = External().build(config, below, runtime)
        handler.runtime, handler.below, handler.server = runtime, below, server
        yield handler


OPEN = link.open_channel


# --- decisions --------------------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_what_the_server_is_told(monkeypatch, autojump_clock):
    judge = Judge()
    async with policy(monkeypatch, judge, config={"tier": "gold"}) as handler:
        assert (await handler(request(X_User="ann"))).body == b"app"
        (asked,) = judge.asked
        assert (asked.method, asked.path, asked.authority) == ("GET", "/cart?x=1", "app-b")
        assert [(field.name, field.value) for field in asked.headers] == [("host", "app-b"), ("x-user", "ann")]
        assert asked.source_address == "10.0.0.9:4711"
        assert asked.source_identity == "spiffe://cluster.local/ns/demo/sa/app-a"
        assert asked.destination == "app-b.demo.svc.cluster.local:80"
        assert judge.checks == ['{"tier": "gold"}'], "its configuration came first"


@pytest.mark.trio
async def test_only_the_fields_that_it_may_see(monkeypatch, autojump_clock):
    judge = Judge()
    async with policy(monkeypatch, judge, headers=["x-user", "x-not-there"]) as handler:
        await handler(request(X_User="ann", cookie="secret"))
        assert [field.name for field in judge.asked[0].headers] == ["x-user"]


@pytest.mark.trio
async def test_it_goes_on_with_edits(monkeypatch, autojump_clock):
    judge = Judge()
    judge.decide = lambda asked: go_on([("x-user", "ann@example"), ("x-tier", "gold")], ["Cookie"])
    async with policy(monkeypatch, judge) as handler:
        assert (await handler(request(X_User="forged", cookie="secret"))).status == 200
        assert handler.below.seen == [{"Host": "app-b", "x-user": "ann@example", "x-tier": "gold"}]


@pytest.mark.trio
async def test_it_answers_instead(monkeypatch, autojump_clock):
    judge = Judge()
    judge.decide = lambda asked: answer(401, b"who are you?", **{"www-authenticate": "Basic"})
    async with policy(monkeypatch, judge) as handler:
        said = await handler(request())
        assert (said.status, said.body, said.reason) == (401, b"who are you?", "external-policy")
        assert list(said.headers) == [("www-authenticate", "Basic"), ("tulle-reason", "external-policy")]
        assert handler.below.seen == []
        assert handler.runtime.counters["external_answers_total"] == 1


@pytest.mark.trio
async def test_requests_at_one_time_share_one_connection(monkeypatch, autojump_clock):
    judge = Judge()
    judge.decide = lambda asked: answer(200, asked.path.encode())
    async with policy(monkeypatch, judge) as handler, trio.open_nursery() as nursery:

        async def one(number):
            mine = request()
            mine.path = f"/{number}"
            assert (await handler(mine)).body == f"/{number}".encode()

        for number in range(50):
            nursery.start_soon(one, number)


# --- without a decision -----------------------------------------------------------------------------------------------


def late(judge):
    judge.decide = lambda asked: None


def silent(judge):
    judge.decide = lambda asked: pb.OnRequestResponse()


def says(said):
    def misbehave(judge):
        judge.decide = lambda asked: said

    return misbehave


def aborts(judge):
    def decide(asked):
        raise Abort(StatusCode.INTERNAL, "a bug of its own")

    judge.decide = decide


def refuses(judge):
    judge.problems = ["tier: gold or silver"]


WRONG = {
    "no answer within 0.2 s": late,
    "neither `continue` nor `answer`": silent,
    "status 99; expected 200 to 599": says(answer(99)),
    "status 101; expected": says(answer(101)),
    "control characters and line breaks": says(go_on([("x-a", "b\r\nhost: c")])),
    "only latin-1": says(answer(200, x="\N{SNOWMAN}")),
    "is not a field name": says(go_on(remove=["x a"])),
    "content-length belongs to the connection": says(answer(200, **{"content-length": "5"})),
    "Transfer-Encoding belongs": says(go_on([("Transfer-Encoding", "chunked")])),
    "a bug of its own": aborts,
    "it refuses the configuration: tier: gold or silver": refuses,
}


@pytest.mark.trio
@pytest.mark.parametrize("why", WRONG)
async def test_closed_refuses_and_open_goes_on_unchanged(why, monkeypatch, autojump_clock, caplog):
    judge = Judge()
    WRONG[why](judge)
    async with policy(monkeypatch, judge) as handler:
        for _ in range(3):
            with pytest.raises(Refused) as refused:
                await handler(request())
            assert (refused.value.status, refused.value.reason) == (503, "external-unavailable")
        assert handler.below.seen == []
        assert handler.runtime.counters["external_failures_total"] == 3
        (said,) = [record.getMessage() for record in caplog.records if record.name == "tulle.external"]
        assert why in said, said
        assert said.endswith("requests are refused")
    caplog.clear()
    async with policy(monkeypatch, judge, on_failure="open") as handler:
        before = dict(request(cookie="a").headers)
        assert (await handler(request(cookie="a"))).body == b"app"
        assert handler.below.seen == [before], "all of its edits or none"


@pytest.mark.trio
async def test_time_is_bounded_also_for_connecting(monkeypatch, autojump_clock):
    async def never(*_, **__):
        await trio.sleep_forever()

    async with policy(monkeypatch, Judge(), timeout="3s") as handler:
        handler.server.dial = never
        monkeypatch.setattr(link, "open_channel", lambda address, **more: OPEN(address, **more, dial_with=never))
        start = trio.current_time()
        with pytest.raises(Refused):
            await handler(request())
        assert trio.current_time() - start == pytest.approx(3)


@pytest.mark.trio
async def test_it_is_asked_again_about_its_configuration_now_and_then(monkeypatch, autojump_clock, caplog):
    judge = Judge()
    refuses(judge)
    async with policy(monkeypatch, judge) as handler:
        for _ in range(20):
            with pytest.raises(Refused):
                await handler(request())
        assert len(judge.checks) == 1
        judge.problems = []
        await trio.sleep(CHECK_AGAIN_SECONDS)
        assert (await handler(request())).status == 200
        assert (await handler(request())).status == 200
        assert len(judge.checks) == 2
        assert "decides again" in caplog.records[-1].getMessage()


@pytest.mark.trio
async def test_a_server_that_comes_back_is_asked_again(monkeypatch, autojump_clock):
    judge = Judge()
    async with policy(monkeypatch, judge) as handler:
        await handler(request())
        handler.server.drop_connections()
        await trio.sleep(1)
        assert (await handler(request())).status == 200


@pytest.mark.trio
async def test_a_kubelets_probes_are_not_asked_about(monkeypatch, autojump_clock):
    judge = Judge()
    late(judge)
    async with policy(monkeypatch, judge) as handler:
        probe = request()
        probe.route = PROBE_ROUTE
        assert (await handler(probe)).status == 200
        assert judge.asked == []


# --- the link ---------------------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_nothing_is_open_before_the_first_request_and_long_after_the_last(monkeypatch, autojump_clock):
    judge, opened = Judge(), []
    async with policy(monkeypatch, judge) as handler:
        dial = handler.server.dial

        async def counted():
            opened.append(trio.current_time())
            return await dial()

        monkeypatch.setattr(link, "open_channel", lambda address, **more: OPEN(address, **more, dial_with=counted))
        tasks = trio.lowlevel.current_statistics().tasks_living
        await trio.sleep(5)
        assert opened == []
        for _ in range(3):
            await handler(request())
            await trio.sleep(IDLE_SECONDS / 2)
        assert len(opened) == 1
        await trio.sleep(IDLE_SECONDS * 3)
        assert trio.lowlevel.current_statistics().tasks_living <= tasks + 1, "the server's end of what was closed"
        await handler(request())
        assert (len(opened), len(judge.checks)) == (2, 2)


@pytest.mark.trio
async def test_one_side_asks_and_the_other_costs_nothing(monkeypatch):
    config = decode(ExternalConfig, {"address": "judge:9000", "side": "client"})
    below = Below()
    assert External().build(config, below, TrioRuntime(direction="inbound")) is below
    assert External().build(config, below, TrioRuntime(direction="outbound")) is not below
    assert External.position is Position.AUTHORIZE, "before anything is spent on a request"


# --- pure -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [204, 205, 304])
def test_answers_that_have_no_body_get_none(status):
    assert carry_out(answer(status, b"body"), request()).body == b""


@pytest.mark.parametrize("name", sorted(FRAMING))
def test_framing_is_not_for_servers_to_edit(name):
    for said in (go_on([(name.title(), "x")]), go_on(remove=[name]), answer(200, **{name: "x"})):
        with pytest.raises(Undecided, match="belongs to the connection"):
            carry_out(said, request())


def test_a_request_that_is_for_no_service_says_where_it_goes():
    one = request()
    one.service, one.destination = None, Address("fd00::1", 80)
    assert question(one, None).destination == "[fd00::1]:80"


def test_a_server_is_waited_for_less_long_than_the_policy_is():
    assert External.patience > LONGEST_TIMEOUT
    assert External().check(ExternalConfig("judge:9000", timeout=LONGEST_TIMEOUT)) == []
    (said,) = External().check(ExternalConfig("judge:9000", timeout=300.0))
    assert said.startswith("timeout: at most 290s, got 300s")


def test_a_link_needs_a_runtime_only():
    assert Link(TrioRuntime(), ExternalConfig("judge:9000"))
