"""What the app says of itself, of the request and of its upstream, and that its knobs do what they say."""

import asyncio
import hashlib

import pytest


def test_the_answer_says_who_served_it(serve, run):
    async def go():
        async with serve(version="v2") as served:
            status, answer = await served.ask("/some/path?x=1", fields=[
                ("X-Forwarded-For", "10.1.1.1"), ("traceparent", "00-1-2-01"), ("Cookie", "secret")])
            assert status == 200
            assert (answer["app"], answer["version"], answer["pod"]) == ("app-b", "v2", "app-b-pod")
            assert (answer["method"], answer["path"], answer["query"]) == ("GET", "/some/path", {"x": "1"})
            assert answer["source"].startswith("127.0.0.1:")
            assert answer["headers"] == {"host": "app", "x-forwarded-for": "10.1.1.1", "traceparent": "00-1-2-01"}
            assert "upstream" not in answer
    run(go())


def test_a_body_is_counted_and_hashed(serve, run):
    async def go():
        async with serve() as served:
            _, answer = await served.ask("/", "POST", b"y" * 200_000)
            assert answer["received"] == {"bytes": 200_000, "sha256": hashlib.sha256(b"y" * 200_000).hexdigest()}
    run(go())


def test_app_a_says_what_app_b_said_and_hands_on_what_belongs_to_the_trace(serve, run):
    async def go():
        async with serve(version="v2") as app_b, serve(name="app-a", upstream=app_b.url) as app_a:
            for _ in range(3):
                status, answer = await app_a.ask("/x?upstream.answer_bytes=2000&upstream.note=1", fields=[
                    ("traceparent", "00-a-b-01"), ("Cookie", "secret")])
            assert (status, answer["app"], answer["upstream"]["status"]) == (200, "app-a", 200)
            said = answer["upstream"]["answer"]
            assert (said["app"], said["version"], said["path"], said["query"]) == ("app-b", "v2", "/x", {"note": "1"})
            assert said["headers"]["traceparent"] == "00-a-b-01"
            assert "query" not in answer
            assert said["request_on_connection"] == 3  # the connection was kept
            _, stats = await app_a.ask("/stats")
            assert stats["upstream"]["answered_by"] == {"app-b v2 app-b-pod": 3}
            assert stats["connections_opened"] == 1
    run(go())


def test_an_upstream_that_fails_is_a_502_that_says_so(serve, run):
    async def go():
        async with serve(failure_rate=1, failure_status=500) as app_b, serve(upstream=app_b.url) as app_a:
            status, answer = await app_a.ask()
            assert (status, answer["upstream"]["status"]) == (502, 500)
            assert "failure_rate" in answer["upstream"]["answer"]["error"]
            _, stats = await app_a.ask("/stats")
            assert (stats["upstream"]["failed"], stats["upstream"]["by_outcome"]) == (1, {"500": 1})
            assert stats["served"]["by_status"] == {"502": 1}
    run(go())


def test_an_upstream_that_is_not_there(serve, run):
    async def go():
        async with serve() as gone:
            pass
        async with serve(upstream=gone.url) as app_a:
            status, answer = await app_a.ask()
            assert status == 502
            assert "cannot be reached" in answer["upstream"]["error"]
            assert app_a.app.stats.asked == {"connect": 1}
    run(go())


def test_knobs_are_turned_for_the_process(serve, run):
    async def go():
        async with serve() as served:
            assert (await served.ask("/knobs", "POST", b'{"version": "v3", "failure_rate": 1}'))[0] == 200
            status, answer = await served.ask()
            assert (status, answer["version"]) == (503, "v3")
            _, knobs = await served.ask("/knobs?failure_status=500&latency_ms=0", "POST", b"failure_rate=100%25")
            assert (knobs["failure_status"], knobs["failure_rate"]) == (500, 1)
            assert (await served.ask())[0] == 500
            assert (await served.ask("/knobs"))[1] == knobs
    run(go())


