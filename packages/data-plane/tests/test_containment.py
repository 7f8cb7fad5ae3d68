"""Plugins that misbehave at every turn: the request goes on or is denied, as its policy says, and everybody is told."""

import pytest
import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_data_plane import background
from tulle_data_plane.background import LINGER_SECONDS
from tulle_data_plane.faults import STRIKES
from tulle_plugin_api import (
    Address,
    Balancer,
    Config,
    Endpoint,
    Failure,
    Headers,
    Plugins,
    Policy,
    Position,
    Refused,
    Response,
)
from tulle_testkit import Answer, http_upstream

pytestmark = pytest.mark.trio

SIDES = pytest.mark.parametrize("uses_trio", [False, True], ids=["fast path", "trio"])
ENDS = pytest.mark.parametrize("opens", [True, False], ids=["open", "closed"])


class Nothing(Config):
    """No settings."""


class Rude(Policy[Nothing]):
    """Does what the test says: `does(exchange, next, runtime)`."""

    config, position, patience = Nothing, Position.REQUEST, 10.0

    def __init__(self, does, *, opens=False, uses_trio=False, position=Position.REQUEST):
        self.does, self.opens, self.uses_trio, self.position = does, opens, uses_trio, position

    def on_failure(self, config):
        return "open" if self.opens else "closed"

    def build(self, config, next, runtime):
        async def handler(exchange):
            return await self.does(exchange, next, runtime)

        return handler


def of_type(*types):
    return [pb.Policy(type=name, source=f"MeshPolicy default/{name}") for name in types]


def counted(m, what, plugin="policy-rude"):
    return m.counter(f'plugin_failures_total{{plugin="{plugin}",what="{what}"}}')


class Panic(BaseException):
    """As a panic in Rust arrives in Python."""


def raises(error):
    async def before(exchange, next, runtime):
        raise error

    return before


def raises_after(error):
    async def after(exchange, next, runtime):
        await next(exchange)
        raise error

    return after


def gives(answer):
    async def instead(exchange, next, runtime):
        return answer

    return instead


def gives_after(answer):
    async def after(exchange, next, runtime):
        await next(exchange)
        return answer

    return after


MISBEHAVING = {
    "raises": (raises(ValueError("mine")), "raised", "ValueError: mine (test_containment.py:"),
    "exits": (raises(SystemExit(3)), "raised", "SystemExit: 3"),
    "panics": (raises(Panic("out of bounds")), "raised", "Panic: out of bounds"),
    "raises after the answer": (raises_after(KeyError("x")), "raised", "KeyError: 'x'"),
    "answers nothing": (gives(None), "nonsense", "gave NoneType, not a Response"),
    "answers text": (gives("ok"), "nonsense", "gave str"),
    "forgets the answer": (gives_after(None), "nonsense", "gave NoneType"),
    "has no such status": (gives(Response(9999)), "nonsense", "status 9999"),
    "has a status in words": (gives(Response("OK")), "nonsense", "status 'OK'"),
    "has fields of its own": (gives(Response(200, {"a": "b"})), "nonsense", "headers of type dict"),
    "has a body of text": (gives(Response(200, Headers(), "text")), "nonsense", "body of type str"),
}


@SIDES
@ENDS
@pytest.mark.parametrize("what", MISBEHAVING)
async def test_a_policy_that(mesh, harness, what, opens, uses_trio, caplog):
    does, kind, words = MISBEHAVING[what]
    policies = {"rude": Rude(does, opens=opens, uses_trio=uses_trio)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("rude"))
        async with m.client() as client:
            for _ in range(3):
                answer = await client.get()
                assert (answer.status, answer.reason) == ((200, "") if opens else (500, "policy-error"))
                assert b"mine" not in answer.body, "what went wrong inside is for the log"
        reached = 3 if opens or "after" in what or "forgets" in what else 0
        assert len(app.requests) == reached, "never twice"
        (row,) = m.host.faults.describe()
        assert (row["plugin"], row["failures"], row["what"]) == ("policy-rude", 3, {kind: 3})
        assert words in row["error"]
        assert counted(m, kind) == 3
        said = [r for r in caplog.records if r.getMessage().startswith("plugin policy-rude ")]
        assert len(said) == 1, "a line for the first, not for each"
        assert said[0].fields["then"] == ("the request went on without it" if opens else "the request was denied")


