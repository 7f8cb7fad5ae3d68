"""Explained requests: what whole proxies say of one, at the client's and at the server's; and what nobody else can do
with tokens."""

import socket

import pytest
import trio
from tulle_api.v1 import discovery_pb2 as discovery
from tulle_api.v1 import telemetry_pb2 as pb
from tulle_data_plane.shell.explaining import MOST_EXPECTED, MOST_SENT, MOST_USES, Explaining
from tulle_data_plane.witness import MARK
from tulle_plugin_api import Address, Config, Policy, Position, Refused, Response
from tulle_testkit import Answer, http_upstream

pytestmark = pytest.mark.trio

VIP = Address("10.96.0.1", 80)
APP = Address("10.1.0.7", 8080)
TOKEN = "0123456789abcdef" * 2


@pytest.fixture
async def control(control_module):
    server = control_module.Control()
    yield server
    await trio.to_thread.run_sync(server.close)


class Nothing(Config):
    """No settings."""


class Doing(Policy[Nothing]):
    """Whatever the test says: `does(exchange, next, runtime)`."""

    config, uses_trio = Nothing, False

    def __init__(self, does, position=Position.REQUEST, direction="outbound", uses_trio=False):
        self.does, self.position, self.direction, self.uses_trio = does, position, direction, uses_trio

    def build(self, config, next, runtime):
        async def handler(exchange):
            return await self.does(exchange, next, runtime)

        return handler


def of_type(*types):
    return [discovery.Policy(type=name, source=f"MeshPolicy default/{name}", config="{}") for name in types]


class Explained:
    """Asks one proxy, as the control plane's stream would, and keeps what it told."""

    def __init__(self, mesh):
        self.told = []
        self.mesh = mesh
        self.explaining = Explaining(mesh.host, mesh.table, self.told.append)

    async def send(self, path="/", method="GET", seconds=5, destination=VIP, fields=(), expected_at=(), token=TOKEN):
        sent = [pb.SentField(name=name, value=value) for name, value in (("host", "app-b"), *fields)]
        await self.explaining.carry_out(pb.ReportResponse(send=pb.Send(
            token=token, seconds=seconds, destination=str(destination), method=method, path=path, fields=sent,
            expected_at=expected_at,
        )))
        return self.account()

    def account(self):
        (report,) = self.told
        self.told.clear()
        (account,) = report.accounts
        assert account.token == TOKEN
        return account


def outline(account):
    return [(step.depth, step.kind, step.name, step.outcome) for step in account.steps]


def said(step):
    """Its notes, but for those that are about time: a busy machine's."""
    notes = [note for note in step.notes if not note.startswith("held it")]
    return ["tried again" if note.startswith("tried again") else note for note in notes]


def step(account, kind, name=""):
    (found,) = [one for one in account.steps if one.kind == kind and (not name or one.name == name)]
    return found


# --- the client's proxy ------------------------------------------------------------------------------------------


