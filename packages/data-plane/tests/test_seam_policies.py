"""The seam where policies and balancers go in: their order, their crossing to trio, and what they may not break."""

import pytest
import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Address, Balancer, Config, Policy, Position, Refused, Response
from tulle_testkit import Answer, http_upstream

pytestmark = pytest.mark.trio


class Nothing(Config):
    """No settings."""


class Noting(Policy[Nothing]):
    """Writes down when it is passed, and where the exchange is going by then."""

    config, uses_trio = Nothing, False

    def __init__(self, name, position, notes, direction="outbound", uses_trio=False):
        self.name, self.position, self.notes = name, position, notes
        self.direction, self.uses_trio = direction, uses_trio

    def build(self, config, next, runtime):
        async def handler(exchange):
            self.notes.append((self.name, exchange.backend, exchange.endpoint and exchange.endpoint.address.port))
            try:
                return await next(exchange)
            finally:
                self.notes.append((self.name, "back"))

        return handler


class Doing(Policy[Nothing]):
    """Whatever the test says: `does(exchange, next)`."""

    config, position = Nothing, Position.REQUEST

    def __init__(self, does, uses_trio=False, direction="outbound"):
        self.does, self.uses_trio, self.direction = does, uses_trio, direction

    def build(self, config, next, runtime):
        async def handler(exchange):
            return await self.does(exchange, next)

        return handler


def of_type(*types):
    return [pb.Policy(type=name, source=f"MeshPolicy default/{name}") for name in types]


# --- order ---------------------------------------------------------------------------------------------------------


async def test_policies_are_passed_in_the_order_of_their_positions(mesh, harness):
    notes = []
    positions = {"z": Position.AUTHORIZE, "y": Position.REQUEST, "x": Position.TIMEOUT, "w": Position.RETRY,
                 "v": Position.ENDPOINT, "b": Position.REQUEST}
    policies = {name: Noting(name, position, notes) for name, position in positions.items()}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type(*sorted(positions)))
        async with m.client() as client:
            assert (await client.get()).status == 200
        backend = "default/app-b:80"
        assert notes == [
            *[(name, backend, None) for name in "zbyxw"],
            ("v", backend, app.port),  # once a try, when the endpoint is known
            *[(name, "back") for name in "vwxybz"],
        ]


async def test_a_policy_at_the_endpoint_is_passed_once_a_try(mesh, harness):
    sock = harness.socket.socket()
    sock.bind(("127.0.0.1", 0))
    refuses = sock.getsockname()[1]
    notes = []
    policies = {"once": Noting("once", Position.RETRY, notes), "each": Noting("each", Position.ENDPOINT, notes)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, refuses, app.port, policies=of_type("once", "each"))
        async with m.client() as client:
            assert (await client.get()).status == 200
        passed = [(note[0], note[2]) for note in notes if note[1] != "back"]
        assert passed == [("once", None), ("each", refuses), ("each", app.port)]
    sock.close()


async def test_a_policy_of_the_route_is_nearer_than_one_of_the_service(mesh, harness):
    class Marked(Config):
        mark: str

    class Mark(Policy[Marked]):
        config, uses_trio = Marked, False

        def build(self, config, next, runtime):
            async def handler(exchange):
                exchange.headers.add("x-mark", config.mark)
                return await next(exchange)

            return handler

    async with mesh(harness.plugins(policies={"mark": Mark()})) as m, http_upstream() as app:
        message = harness.destination(harness.VIP, {"b": [("127.0.0.1", app.port)]}, weights={"b": 1})
        message.policies.append(pb.Policy(type="mark", source="service", config='{"mark": "service"}'))
        await m.apply(message)
        async with m.client() as client:
            await client.get()
            message.routes[0].policies.append(pb.Policy(type="mark", source="route", config='{"mark": "route"}'))
            await m.apply(message)
            await client.get()
        assert [request.header("x-mark") for request in app.requests] == [["service"], ["route"]]