@SIDES
@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "pieces"])
async def test_an_answer_that_had_come_is_given_when_the_policy_fails_after_it(mesh, harness, uses_trio, pieces):
    body = (b"a" * 70_000, b"b") if pieces else b"ok"
    policies = {"rude": Rude(raises_after(KeyError("x")), opens=True, uses_trio=uses_trio)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream(lambda r: Answer(body=body)) as app:
        await m.service(harness.VIP, app.port, policies=of_type("rude"))
        async with m.client() as client:
            for _ in range(2):
                answer = await client.request("POST", "/", b"once")
                assert (answer.status, answer.body) == (200, b"".join(body) if pieces else body)
        assert len(app.requests) == 2


async def test_what_denies_is_never_open(mesh, harness):
    """A policy that decides who may pass is closed, whatever it says."""
    policies = {"rude": Rude(raises(ValueError("x")), opens=True, position=Position.AUTHORIZE)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("rude"))
        async with m.client() as client:
            assert (await client.get()).status == 500
        assert app.requests == []


# --- what is not its fault --------------------------------------------------------------------------------------------


async def _nursery(exchange, next, runtime):
    answers = []

    async def ask():
        answers.append(await next(exchange))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
    return answers[0]


async def _plain(exchange, next, runtime):
    return await next(exchange)


@ENDS
@pytest.mark.parametrize(("does", "uses_trio"), [(_plain, False), (_plain, True), (_nursery, True)])
async def test_a_failure_further_in_is_not_a_policys(mesh, harness, does, uses_trio, opens):
    """Nor one that a nursery has wrapped into a group."""
    policies = {"rude": Rude(does, opens=opens, uses_trio=uses_trio)}
    async with mesh(harness.plugins(policies=policies)) as m:
        await m.service(harness.VIP, policies=of_type("rude"))  # no endpoint
        async with m.client() as client:
            answer = await client.get()
            assert (answer.status, answer.reason) == (503, "no-endpoints")
        assert m.host.faults.describe() == []


@pytest.mark.parametrize("error", [Refused(403, "no"), Failure("x", reason="upstream-reset")], ids=repr)
@ENDS
async def test_what_it_says_in_the_contracts_words_is_its_decision(mesh, harness, error, opens):
    policies = {"rude": Rude(raises(error), opens=opens)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("rude"))
        async with m.client() as client:
            assert (await client.get()).reason == error.reason
        assert m.host.faults.describe() == []


@pytest.mark.parametrize(
    "refused", [Refused(200, "x"), Refused("403", "x"), Refused(403, "a\nb"), Refused(403, "x", fields={"a b": "c"})]
)
async def test_a_refusal_that_cannot_be_sent_denies_all_the_same(mesh, harness, refused):
    async with mesh(harness.plugins(policies={"rude": Rude(raises(refused))})) as m:
        await m.service(harness.VIP, policies=of_type("rude"))
        async with m.client() as client:
            for _ in range(2):
                answer = await client.get()
                assert (answer.status, answer.reason) == (500, "policy-error")


async def test_who_is_to_blame_among_several(mesh, harness):
    policies = {"outer": Rude(_plain), "rude": Rude(gives(None)), "zinner": Rude(_plain)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type(*policies))
        async with m.client() as client:
            assert (await client.get()).reason == "policy-error"
        assert [row["plugin"] for row in m.host.faults.describe()] == ["policy-rude"]


@pytest.mark.parametrize("what", ["raises", "answers nothing"])
async def test_without_a_guard(mesh, harness, monkeypatch, what):
    """The defence taken out: what a policy raises is still denied, by `rescue`; nonsense breaks the connection."""
    monkeypatch.setattr(Plugins, "is_built_in", lambda self, kind, name: True)
    policies = {"rude": Rude(MISBEHAVING[what][0])}
    async with mesh(harness.plugins(policies=policies)) as m:
        await m.service(harness.VIP, policies=of_type("rude"))
        async with m.client() as client:
            await client.ask()
            if what == "raises":
                assert (await client.answer()).reason == "policy-error"
                assert counted(m, "raised") == 1
            else:
                assert not await client.ended(), "reset"


# --- never returning --------------------------------------------------------------------------------------------------


async def _waits(exchange, next, runtime):
    await runtime.event().wait()


async def _waits_after(exchange, next, runtime):
    answer = await next(exchange)
    await runtime.event().wait()
    return answer


async def interrupted(m, client):
    """An answer that comes only since somebody looks, some seconds later than the policy may take."""
    answers = []

    async def ask():
        answers.append(await client.get())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        while not answers:
            m.host.sweep(m.driver.now() + Rude.patience)
            await trio.lowlevel.checkpoint()
    return answers[0]


@pytest.mark.parametrize("times", [1, 3])
async def test_one_that_does_not_let_go_is_interrupted_again(mesh, harness, times):
    async def does(exchange, next, runtime):
        for _ in range(times):
            try:
                await runtime.event().wait()
            except BaseException:
                pass
        return await next(exchange)

    async with mesh(harness.plugins(policies={"rude": Rude(does)})) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("rude"))
        async with m.client() as client:
            assert (await interrupted(m, client)).status == 200, "it has come to an end by itself"
        assert m.host.faults.describe() == []