async def test_every_layer_is_told_in_its_order_with_its_time(mesh, harness):
    async def edits(exchange, next, runtime):
        exchange.headers.set("x-user", "7")
        exchange.headers.set("authorization", "secret")
        answer = await next(exchange)
        answer.headers.set("x-seen", "yes")
        return answer

    async def twice(exchange, next, runtime):
        await next(exchange)
        runtime.count("again_total", why="test")
        return await next(exchange)

    made = harness.plugins(policies={"edits": Doing(edits), "twice": Doing(twice, Position.RETRY)})
    async with mesh(made) as m, http_upstream(lambda request: Answer(body=b"hello")) as app:
        await m.service(VIP, app.port, policies=of_type("twice", "edits"))
        explained = Explained(m)
        account = await explained.send("/cart?x=1", fields=[("x-a", "b")])
        assert outline(account) == [
            (0, "rescue", "", "passed"), (1, "route", "", "passed"), (2, "policy", "edits", "passed"),
            (3, "policy", "twice", "passed"), (4, "balance", "", "passed"), (5, "dial", "", "answered"),
            (4, "balance", "", "passed"), (5, "dial", "", "answered"),
        ]  # fmt: skip
        assert (account.status, account.reason, account.problem, account.attempts) == (200, "", "", 2)
        assert (account.backend, account.body_bytes, account.version) == ("default/app-b:80", 5, "v1")
        edited = step(account, "policy", "edits")
        assert edited.source == "MeshPolicy default/edits"
        assert said(edited) == [
            "request: set x-user: 7", "request: set authorization: ...", "answer: set x-seen: yes",
        ]  # fmt: skip
        assert said(step(account, "policy", "twice")) == ["counted again_total, why test", "tried again"]
        assert m.counter('again_total{why="test"}') == 1
        first, second = [one for one in account.steps if one.kind == "dial"]
        assert first.notes[0] == f"default/pod-0 at 127.0.0.1:{app.port} (round-robin, of 1)"
        assert "over a new connection" in first.notes[1]
        assert second.notes[1].startswith("over a ")
        assert (first.namespace, first.pod, first.address) == ("default", "pod-0", f"127.0.0.1:{app.port}")
        for one in account.steps:
            assert 0 <= one.began_us <= one.ended_us <= account.ended_us
        assert [request.target for request in app.requests] == ["/cart?x=1"] * 2
        assert m.seen.ended[-1].status == 200  # it was a request as any other
        await m.service(VIP, app.port)
        assert step(await explained.send(), "dial").notes[1] == "over a kept connection"


async def test_the_account_is_of_the_policies_that_serve_everybody_else(mesh, harness):
    """What a policy remembers is neither lost nor doubled by being looked at."""

    class Limit(Policy[Nothing]):
        config, position, uses_trio = Nothing, Position.LIMIT, False

        def build(self, config, next, runtime):
            left = 2

            async def handler(exchange):
                nonlocal left
                if not left:
                    raise Refused(429, "rate-limited", "no more")
                left -= 1
                return await next(exchange)

            return handler

    made = harness.plugins(policies={"limit": Limit()})
    async with mesh(made) as m, http_upstream(lambda request: Answer()) as app:
        await m.service(VIP, app.port, policies=of_type("limit"))
        explained = Explained(m)
        async with m.client() as client:
            assert (await client.get()).status == 200
            assert (await explained.send()).status == 200
            refused = await explained.send()
            assert (refused.status, refused.reason) == (429, "rate-limited")
            assert outline(refused)[-1] == (2, "policy", "limit", "failed")
            assert (step(refused, "policy").reason, step(refused, "policy").detail) == ("rate-limited", "no more")
            assert said(step(refused, "rescue")) == ["made 429 of it: rate-limited"]
            assert (await client.get()).status == 429
        assert len(app.requests) == 2


async def test_the_row_that_fits_the_rule_and_its_filters(mesh, harness):
    async with mesh() as m, http_upstream(lambda request: Answer()) as app:
        message = harness.destination(VIP, {"default/a:80": [("127.0.0.1", app.port)]})
        share = [discovery.WeightedBackend(backend="default/a:80", weight=1)]
        edit = discovery.Rewrite(hostname="other", path=discovery.PathEdit(full="/new"))
        message.routes.append(discovery.Route(name="default/r/0", backends=share))
        message.routes.append(discovery.Route(name="default/r/1", backends=share,
                                              filters=[discovery.Filter(rewrite=edit)]))  # fmt: skip
        for number, path in ((0, "/a"), (1, "/b")):
            match = discovery.PathMatch(type=discovery.MATCH_TYPE_PREFIX, value=path)
            message.matches.append(discovery.RouteMatch(route=number, path=match))
        await m.apply(message)
        explained = Explained(m)
        account = await explained.send("/b/c")
        assert (step(account, "match").row, account.route) == (2, "default/r/1")
        assert said(step(account, "route")) == ["default/r/1: backend default/a:80"]
        assert said(step(account, "filter", "rewrite")) == [
            "path /b/c became /new", "authority app-b became other", "request: changed host: other",
        ]  # fmt: skip
        plain = await explained.send("/a")
        assert (step(plain, "match").row, plain.route) == (1, "default/r/0")
        assert "filter" not in [one.kind for one in plain.steps]
        none = await explained.send("/c")
        assert (none.status, none.reason, step(none, "match").row) == (404, "no-route", 0)
        assert [request.target for request in app.requests] == ["/new", "/a"]


