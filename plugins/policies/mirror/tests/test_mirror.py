"""Copies and originals, on a virtual clock."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from tulle_plugin_api import (
    Address,
    ConfigError,
    Endpoint,
    Exchange,
    Failure,
    Headers,
    ListedEndpoints,
    Position,
    Response,
    Service,
    TrioRuntime,
    load,
)
from tulle_plugin_api.config import decode
from tulle_policy_mirror import COPY_BYTES, DRAIN_BYTES, Mirror, MirrorConfig

APP, COPY = "default/app-b:80", "default/shadow:81"
SERVICE = Service("app-b", "default", 80, "app-b.default.svc.cluster.local:80")


def run(test):
    return trio.run(test, clock=MockClock(autojump_threshold=0))


class Pieces:
    """A body in pieces."""

    def __init__(self, *pieces):
        self.left, self.closed, self.read_bytes = list(pieces), False, 0

    async def read(self):
        await trio.lowlevel.checkpoint()
        piece = self.left.pop(0) if self.left else b""
        self.read_bytes += len(piece)
        return piece

    async def aclose(self):
        self.closed = True


class Mesh:
    """What is below the policy: originals are answered by `original`, copies by `copy`; both note what they got."""

    def __init__(self, copy=None, original=None, nodes=1, **given):
        self.answers = {APP: original or self.ok, COPY: copy or self.ok}
        self.got = {APP: [], COPY: []}
        nodes = [Endpoint(Address("10.0.0.9", port)) for port in range(nodes)]
        self.runtime = TrioRuntime(1, endpoints=ListedEndpoints({COPY: nodes}, trio.current_time))
        config = decode(MirrorConfig, {"service": "shadow", "port": 81, **given})
        self.handler = Mirror().build(config, self.next, self.runtime)

    @staticmethod
    async def ok(exchange):
        return Response(200)

    async def next(self, exchange):
        exchange.attempts += 1
        body = exchange.body
        if not isinstance(body, bytes):
            body = b""
            while piece := await exchange.body.read():
                body += piece
        self.got[exchange.backend].append((exchange.method, exchange.path, list(exchange.headers), body))
        return await self.answers[exchange.backend](exchange)

    async def request(self, body=b"", method="GET", attempts=0, upgrade="", headers=(("host", "app-b"),)):
        exchange = Exchange(Headers.of(headers))
        exchange.method, exchange.path, exchange.body, exchange.service = method, "/cart?x=1", body, SERVICE
        exchange.backend, exchange.attempts, exchange.upgrade = APP, attempts, upgrade
        response = await self.handler(exchange)
        assert exchange.body is body, "as it was"
        return response

    @property
    def counters(self):
        return {name.removeprefix("mirror_"): value for name, value in self.runtime.counters.items()}


def test_it_is_installed_below_retry_and_on_the_fast_path():
    installed = load().policies["mirror"]
    assert isinstance(installed, Mirror)
    assert Position.RETRY < installed.position < Position.ENDPOINT
    assert installed.uses_trio is False
    assert installed.backends(decode(MirrorConfig, {"service": "shadow", "port": 81})) == (("shadow", 81),)


def test_a_copy_may_go_to_another_namespace_that_the_control_plane_has_told_of():
    config = decode(MirrorConfig, {"service": "shadow", "port": 81, "namespace": "far"})
    # a MeshPolicy that says so is told of no endpoints: only a route's filter is, whose grant has been checked
    assert Mirror().backends(config) == ()
    sent = []

    async def next(exchange):
        sent.append(exchange.backend)
        return Response(200)

    async def test():
        nodes = ListedEndpoints({"far/shadow:81": [Endpoint(Address("10.0.0.9", 1))]}, trio.current_time)
        exchange = Exchange()
        exchange.service, exchange.backend = SERVICE, APP
        await Mirror().build(config, next, TrioRuntime(1, endpoints=nodes))(exchange)
        await wait_all_tasks_blocked()

    run(test)
    assert sorted(sent) == [APP, "far/shadow:81"]


@pytest.mark.parametrize("body", [b"whole", "pieces"], ids=repr)
def test_of_several_mirrors_each_copies_a_request_once(body):
    targets = [f"default/shadow{number}:81" for number in range(3)]
    got = []

    async def app(exchange):
        while not isinstance(exchange.body, bytes) and await exchange.body.read():
            pass
        got.append(exchange.backend)
        return Response(200)

    async def test():
        nodes = ListedEndpoints({each: [Endpoint(Address("10.0.0.9", 1))] for each in targets}, trio.current_time)
        runtime, handler = TrioRuntime(1, endpoints=nodes), app
        for number in range(3):
            handler = Mirror().build(decode(MirrorConfig, {"service": f"shadow{number}", "port": 81}), handler, runtime)
        exchange = Exchange()
        exchange.service, exchange.backend = SERVICE, APP
        exchange.body = Pieces(b"a", b"b") if body == "pieces" else body
        await handler(exchange)
        await wait_all_tasks_blocked()

    run(test)
    assert sorted(got) == [APP, *targets]


@pytest.mark.parametrize("body", [b"", b"whole", "pieces"], ids=repr)
def test_the_copy_is_what_the_original_is(body):
    async def test():
        mesh = Mesh()
        chunked = body == "pieces"
        given = Pieces(b"a" * 30_000, b"b" * 30_000) if chunked else body
        sent = b"a" * 30_000 + b"b" * 30_000 if chunked else body
        length = [] if chunked else [("content-length", str(len(body)))]
        headers = [("host", "app-b"), ("cookie", "x"), *length]
        assert (await mesh.request(given, "POST", headers=headers)).status == 200
        await wait_all_tasks_blocked()
        assert mesh.got[APP] == [("POST", "/cart?x=1", headers, sent)]
        if chunked:  # whole by now, and framed as such
            headers = [*headers, ("content-length", "60000")]
        assert mesh.got[COPY] == [("POST", "/cart?x=1", headers, sent)]
        assert mesh.counters == {"copies_total": 1}

    run(test)


def test_what_happens_to_one_is_not_seen_by_the_other():
    async def edit(exchange):
        exchange.headers.set("x-edited", "yes")
        exchange.path = "/edited"
        return Response(500)

    async def test():
        mesh = Mesh(original=edit, copy=edit)
        assert (await mesh.request()).status == 500
        await mesh.request()
        await wait_all_tasks_blocked()
        for got in mesh.got.values():
            assert got == [("GET", "/cart?x=1", [("host", "app-b")], b"")] * 2

    run(test)


@pytest.mark.parametrize("percent", [0, 10, 50, 100])
def test_the_share_holds_within_one_over_ten_thousand(percent):
    async def test():
        mesh = Mesh(percent=percent)
        for number in range(10_000):
            await mesh.request()
            if number % 50 == 0:
                await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()
        assert len(mesh.got[APP]) == 10_000
        assert abs(len(mesh.got[COPY]) - 100 * percent) <= (1 if 0 < percent < 100 else 0)

    run(test)


async def hangs(exchange):
    await trio.sleep_forever()


async def breaks(exchange):
    raise Failure("gone", reason="upstream-reset")


async def bug(exchange):
    raise KeyError("a bug")


@pytest.mark.parametrize("copy", [hangs, breaks, bug])
@pytest.mark.parametrize("body", [b"", "pieces"])
def test_a_target_in_trouble_delays_and_changes_nothing(copy, body):
    async def test():
        mesh = Mesh(copy=copy, max_pending=10, timeout="5s")
        for _ in range(100):
            given = Pieces(b"a", b"b") if body else b""
            response = await mesh.request(given)
            assert response.status == 200
        assert trio.current_time() == 0, "not a moment later"
        await trio.sleep(6)
        counters = mesh.counters
        assert counters["copies_total"] + counters.get("dropped_total", 0) == 100
        if copy is hangs:
            assert counters["copies_total"] == counters["failures_total"] == 10, "bounded, and each in time"
        mesh.answers[COPY] = Mesh.ok
        await mesh.request()
        await wait_all_tasks_blocked()
        assert mesh.counters["copies_total"] == counters["copies_total"] + 1, "places are given back"

    run(test)


@pytest.mark.parametrize("size", [COPY_BYTES, COPY_BYTES + 1])
@pytest.mark.parametrize("whole", [True, False])
def test_a_body_that_is_too_long_to_keep_is_not_copied(size, whole):
    async def test():
        mesh = Mesh()
        data = b"x" * size
        body = data if whole else Pieces(*[data[at : at + 1000] for at in range(0, size, 1000)])
        await mesh.request(body, "POST")
        await wait_all_tasks_blocked()
        assert mesh.got[APP][0][3] == data
        assert len(mesh.got[COPY]) == (size == COPY_BYTES)
        assert mesh.counters == ({"copies_total": 1} if size == COPY_BYTES else {"dropped_total": 1})

    run(test)


def test_an_original_that_never_sent_all_of_its_body_has_no_copy():
    async def test():
        mesh = Mesh()

        async def next(exchange):
            await exchange.body.read()
            raise Failure("gone", reason="upstream-reset")

        handler = Mirror().build(decode(MirrorConfig, {"service": "shadow", "port": 81}), next, mesh.runtime)
        exchange = Exchange()
        exchange.body, exchange.backend, exchange.service = Pieces(b"a", b"b"), APP, SERVICE
        with pytest.raises(Failure):
            await handler(exchange)
        assert mesh.counters == {}

    run(test)


@pytest.mark.parametrize("request_", [{"attempts": 1}, {"upgrade": "websocket"}, {"method": "CONNECT"}], ids=repr)
def test_neither_retries_nor_conversations_are_copied(request_):
    async def test():
        mesh = Mesh()
        await mesh.request(**request_)
        await wait_all_tasks_blocked()
        assert (len(mesh.got[APP]), mesh.got[COPY], mesh.counters) == (1, [], {})

    run(test)


def test_without_endpoints_there_are_no_copies():
    async def test():
        mesh = Mesh(nodes=0)
        await mesh.request()
        await wait_all_tasks_blocked()
        assert (mesh.got[COPY], mesh.counters) == ([], {"dropped_total": 1})

    run(test)


@pytest.mark.parametrize("size", [10, DRAIN_BYTES * 4])
def test_answers_are_read_for_the_connections_sake_and_thrown_away(size):
    bodies = []

    async def answer(exchange):
        bodies.append(Pieces(*[b"x" * 1000] * (size // 1000 + 1)))
        return Response(200, body=bodies[-1])

    async def test():
        mesh = Mesh(copy=answer)
        await mesh.request()
        await wait_all_tasks_blocked()
        assert bodies[0].closed
        assert bodies[0].read_bytes <= DRAIN_BYTES + 1000
        assert (not bodies[0].left) is (size == 10)

    run(test)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"port": 80}, "spec.config: object missing required field service"),
        ({"service": "a", "port": 0}, "spec.config.port: expected int >= 1 (0)"),
        ({"service": "a", "port": 80, "percent": 150}, "spec.config.percent: expected float <= 100.0 (150)"),
        ({"service": "a", "port": 80, "sevice": "b"}, "did you mean 'service'?"),
    ],
)
def test_bad_configuration_is_refused_with_what_would_be_right(given, problem):
    with pytest.raises(ConfigError) as refused:
        decode(MirrorConfig, given)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("given", "problem"),
    [({"service": "other/a"}, "service: the name of a Service in the same"), ({"timeout": "0s"}, "timeout: more")],
)
def test_what_types_cannot_say(given, problem):
    (said,) = Mirror().check(decode(MirrorConfig, {"service": "a", "port": 80, **given}))
    assert said.startswith(problem)