@pytest.mark.parametrize("where", ["inbound", "outbound"])
async def test_a_policy_runs_only_in_its_direction(mesh, harness, where):
    notes = []
    policies = {name: Noting(name, Position.REQUEST, notes, name) for name in ("inbound", "outbound", "both")}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        there = Address("127.0.0.1", app.port)
        if where == "inbound":
            m.table.apply_inbound(pb.Inbound(ports=[pb.InboundPort(port=app.port, policies=of_type(*policies))]))
        else:
            await m.service(there, app.port, policies=of_type(*policies))
        async with m.client(there, where) as client:
            assert (await client.get()).status == 200
        assert sorted(note[0] for note in notes if note[1] != "back") == sorted([where, "both"])


# --- crossing to trio ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"whole", [b"in ", b"pieces"]], ids=["no body", "whole", "pieces"])
async def test_a_policy_may_use_trio_when_it_says_so(mesh, harness, body):
    async def does(exchange, next):
        async with trio.open_nursery() as nursery:  # nurseries, sleeping, channels: anything
            send, receive = trio.open_memory_channel(0)
            nursery.start_soon(send.send, "hello")
            exchange.headers.add("x-said", await receive.receive())
        await trio.sleep(0.001)
        with trio.move_on_after(60):
            response = await next(exchange)
        await trio.lowlevel.checkpoint()
        return response

    policies = {"trio": Doing(does, uses_trio=True)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream(lambda r: Answer(body=(b"a", b"b"))) as app:
        await m.service(harness.VIP, app.port, policies=of_type("trio"))
        async with m.client() as client:
            for _ in range(3):
                answer = await client.request("POST", "/", body)
                assert (answer.status, answer.body) == (200, b"ab")
        assert [request.header("x-said") for request in app.requests] == [["hello"]] * 3
        assert {request.body for request in app.requests} == {body if isinstance(body, bytes) else b"".join(body)}


async def test_policies_on_both_sides_of_the_crossing(mesh, harness):
    notes = []
    names = "abcd"
    policies = {n: Noting(n, Position.REQUEST, notes, uses_trio=n in "ac") for n in names}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type(*names))
        async with m.client() as client:
            assert (await client.get()).status == 200
        assert "".join(note[0] for note in notes) == "abcddcba"


async def test_a_policy_that_promised_not_to_use_trio_and_does_fails_by_name(mesh, harness, caplog):
    async def does(exchange, next):
        await trio.sleep(0)
        return await next(exchange)

    async with mesh(harness.plugins(policies={"liar": Doing(does)})) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("liar"))
        async with m.client() as client:
            for _ in range(2):
                answer = await client.get()
                assert (answer.status, answer.reason) == (500, "policy-error")
        assert "uses_trio = True" in m.host.faults.describe()[0]["error"]
        assert "plugin policy-liar raised" in caplog.text
        assert app.requests == []


# --- what they may not break -----------------------------------------------------------------------------------------


class Panic(BaseException):
    """As a panic in Rust arrives in Python."""


@pytest.mark.parametrize("uses_trio", [False, True])
@pytest.mark.parametrize("error", [ValueError("mine"), KeyError("x"), SystemExit(3), Panic("b")], ids=repr)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "pieces"])
async def test_a_policy_that_raises_fails_its_request_and_nothing_else(mesh, harness, error, uses_trio, when, pieces):
    async def does(exchange, next):
        if when == "before":
            raise error
        await next(exchange)
        raise error

    body = (b"a" * 70_000, b"b") if pieces else b"ok"
    policies = {"bad": Doing(does, uses_trio)}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream(lambda r: Answer(body=body)) as app:
        await m.service(harness.VIP, app.port, policies=of_type("bad"))
        other = Address("10.96.0.7", 80)
        await m.service(other, app.port)
        async with m.client() as client, m.client(other) as neighbour:
            for _ in range(2):
                answer = await client.get()
                assert (answer.status, answer.reason) == (500, "policy-error")
                assert b"mine" not in answer.body, "what went wrong inside is for the log"
                assert (await neighbour.get()).status == 200
        assert m.open == 0 or not await m.settled()


async def test_an_answer_that_a_policy_throws_away_leaves_nothing_open(mesh, harness):
    async def does(exchange, next):
        await next(exchange)  # a body that is still arriving, and nobody says aclose()
        return Response(200, body=b"mine")

    async with mesh(harness.plugins(policies={"own": Doing(does)})) as m, m.raw_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("own"))
        async with m.client() as client:
            await client.ask()
            peer, _ = await app.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbeginning")
            assert (await client.answer()).body == b"mine"
            assert (await peer.rest())[1] is False, "its connection was given up"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [200, 204, 304])
