"""Explained requests at the control plane: who may ask, what is told to which proxies, what of their answers counts."""

import asyncio
import json

import httpx
import pytest
from tulle_api.v1 import telemetry_pb2 as pb
from tulle_control_plane.grpc import explaining
from tulle_control_plane.grpc.explaining import Explaining, Question, Unanswerable
from tulle_control_plane.web.app import Api

CLIENT, SERVER, OTHER = ("demo", "app-a-1"), ("demo", "app-b-1"), ("demo", "app-b-2")
STEP = pb.Step(kind="dial", pod="app-b-1", namespace="demo", status=200)


class Proxy:
    """One proxy's side of the stream, moved by the test. `does`: by command, what it tells."""

    def __init__(self, parts, key, **does):
        self.parts, self.key, self.does, self.heard = parts, key, does, []
        self.line = parts.connect(key)
        self.task = asyncio.create_task(self.run())

    async def run(self):
        while True:
            command = await self.line.get()
            which = command.WhichOneof("command")
            self.heard.append((which, getattr(command, which)))
            told = self.does.get(which)
            if told is not None:
                for report in told(getattr(command, which)):
                    assert self.parts.take(self.key, report)


def expects(command):
    yield pb.ReportRequest(expecting=[command.token])


def account(command, direction=pb.DIRECTION_OUTBOUND, **more):
    return pb.ReportRequest(accounts=[pb.Account(token=command.token, direction=direction, **more)])


def question(servers=(SERVER, OTHER), seconds=1):
    return Question(CLIENT, servers, pb.Send(seconds=seconds, destination="10.96.0.7:80", method="GET", path="/"))


@pytest.fixture
def impatient(monkeypatch):
    """What would be waited for in vain is given up at once."""
    for name in ("EXPECT_WITHIN", "ACCOUNT_WITHIN"):
        monkeypatch.setattr(explaining, name, 0.01)


def run(work):
    return asyncio.run(asyncio.wait_for(work, 20))


def test_the_servers_are_told_before_the_client_sends_and_all_are_told_of_the_end():
    async def main():
        parts, order = Explaining(), []
        tokens = []

        def send(command):
            order.append("send")
            tokens.append(command.token)
            assert list(command.expected_at) == ["demo/app-b-1", "demo/app-b-2"]
            assert parts.take(SERVER, account(command, pb.DIRECTION_INBOUND, status=200))
            yield account(command, status=200, steps=[STEP])

        def expect(command):
            order.append("expect")
            yield from expects(command)

        proxies = [Proxy(parts, CLIENT, send=send), *(Proxy(parts, key, expect=expect) for key in (SERVER, OTHER))]
        for _ in range(2):
            told = await parts.ask(question())
            assert (told.client.status, [key for key, _ in told.servers], told.silent) == (200, [SERVER], [])
        assert order == ["expect", "expect", "send"] * 2
        assert len(set(tokens)) == 2
        assert all(len(token) == 32 for token in tokens)
        while proxies[1].heard[-1][0] != "forget":
            await asyncio.sleep(0)
        assert [which for which, _ in proxies[2].heard[:2]] == ["expect", "forget"]
        assert not parts._open

    run(main())


def test_what_nobody_asked_for_is_thrown_away(impatient):
    async def main():
        parts = Explaining()

        def send(command):
            for key in (SERVER, ("demo", "stranger")):  # an account that is not its own, and one of who was not asked
                assert parts.take(key, account(command, status=500))
            assert parts.take(("demo", "stranger"), account(command, pb.DIRECTION_INBOUND, status=500))
            assert parts.take(SERVER, pb.ReportRequest(accounts=[pb.Account(token="f" * 32)], expecting=["f" * 32]))
            for _ in range(explaining.MOST_ACCOUNTS + 9):
                assert parts.take(SERVER, account(command, pb.DIRECTION_INBOUND, status=200))
            yield account(command, status=200)
            yield account(command, status=503)

        Proxy(parts, CLIENT, send=send)
        Proxy(parts, SERVER, expect=expects)
        told = await parts.ask(question())
        assert told.client.status == 200
        assert {key for key, _ in told.servers} == {SERVER}
        assert len(told.servers) == explaining.MOST_ACCOUNTS
        assert not parts.take(SERVER, pb.ReportRequest(interval_ms=1000))  # an ordinary report

    run(main())