async def test_a_policy_under_trio_and_one_whose_handler_is_an_object(mesh, harness):
    class Slow(Policy[Nothing]):
        config, position, uses_trio = Nothing, Position.REQUEST, True

        def build(self, config, next, runtime):
            async def handler(exchange):
                await trio.lowlevel.checkpoint()
                return await next(exchange)

            return handler

    class Handler:
        def __init__(self, next):
            self.next, self.seen = next, []

        async def __call__(self, exchange):
            self.seen.append(exchange.path)
            return await self.next(exchange)

    class Object(Policy[Nothing]):
        config, position, uses_trio = Nothing, Position.RETRY, False

        def build(self, config, next, runtime):
            self.made = Handler(next)
            return self.made

    kept = Object()
    made = harness.plugins(policies={"slow": Slow(), "object": kept})
    async with mesh(made) as m, http_upstream(lambda request: Answer()) as app:
        await m.service(VIP, app.port, policies=of_type("slow", "object"))
        account = await Explained(m).send("/x")
        assert [(one.kind, one.name) for one in account.steps] == [
            ("rescue", ""), ("route", ""), ("policy", "slow"), ("policy", "object"), ("balance", ""), ("dial", ""),
        ]  # fmt: skip
        assert kept.made.seen == ["/x"]


async def test_nobody_to_connect_to(mesh, harness):
    async with mesh() as m, http_upstream(lambda request: Answer()) as app:
        with socket.socket() as nobody:  # bound, so that nobody else is, and not listening
            nobody.bind(("127.0.0.1", 0))
            await m.service(VIP, nobody.getsockname()[1], app.port)
            explained = Explained(m)
            account = await explained.send()
            assert account.status == 200
            first, second = [one for one in account.steps if one.kind == "dial"]
            assert (first.outcome, first.reason, first.pod) == ("failed", "connect-failed", "pod-0")
            assert (second.outcome, second.pod) == ("answered", "pod-1")
            assert said(step(account, "balance")) == ["tried again"]
            later = await explained.send()
            assert "(round-robin, of 2; 1 ejected)" in step(later, "dial").notes[0]


async def test_what_cannot_be_sent_is_told_in_words(mesh, harness):
    async with mesh() as m, http_upstream(lambda request: Answer()) as app:
        await m.service(VIP, app.port)
        explained = Explained(m)

        async def problem(**more):
            account = await explained.send(**more)
            assert not account.steps
            return account.problem

        assert "passed through as it is" in await problem(destination=Address("10.96.9.9", 80))
        assert "only requests without a body" in await problem(fields=[("content-length", "3")])
        assert "only requests without a body" in await problem(method="CONNECT", path="app-b:80")
        assert "no request that an application could send" in await problem(fields=[("x y", "z")])
        assert "no request that an application could send" in await problem(path="/a b")
        assert "no request that an application could send" in await problem(fields=[("host", "two")])
        assert "no request that an application could send" in await problem(path="/ HTTP/1.1\r\nx: y\r\n\r\n")
        await m.service(Address("10.96.0.2", 80), app.port, protocol=discovery.PROTOCOL_OPAQUE)
        assert "relayed as bytes" in await problem(destination=Address("10.96.0.2", 80))
        assert not app.requests


async def test_no_answer_in_time(mesh, harness, autojump_clock):
    async with mesh() as m, m.raw_upstream() as upstream:
        await m.service(VIP, upstream.port)
        explained = Explained(m)
        account = await explained.send(seconds=3)
        assert "no answer within 3 s" in account.problem
        assert outline(account)[-1] == (3, "dial", "", "failed")
        assert account.status == 0


async def test_no_more_than_a_few_are_sent_at_once(mesh, harness):
    async with mesh() as m, m.raw_upstream() as upstream:
        await m.service(VIP, upstream.port)
        explained = Explained(m)
        many = Explained(m)
        many.explaining = explained.explaining
        async with trio.open_nursery() as nursery:
            explained.explaining._tell = lambda report: None
            for _ in range(MOST_SENT):
                nursery.start_soon(explained.explaining.carry_out, pb.ReportResponse(send=pb.Send(
                    token=TOKEN, seconds=60, destination=str(VIP), method="GET", path="/",
                    fields=[pb.SentField(name="host", value="a")],
                )))
            for _ in range(MOST_SENT):
                await upstream.request()
            explained.explaining._tell = explained.told.append
            assert "being explained at this proxy already" in (await explained.send()).problem
            nursery.cancel_scope.cancel()
        assert explained.explaining._sending == 0