async def test_a_policys_own_answer_is_framed_for_it(mesh, harness, method, status):
    async def does(exchange, next):
        return Response(status, body=b"mine")

    async with mesh(harness.plugins(policies={"own": Doing(does)})) as m:
        await m.service(harness.VIP, policies=of_type("own"))
        async with m.client() as client:
            for _ in range(2):  # the second would begin with the first's body
                answer = await client.request(method, "/")
                assert (answer.status, answer.body) == (status, b"mine" if (method, status) == ("GET", 200) else b"")


class Pieces:
    """A body that a policy makes."""

    def __init__(self, *pieces):
        self.pieces, self.closed = list(pieces), 0

    async def read(self):
        return self.pieces.pop(0) if self.pieces else b""

    async def aclose(self):
        self.closed += 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [200, 204])
async def test_a_policys_own_body_in_pieces_is_framed_for_it(mesh, harness, method, status):
    bodies = []

    async def does(exchange, next):
        bodies.append(Pieces(b"mi", b"ne"))
        return Response(status, body=bodies[-1])

    async with mesh(harness.plugins(policies={"own": Doing(does)})) as m:
        await m.service(harness.VIP, policies=of_type("own"))
        async with m.client() as client:
            for _ in range(2):
                answer = await client.request(method, "/")
                assert (answer.status, answer.body) == (status, b"mine" if (method, status) == ("GET", 200) else b"")
        assert [body.closed for body in bodies] == [1, 1]


@pytest.mark.parametrize("said", ["", "2", "200"], ids=["nothing", "too little", "too much"])
@pytest.mark.parametrize("body", [b"changed", b""])
async def test_a_body_that_a_policy_has_changed_is_sent_with_its_true_length(mesh, harness, said, body):
    async def does(exchange, next):
        response = await next(exchange)
        response.body = body
        response.headers.remove("content-length")
        if said:
            response.headers.add("content-length", said)
        return response

    async with mesh(harness.plugins(policies={"edit": Doing(does)})) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("edit"))
        async with m.client() as client:
            for _ in range(2):
                answer = await client.get()
                assert (answer.body, answer.headers["content-length"]) == (body, str(len(body)))


@pytest.mark.parametrize("said", ["2", "200"], ids=["too little", "too much"])
async def test_a_body_in_pieces_that_belies_its_length_is_broken_off(mesh, harness, said):
    async def does(exchange, next):
        return Response(200, harness.Headers.of([("content-length", said)]), Pieces(b"mi", b"ne"))

    async with mesh(harness.plugins(policies={"own": Doing(does)})) as m:
        await m.service(harness.VIP, policies=of_type("own"))
        async with await m.dial() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 2)
            got, clean = await harness.Peer(stream).rest()
            assert not clean
            assert got.count(b"HTTP/1.1 200 ") <= 1
        assert m.seen.ended[0].reason == "policy-error"


async def test_a_policy_that_makes_what_cannot_be_sent_fails_its_request(mesh, harness):
    async def does(exchange, next):
        exchange.path = "/a b\r\nx: y"
        return await next(exchange)

    async with mesh(harness.plugins(policies={"bad": Doing(does)})) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, policies=of_type("bad"))
        async with m.client() as client:
            answer = await client.get()
            assert (answer.status, answer.reason) == (500, "policy-error")
        assert app.requests == []


async def test_a_policy_that_refuses(mesh, harness):
    async def does(exchange, next):
        raise Refused(429, "rate-limited", "too many", {"retry-after": "1"})

    async with mesh(harness.plugins(policies={"limit": Doing(does)})) as m:
        await m.service(harness.VIP, policies=of_type("limit"))
        async with m.client() as client:
            answer = await client.get()
            assert (answer.status, answer.reason, answer.headers["retry-after"]) == (429, "rate-limited", "1")
            assert answer.body == b"rate-limited: too many\n"
        assert (m.seen.ended[0].status, m.seen.ended[0].reason) == (429, "rate-limited")