def test_a_server_that_does_not_answer_is_left_out_or_named(impatient):
    async def main():
        parts = Explaining()
        Proxy(parts, CLIENT, send=lambda command: [account(command, status=200, steps=[STEP])])
        Proxy(parts, SERVER, expect=expects)
        told = await parts.ask(question())  # it expects, was tried, and tells nothing
        assert (told.servers, told.silent) == ([], [SERVER])
        parts = Explaining()
        client = Proxy(parts, CLIENT, send=lambda command: [account(command, status=200, steps=[STEP])])
        Proxy(parts, SERVER)  # of an older version: it does not know the command
        told = await parts.ask(question())
        assert (told.servers, told.silent) == ([], [])
        assert list(client.heard[-1][1].expected_at) == []  # so it is not sent the token

    run(main())


def test_why_there_is_no_answer(impatient, monkeypatch):
    async def main():
        parts = Explaining()
        with pytest.raises(Unanswerable, match="has no telemetry stream") as caught:
            await parts.ask(question())
        assert caught.value.status == 409
        client = Proxy(parts, CLIENT)
        monkeypatch.setattr(explaining, "ACCOUNT_WITHIN", -0.9)  # with the second of the request itself
        with pytest.raises(Unanswerable, match="did not say within") as caught:
            await parts.ask(question())
        assert caught.value.status == 504
        many = [asyncio.create_task(parts.ask(question(seconds=30))) for _ in range(explaining.MOST_QUESTIONS)]
        while len(client.heard) < 1 + explaining.MOST_QUESTIONS:
            await asyncio.sleep(0)
        with pytest.raises(Unanswerable, match="being explained already") as caught:
            await parts.ask(question())
        assert caught.value.status == 429
        for task in many:
            task.cancel()
        await asyncio.gather(*many, return_exceptions=True)
        assert not parts._open

    run(main())


def test_a_proxy_that_does_not_read_costs_a_bounded_queue(impatient):
    async def main():
        parts = Explaining()
        line = parts.connect(SERVER)
        Proxy(parts, CLIENT, send=lambda command: [account(command, status=200)])
        for _ in range(explaining.MOST_COMMANDS):
            await parts.ask(question())
        assert line.qsize() == explaining.MOST_COMMANDS
        newer = parts.connect(SERVER)
        parts.disconnect(SERVER, line)  # the old stream ends late: the new one stays
        assert parts._lines[SERVER] is newer

    run(main())


# --- over HTTP ------------------------------------------------------------------------------------------------------

BODY = {"namespace": "default", "pod": "app-a-1", "destination": "10.96.0.7:80", "method": "GET", "path": "/cart",
        "fields": [["host", "app-b"]], "seconds": 5}  # fmt: skip


class Asked:
    """Stands where Explaining is: remembers the question."""

    def __init__(self):
        self.questions = []

    async def ask(self, asked):
        self.questions.append(asked)
        inbound = pb.Account(status=200, steps=[pb.Step(kind="rescue", notes=["a"])])
        return explaining.Accounts(pb.Account(status=200, token="secret", steps=[STEP]), [(SERVER, inbound)], [OTHER])