@SIDES
@ENDS
@pytest.mark.parametrize("does", [_waits, _waits_after])
async def test_a_policy_that_never_returns(mesh, harness, does, opens, uses_trio):
    policies = {"rude": Rude(does, opens=opens, uses_trio=uses_trio)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("rude"))
        async with m.client() as client:
            answer = await interrupted(m, client)
            assert (answer.status, answer.reason) == ((200, "") if opens else (500, "policy-error"))
            assert counted(m, "overdue") == 1
            assert "within 10 s of its own" in m.host.faults.describe()[0]["error"]
            assert len(app.requests) == 1 if opens else len(app.requests) <= 1


@SIDES
async def test_time_that_is_spent_further_in_is_not_a_policys_own(mesh, harness, uses_trio):
    policies = {"rude": Rude(_plain, uses_trio=uses_trio)}
    async with mesh(harness.plugins(policies=policies)) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("rude"))
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            for _ in range(10):
                m.host.sweep(m.driver.now() + 1000)
                await trio.lowlevel.checkpoint()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            assert (await client.answer()).status == 200
        assert m.host.faults.describe() == []


@ENDS
async def test_one_that_is_overdue_again_and_again_is_left_alone_for_a_while(mesh, harness, opens):
    policies = {"rude": Rude(_waits, opens=opens)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("rude"))
        async with m.client() as client:
            for _ in range(STRIKES):
                await interrupted(m, client)
            for _ in range(5):  # at once: nobody sweeps
                assert (await client.get()).status == (200 if opens else 500)
        assert counted(m, "overdue") == STRIKES
        assert m.host.faults.describe()[0]["state"] == "suspended"


# --- balancers --------------------------------------------------------------------------------------------------------


class Picking(Balancer):
    """Picks what the test says; `where` raises."""

    def __init__(self, picks=None, where=()):
        self.picks, self.where = picks, where

    def pick(self, endpoints, exchange):
        self._maybe("pick")
        return self.picks(endpoints) if self.picks else endpoints[0]

    def started(self, endpoint):
        self._maybe("started")

    def finished(self, endpoint, seconds, failed):
        self._maybe("finished")

    def _maybe(self, what):
        if what in self.where:
            raise Panic(what)


@pytest.mark.parametrize(
    ("balancer", "kind", "words"),
    [
        (Picking(lambda endpoints: None), "nonsense", "pick gave NoneType, which it was not offered"),
        (Picking(lambda endpoints: 3), "nonsense", "pick gave int"),
        (Picking(lambda e: Endpoint(Address("10.9.9.9", 1))), "nonsense", "pick gave 10.9.9.9:1"),
        (Picking(where=("pick",)), "raised", "pick: Panic: pick (test_containment.py:"),
        (Picking(where=("started",)), "raised", "started: Panic"),
        (Picking(where=("finished",)), "raised", "finished: Panic"),
    ],
)
async def test_a_balancer_costs_no_request(mesh, harness, balancer, kind, words):
    balancers = {"rude": lambda config, runtime: balancer}
    async with mesh(harness.plugins(balancers=balancers)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, balancer="rude")
        async with m.client() as client:
            for _ in range(3):
                assert (await client.get()).status == 200
        (row,) = m.host.faults.describe()
        assert (row["plugin"], row["what"]) == ("balancer-rude", {kind: 3})
        assert words in row["error"]


async def test_an_endpoint_that_equals_one_offered_is_one_of_them(mesh, harness):
    """Balancers may keep endpoints over a change of the list."""
    from copy import copy

    balancers = {"rude": lambda config, runtime: Picking(lambda endpoints: copy(endpoints[0]))}
    async with mesh(harness.plugins(balancers=balancers)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, balancer="rude")
        async with m.client() as client:
            assert (await client.get()).status == 200
        assert m.host.faults.describe() == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"balancer": "none"}, "balancer none: TypeError: its factory gave NoneType, not a tulle_plugin_api.Balancer"),
        ({"policies": of_type("none")}, "its build gave NoneType, not a handler"),
        ({"policies": of_type("half")}, "its on_failure gave 'ajar'; expected 'open' or 'closed'"),
    ],
)
async def test_what_is_built_wrongly_is_a_refused_configuration(mesh, harness, wrong, said):
    class Unbuilt(Rude):
        def build(self, config, next, runtime):
            return None

    class Ajar(Rude):
        def on_failure(self, config):
            return "ajar"

    policies = {"none": Unbuilt(_plain), "half": Ajar(_plain)}
    made = harness.plugins(policies=policies, balancers={"none": lambda config, runtime: None})
    async with mesh(made) as m:
        with pytest.raises(harness.Rejected, match=said):
            await m.service(harness.VIP, 1, **wrong)