# --- both proxies ----------------------------------------------------------------------------------------------------


class Pair:
    """A client's proxy and a server's, whose app is `app`."""

    def __init__(self, client, server, app):
        self.client, self.server, self.app = client, server, app
        self.asked, self.received = Explained(client), Explained(server)

    async def set_up(self, harness, **more):
        self.server.destinations["127.0.1.1"] = Address("127.0.0.1", self.app.port)
        await self.client.service(VIP, ("127.0.1.1", self.server.proxy.ports["inbound"]), meshed=True, **more)

    async def expect(self, nursery, token=TOKEN, seconds=30):
        nursery.start_soon(self.received.explaining.carry_out,
                           pb.ReportResponse(expect=pb.Expect(token=token, seconds=seconds)))  # fmt: skip
        await self.client.until(lambda: self.received.told)
        (report,) = self.received.told
        assert list(report.expecting) == [token]
        self.received.told.clear()


async def test_the_servers_proxy_tells_its_part_and_the_application_never_sees_the_token(mesh, harness):
    async def notes(exchange, next, runtime):
        exchange.headers.set("x-inbound", "1")
        return await next(exchange)

    made = harness.plugins(policies={"notes": Doing(notes, direction="inbound")})
    async with mesh(made) as server, mesh() as client, http_upstream(lambda request: Answer()) as app:
        pair = Pair(client, server, app)
        await pair.set_up(harness)
        port = discovery.InboundPort(port=app.port, policies=of_type("notes"))
        server.table.apply_inbound(discovery.Inbound(ports=[port]))
        async with trio.open_nursery() as nursery:
            await pair.expect(nursery)
            account = await pair.asked.send(expected_at=["default/pod-0"])
            assert account.status == 200
            inbound = pair.received.account()
            assert inbound.direction == pb.DIRECTION_INBOUND
            assert outline(inbound) == [
                (0, "rescue", "", "passed"), (1, "policy", "notes", "passed"), (2, "application", "", "passed"),
                (3, "dial", "", "answered"),
            ]  # fmt: skip
            assert said(step(inbound, "policy")) == ["request: set x-inbound: 1"]
            # a configuration that comes meanwhile is looked at, too
            server.table.apply_inbound(discovery.Inbound(ports=[discovery.InboundPort(port=app.port)]))
            await pair.asked.send(expected_at=["default/pod-0"])
            assert "policy" not in [one.kind for one in pair.received.account().steps]
            # a pod that does not expect it gets none
            await pair.asked.send()
            assert not pair.received.told
            await pair.received.explaining.carry_out(pb.ReportResponse(forget=pb.Forget(token=TOKEN)))
        for request in app.requests:
            assert MARK not in dict(request.headers), request.headers
        assert len(app.requests) == 3
        # nobody looks any more, so nothing is around the handlers
        assert not any(hasattr(target.handler, "within") for target in server.table.inbound.values())


async def test_an_outsiders_token_is_nothing_and_is_counted_while_somebody_looks(mesh, harness):
    async with mesh() as server, mesh() as client, http_upstream(lambda request: Answer()) as app:
        pair = Pair(client, server, app)
        await pair.set_up(harness)
        async with client.client() as outsider, trio.open_nursery() as nursery:
            # while nobody expects one: as any other field
            assert (await outsider.get("/", tulle_explain=TOKEN)).status == 200
            assert server.counter("explain_marks_refused_total") == 0
            await pair.expect(nursery)
            for guess in ("", "x", "f" * 32, "0", TOKEN[:-1], TOKEN.upper()):
                answer = await outsider.get("/", tulle_explain=guess)
                assert (answer.status, answer.reason) == (200, "")
            assert server.counter("explain_marks_refused_total") == 6
            assert not pair.received.told
            # who knows it gets nothing either: the account is not for him, and ends after so many
            for _ in range(MOST_USES + 3):
                answer = await outsider.get("/", tulle_explain=TOKEN)
                assert (answer.status, answer.body, answer.reason) == (200, b"ok", "")
            assert len(pair.received.told) == MOST_USES
            assert server.counter("explain_marks_refused_total") == 6 + 3
            nursery.cancel_scope.cancel()
        assert pair.received.explaining._expected == {}