@pytest.fixture
def server(world, make):
    snapshots = world(
        make.namespace("default"), make.service(),
        make.slice(endpoints=[make.endpoint("10.244.0.1", "app-b-1"), make.endpoint("10.244.0.2", "app-b-2")]),
        make.pod("app-b-1", "10.244.0.1", meshed=True), make.pod("app-b-2", "10.244.0.2"),
        make.pod("app-a-1", "10.244.0.5", meshed=True),
    ).snapshots  # fmt: skip

    class Node:
        namespace, pod = "default", "app-a-1"

    class Parts:
        explaining = Asked()
        sessions = (type("Session", (), {"node": Node}),)

    Parts.snapshots = snapshots
    api = Api(version="", cluster_domain="", started=0.0, proxies=Parts, feed=None, telemetry=Parts, traffic=None,
              directory=None)  # fmt: skip
    return api.app(), Parts.explaining


def ask(app, body=BODY, client=("127.0.0.1", 9), path=None, **headers):
    async def main():
        async def over_socket(scope, receive, send):
            await app({**scope, "server": (path, None)} if path else scope, receive, send)

        transport = httpx.ASGITransport(over_socket, client=client)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8085") as http:
            content = body if isinstance(body, bytes) else json.dumps(body)
            fields = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
            return await http.post("/api/v1/explain", content=content, headers=fields)

    return asyncio.run(main())


def test_the_question_goes_to_the_meshed_endpoints_and_the_answer_has_no_token(server):
    app, asked = server
    answer = ask(app)
    assert answer.status_code == 200, answer.text
    (one,) = asked.questions
    assert (one.client, one.servers) == (("default", "app-a-1"), [("default", "app-b-1")])
    assert (one.request.method, one.request.path, one.request.seconds) == ("GET", "/cart", 5)
    assert [(field.name, field.value) for field in one.request.fields] == [("host", "app-b")]
    told = answer.json()
    assert (told["client"]["status"], told["client"]["steps"][0]["pod"]) == (200, "app-b-1")
    assert (told["servers"][0]["pod"], told["servers"][0]["steps"][0]["notes"]) == ("app-b-1", ["a"])
    assert told["silent"] == [{"namespace": "demo", "pod": "app-b-2"}]
    assert "secret" not in answer.text


@pytest.mark.parametrize("client", [("127.0.0.1", 1), ("127.8.8.8", 1), ("::1", 1), ("::ffff:127.0.0.1", 1)])
def test_who_asks_from_the_control_planes_own_side_may(server, client):
    assert ask(server[0], client=client).status_code == 200


@pytest.mark.parametrize("client", [("10.244.0.5", 1), ("fd00::5", 1), ("::ffff:10.0.0.1", 1), ("", 0), None])
def test_a_pod_that_reaches_the_port_may_not(server, client):
    answer = ask(server[0], client=client)
    assert (answer.status_code, server[1].questions) == (403, [])
    assert "unix socket or from its own pod" in answer.json()["error"]


def test_over_the_unix_socket_nobody_has_an_address(server):
    assert ask(server[0], client=None, path="/run/control-plane.sock").status_code == 200


@pytest.mark.parametrize("headers", [{"origin": "http://localhost"}, {"content_type": "text/plain"}])
def test_a_page_in_a_browser_may_not(server, headers):
    answer = ask(server[0], **headers)
    assert (answer.status_code, server[1].questions) == (403, [])
    assert "no browser" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"), (b"[]", "Expected `object`"), ({**BODY, "method": ""}, "$.method"),
        ({**BODY, "seconds": 31}, "$.seconds"), ({**BODY, "seconds": 0}, "$.seconds"),
        ({**BODY, "fields": [["a"]]}, "$.fields[0]"), ({**BODY, "fields": [["a", "b"]] * 101}, "$.fields"),
        ({**BODY, "more": 1}, "more"), ({**BODY, "path": "/" * 9000}, "$.path"),
        ({name: value for name, value in BODY.items() if name != "pod"}, "pod"),
    ],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_told_where(server, body, words):
    answer = ask(server[0], body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_a_client_that_is_not_connected(server):
    answer = ask(server[0], {**BODY, "pod": "app-z"})
    assert answer.status_code == 404
    assert "no proxy of pod default/app-z is connected" in answer.json()["error"]