# --- beside requests --------------------------------------------------------------------------------------------------


class Spawning(Policy[Nothing]):
    """Starts `count` waiting tasks for each request; or when it is built."""

    config = Nothing

    def __init__(self, count, *, uses_trio, in_build=False):
        self.count, self.uses_trio, self.in_build = count, uses_trio, in_build
        self.running = 0

    async def wait(self, runtime):
        self.running += 1
        try:
            await runtime.event().wait()
        finally:
            self.running -= 1

    def build(self, config, next, runtime):
        async def handler(exchange):
            for _ in range(0 if self.in_build else self.count):
                runtime.spawn(self.wait, runtime)
            return await next(exchange)

        if self.in_build:
            for _ in range(self.count):
                runtime.spawn(self.wait, runtime)
        return handler


@SIDES
async def test_what_a_policy_leaks_is_bounded_and_told(mesh, harness, uses_trio, monkeypatch):
    monkeypatch.setattr(background, "MAX_UNDER_WAY", 5)
    policy = Spawning(3, uses_trio=uses_trio)
    async with mesh(harness.plugins(policies={"rude": policy})) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("rude"))
        async with m.client() as client:
            for _ in range(4):
                assert (await client.get()).status == 200
        await m.until(lambda: policy.running == 5)
        assert counted(m, "leaked") == 4 * 3 - 5
        await m.service(harness.VIP, app.port)
        m.host.sweep(m.driver.now() + LINGER_SECONDS)
        await m.until(lambda: policy.running == 0)


@SIDES
@pytest.mark.parametrize("how", ["replaced", "gone", "idle"])
async def test_what_a_configuration_has_started_ends_a_while_after_it(mesh, harness, uses_trio, how):
    policy = Spawning(2, uses_trio=uses_trio, in_build=True)
    async with mesh(harness.plugins(policies={"rude": policy})) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("rude"))
        await m.until(lambda: policy.running == 2)
        if how == "replaced":
            message = harness.destination(harness.VIP, [("127.0.0.1", app.port)], policies=of_type("rude"))
            message.balancer_config = "{}"
            await m.apply(message)
            await m.until(lambda: policy.running == 4)
        elif how == "gone":
            await m.service(harness.VIP, app.port)
        else:
            m.table.evict(m.driver.now() + 1e6)
        before = policy.running
        m.host.sweep(m.driver.now() + LINGER_SECONDS - 5)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        assert policy.running == before, "requests in flight may still want it"
        m.host.sweep(m.driver.now() + LINGER_SECONDS)
        await m.until(lambda: policy.running == before - 2)
        m.tasks_at_rest += policy.running  # of the configuration in force


async def test_what_an_inbound_configuration_has_started_ends_a_while_after_it(mesh, harness):
    policy = Spawning(1, uses_trio=False, in_build=True)
    policy.direction = "inbound"
    async with mesh(harness.plugins(policies={"rude": policy})) as m:
        for _ in range(3):
            m.table.apply_inbound(pb.Inbound(ports=[pb.InboundPort(port=80, policies=of_type("rude"))]))
        await m.until(lambda: policy.running == 3)
        m.host.sweep(m.driver.now() + LINGER_SECONDS)
        await m.until(lambda: policy.running == 1)
        m.tasks_at_rest += 1


@SIDES
async def test_what_a_refused_configuration_has_started_ends_at_once(mesh, harness, uses_trio):
    class Refuses(Rude):
        def build(self, config, next, runtime):
            raise ValueError("no")

    policy = Spawning(2, uses_trio=uses_trio, in_build=True)
    policy.position = Position.ENDPOINT  # built first
    async with mesh(harness.plugins(policies={"rude": policy, "refuses": Refuses(_plain)})) as m:
        with pytest.raises(harness.Rejected):
            await m.service(harness.VIP, policies=of_type("rude", "refuses"))
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        assert policy.running == 0


async def test_the_admin_port_tells(mesh, harness):
    async with mesh(harness.plugins(policies={"rude": Rude(raises(ValueError("x")))})) as m:
        await m.service(harness.VIP, policies=of_type("rude"))
        async with m.client() as client:
            await client.get()
        async with m.admin() as admin:
            assert b'"policy-rude"' in (await admin.get("/config")).body