@pytest.mark.parametrize("body", [b'{"latency": 1}', b"latency_ms=slow", b"{", b"load_rps=5"])
def test_knobs_that_are_not_right_change_nothing(body, serve, run):
    async def go():
        async with serve() as served:
            before = served.app.knobs
            status, answer = await served.ask("/knobs?version=v9", "POST", body)
            assert status == 400
            assert answer["error"]
            assert served.app.knobs == before
    run(go())


def test_too_many_knobs(serve, run):
    async def go():
        async with serve() as served:
            assert (await served.ask("/knobs", "POST", b"x" * 70_000))[0] == 413
    run(go())


def test_a_query_turns_knobs_for_one_request(serve, run):
    async def go():
        async with serve() as served:
            assert (await served.ask("/?failure_rate=1&failure_status=418"))[0] == 418
            assert (await served.ask("/?failure_rate=often"))[0] == 400
            assert (await served.ask("/?ready=false"))[1]["query"] == {"ready": "false"}  # not for one request
            assert (await served.ask())[0] == 200
            assert (await served.ask("/readyz"))[0] == 200
    run(go())


def test_sizes_and_chunks(serve, run):
    async def go():
        async with serve(answer_bytes=5000) as served:
            answer = await served.talk(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"Content-Length: 5000\r\n" in answer
            assert len(answer.partition(b"\r\n\r\n")[2]) == 5000
            answer = await served.talk(b"GET /?chunked=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"Transfer-Encoding: chunked\r\n" in answer
    run(go())


def test_latency_waits_for_as_long_as_it_says(serve, run, monkeypatch):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    async def go():
        async with serve(latency_ms=250) as served:
            monkeypatch.setattr("tulle_sample_app.app.asyncio.sleep", sleep)
            assert (await served.ask())[0] == 200
            assert (await served.ask("/healthz"))[0] == 200  # probes are not slowed down
            monkeypatch.undo()
    run(go())
    assert waits == [0.25]


def test_probes(serve, run):
    async def go():
        async with serve() as served:
            assert (await served.ask("/healthz"))[0] == (await served.ask("/readyz"))[0] == 200
            await served.ask("/knobs", "POST", b"ready=0&healthy=0")
            assert (await served.ask("/healthz"))[0] == 500
            assert (await served.ask("/readyz"))[0] == 503
            await served.ask("/knobs", "POST", b"ready=1&healthy=1")
            served.app.drain()
            status, answer = await served.ask("/readyz")
            assert (status, answer["because"]) == (503, "the app is shutting down")
            assert (await served.ask("/healthz"))[0] == 200
    run(go())


def test_a_drain_ends_the_load(serve, run):
    async def go():
        async with serve() as app_b, serve(upstream=app_b.url, load_rps=5) as served:
            served.app.drain()
            assert served.app.knobs.load_rps == 0
            assert served.app.turned.is_set()  # else a generator that waits for its next call would not notice
    run(go())


def test_stats_count_and_can_be_reset(serve, run):
    async def go():
        async with serve() as served:
            await served.ask()
            await served.ask("/?failure_rate=1")
            await served.ask("/healthz")
            _, stats = await served.ask("/stats")
            assert stats["served"]["by_status"] == {"200": 1, "503": 1}
            assert stats["served"]["latency_ms"]["p50"] > 0
            _, stats = await served.ask("/stats", "POST")
            assert (stats["served"]["total"], stats["served"]["latency_ms"]["p50"]) == (0, None)
    run(go())


def test_many_clients_at_once_each_get_their_own_answer(serve, run):
    async def go():
        async with serve() as app_b, serve(upstream=app_b.url) as app_a:
            async def client(number):
                for turn in range(20):
                    status, answer = await app_a.ask(f"/{number}/{turn}")
                    assert (status, answer["path"]) == (200, f"/{number}/{turn}")
                    assert answer["upstream"]["answer"]["path"] == f"/{number}/{turn}"
            await asyncio.gather(*(client(number) for number in range(20)))
            assert app_a.app.stats.served == app_b.app.stats.served == {"200": 400}
            assert app_a.app.stats.in_flight == 0
    run(go())