async def test_what_an_outsider_could_do_if_tokens_were_not_compared(mesh, harness, monkeypatch):
    """The test above sees the defence: without it, a guess makes the proxy tell of others' requests."""
    async with mesh() as server, mesh() as client, http_upstream(lambda request: Answer()) as app:
        pair = Pair(client, server, app)
        await pair.set_up(harness)
        explaining = pair.received.explaining
        monkeypatch.setattr(explaining, "_known", lambda token: next(iter(explaining._expected.values())))
        async with client.client() as outsider, trio.open_nursery() as nursery:
            await pair.expect(nursery)
            await outsider.get("/", tulle_explain="guess")
            assert len(pair.received.told) == 1
            nursery.cancel_scope.cancel()


async def test_commands_come_and_accounts_go_on_the_telemetry_stream(mesh, harness, control):
    async with mesh(control_plane=control.address) as m, http_upstream(lambda request: Answer()) as app:
        await control.introduced()
        stream = await control.stream("report")
        assert (await stream.next()).HasField("node")
        table = m.table
        # as if the control plane had told of it
        table.connected = False
        await m.service(VIP, app.port)

        async def told(field):
            while not getattr(report := await stream.next(), field):
                pass
            assert not report.HasField("gauges")
            return getattr(report, field)

        stream.send(pb.ReportResponse(expect=pb.Expect(token=TOKEN, seconds=30)))
        assert await told("expecting") == [TOKEN]
        sent = pb.Send(token=TOKEN, seconds=5, destination=str(VIP), method="GET", path="/x",
                       fields=[pb.SentField(name="host", value="app-b")])  # fmt: skip
        stream.send(pb.ReportResponse(send=sent))
        (account,) = await told("accounts")
        assert (account.token, account.status, account.direction) == (TOKEN, 200, pb.DIRECTION_OUTBOUND)
        assert [request.target for request in app.requests] == ["/x"]
        # the stream ends: nobody is there to be told, and nothing is expected any more
        assert m.table._around_inbound is not None
        stream.finish()
        await m.until(lambda: m.table._around_inbound is None)


async def test_tokens_are_few_and_end_by_themselves(mesh, harness, autojump_clock):
    async with mesh() as server:
        explained = Explained(server)
        async with trio.open_nursery() as nursery:
            for number in range(MOST_EXPECTED + 5):
                command = pb.ReportResponse(expect=pb.Expect(token=f"{number:032x}", seconds=3600))
                nursery.start_soon(explained.explaining.carry_out, command)
            for short in ("", "0" * 31):
                command = pb.ReportResponse(expect=pb.Expect(token=short, seconds=5))
                nursery.start_soon(explained.explaining.carry_out, command)
            await server.until(lambda: len(explained.told) >= MOST_EXPECTED)
            assert len(explained.explaining._expected) == MOST_EXPECTED
        # the nursery has ended by itself: a minute, whatever was asked
        assert len(explained.told) == MOST_EXPECTED
        assert not explained.explaining._expected
        assert trio.current_time() < 120
        assert server.table._around_inbound is None


async def test_an_account_is_bounded_whatever_a_policy_does(mesh, harness):
    async def endless(exchange, next, runtime):
        for number in range(150):
            exchange.headers.set("x-number", f"{number} {'v' * 1000}")
            runtime.count("noted_total")
            await next(exchange)
        return Response(200)

    made = harness.plugins(policies={"endless": Doing(endless, Position.RETRY)})
    async with mesh(made) as m, http_upstream(lambda request: Answer()) as app:
        await m.service(VIP, app.port, policies=of_type("endless"))
        account = await Explained(m).send()
        assert account.cut
        assert len(account.steps) == 200
        assert len(step(account, "policy").notes) == 20
        assert account.ByteSize() < 100_000