@pytest.mark.parametrize("error", [ValueError("pick"), SystemExit(3)], ids=repr)
async def test_a_balancer_that_raises_costs_no_request(mesh, harness, error):
    class Bad(Balancer):
        def pick(self, endpoints, exchange):
            raise error

    balancers = {"bad": lambda config, runtime: Bad()}
    async with mesh(harness.plugins(balancers=balancers)) as m, http_upstream() as app:
        await m.service(harness.VIP, app.port, balancer="bad")
        tcp = Address("10.96.0.9", 6379)
        await m.service(tcp, app.port, balancer="bad")
        async with m.client() as client:
            assert (await client.get()).status == 200
        async with await m.dial(tcp) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert (await harness.Peer(stream).until()).startswith(b"HTTP/1.1 200")
        assert m.counter('plugin_failures_total{plugin="balancer-bad",what="raised"}') == 2


async def test_a_balancer_hears_how_its_choices_went(mesh, harness):
    heard = []

    class Listening(harness.Turns):
        def started(self, endpoint):
            heard.append(("started", endpoint.address.port))

        def finished(self, endpoint, seconds, failed):
            assert seconds >= 0
            heard.append(("finished", endpoint.address.port, failed))

    sock = harness.socket.socket()
    sock.bind(("127.0.0.1", 0))
    refuses = sock.getsockname()[1]
    statuses = iter([200, 404, 503])
    balancers = {"round-robin": lambda config, runtime: Listening()}
    plugins = harness.plugins(balancers=balancers)
    async with mesh(plugins) as m, http_upstream(lambda r: Answer(next(statuses))) as app:
        await m.service(harness.VIP, refuses, app.port)
        async with m.client() as client:
            for _ in range(3):
                await client.get()
        good = app.port
        assert heard == [
            ("started", refuses), ("finished", refuses, True), ("started", good), ("finished", good, False),
            ("started", good), ("finished", good, False), ("started", good), ("finished", good, True),
        ]
    sock.close()


# --- refused ----------------------------------------------------------------------------------------------------------


class Sized(Config):
    """With a size."""

    size: int


class Choosy(Policy[Sized]):
    """Refuses what it does not like."""

    config, uses_trio = Sized, False

    def build(self, config, next, runtime):
        if config.size < 1:
            raise ValueError(f"size: at least 1, not {config.size}")
        return next


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('{"size": "big"}', "MeshPolicy default/choosy .*size: expected int"),
        ('{"sise": 1}', "did you mean 'size'"),
        ("{}", "size"),
        ("[1]", "object"),
        ("{", "not JSON"),
        ('{"size": 0}', "MeshPolicy default/choosy .type choosy.: size: at least 1, not 0"),
    ],
)
async def test_a_policys_bad_configuration_is_refused_and_the_old_one_serves_on(mesh, harness, config, says):
    async with mesh(harness.plugins(policies={"choosy": Choosy()})) as m, http_upstream() as app:
        good = pb.Policy(type="choosy", source="MeshPolicy default/choosy", config='{"size": 1}')
        target = await m.service(harness.VIP, app.port, policies=[good])
        before = target.handler
        bad = pb.Policy(type="choosy", source="MeshPolicy default/choosy", config=config)
        with pytest.raises(harness.Rejected, match=says):
            await m.service(harness.VIP, policies=[bad])
        assert target.handler is before
        async with m.client() as client:
            assert (await client.get()).status == 200


async def test_an_inbound_configuration_is_put_in_force_whole_or_not_at_all(mesh, harness):
    async def refuse(exchange, next):
        raise Refused(403, "no")

    policies = {"refuse": Doing(refuse, direction="inbound")}
    async with mesh(harness.plugins(policies=policies)) as m, http_upstream() as app:
        refused = pb.InboundPort(port=app.port, policies=of_type("refuse"))
        unknown = pb.InboundPort(port=1, policies=of_type("unknown"))
        with pytest.raises(harness.Rejected, match="unknown"):
            m.table.apply_inbound(pb.Inbound(ports=[refused, unknown]))
        async with m.client(Address("127.0.0.1", app.port), "inbound") as client:
            assert (await client.get()).status == 200
            m.table.apply_inbound(pb.Inbound(ports=[refused]))
            assert (await client.get()).status == 403
            m.table.apply_inbound(pb.Inbound())
            assert (await client.get()).status == 200
