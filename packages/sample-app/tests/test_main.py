"""The program as a pod runs it: configuration, start, load, and the way it ends."""

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request

import pytest
from tulle_sample_app.load import generate
from tulle_sample_app.main import ConfigError, main, parse


def test_settings():
    settings = parse(["--version", "v3", "--port", "9"], {
        "APP_NAME": "app-a", "APP_VERSION": "v2", "APP_UPSTREAM": "http://app-b/", "POD_NAME": "app-a-1",
        "APP_LATENCY_MS": "5", "LOAD_RPS": "10", "PORT": "8080"})
    assert (settings.identity.app, settings.identity.pod, settings.port) == ("app-a", "app-a-1", 9)
    assert (settings.knobs.version, settings.knobs.latency_ms, settings.knobs.load_rps) == ("v3", 5, 10)
    assert settings.upstream.url == "http://app-b"
    assert parse([], {}).upstream is None


@pytest.mark.parametrize(("arguments", "environment", "named"), [
    ([], {"PORT": "http"}, "PORT"),
    (["--port", "65536"], {}, "PORT"),
    ([], {"APP_UPSTREAM": "app-b"}, "APP_UPSTREAM"),
    ([], {"APP_FAILURE_RATE": "2"}, "APP_FAILURE_RATE"),
    (["--failure-rate", "2"], {}, "APP_FAILURE_RATE"),
    ([], {"LOAD_RPS": "5"}, "APP_UPSTREAM"),
    ([], {"APP_DRAIN_SECONDS": "soon"}, "APP_DRAIN_SECONDS"),
    (["--nonsense"], {}, "--nonsense"),
])
def test_bad_settings_name_the_variable(arguments, environment, named):
    with pytest.raises(ConfigError, match=named):
        parse(arguments, environment)


def test_bad_configuration_exits_2_with_one_line(capsys):
    assert main(["--port", "http"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["level"] == "error"


def test_a_port_in_use_exits_2(serve, run, capsys):
    async def go():
        async with serve() as served:
            return await asyncio.to_thread(subprocess.run, [sys.executable, "-m", "tulle_sample_app", "--port",
                                                            str(served.port)], capture_output=True, text=True)
    done = run(go())
    assert done.returncode == 2
    assert "set PORT" in json.loads(done.stderr)["message"]


def test_load_calls_the_upstream_until_it_is_turned_off(serve, run):
    async def go():
        enough = asyncio.Event()
        async with serve() as app_b, serve(upstream=app_b.url, load_rps=5000) as app_a:
            original = app_b.app.stats.count_served

            def count(status, seconds):
                original(status, seconds)
                if app_b.app.stats.served.total() == 50:
                    enough.set()
            app_b.app.stats.count_served = count
            load = asyncio.create_task(generate(app_a.app))
            await enough.wait()
            _, knobs = await app_a.ask("/knobs", "POST", b"load_rps=0")
            assert knobs["load_rps"] == 0
            while app_a.app.stats.asked.total() < app_a.app.stats.load["sent"]:  # calls under way
                await asyncio.sleep(0)
            sent = app_a.app.stats.load["sent"]
            for _ in range(100):
                await asyncio.sleep(0)
            assert app_a.app.stats.load["sent"] == sent == app_a.app.stats.asked["200"]
            _, stats = await app_a.ask("/stats")
            assert stats["upstream"]["answered_by"] == {"app-b v1 app-b-pod": sent}
            enough.clear()
            app_b.app.stats.reset()
            await app_a.ask("/knobs", "POST", b"load_rps=5000")
            await enough.wait()
            load.cancel()
            await asyncio.wait([load])
    run(go())


def test_load_against_a_stuck_upstream_is_bounded(serve, run, monkeypatch):
    monkeypatch.setattr("tulle_sample_app.load.MAX_IN_FLIGHT", 5)

    async def go():
        async with serve(latency_ms=600_000) as app_b, serve(upstream=app_b.url, load_rps=10_000) as app_a:
            load = asyncio.create_task(generate(app_a.app))
            while not app_a.app.stats.load["skipped"]:
                await asyncio.sleep(0)
            assert app_a.app.stats.load["sent"] == 5
            while app_a.app.stats.asking < 5:
                await asyncio.sleep(0)
            assert app_a.app.stats.report()["upstream"]["in_flight"] == 5
            load.cancel()
            await asyncio.wait([load])
            assert app_a.app.stats.asking == 0
    run(go())


class Program:
    """The real program in a process of its own; its log lines tell when things happened."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([sys.executable, "-m", "tulle_sample_app", "--port", "0", *arguments],
                                        stderr=subprocess.PIPE, text=True)
        self.port = self.line()["port"]

    def line(self):
        return json.loads(self.process.stderr.readline())

    def get(self, target):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{target}", timeout=30) as answer:
            return answer.status, answer.headers, json.load(answer)


def test_sigterm_finishes_what_is_in_flight_and_exits_0():
    """A request is held by app-b's answer, which this test gives after the SIGTERM was seen."""
    async def go():
        asked, release = asyncio.Event(), asyncio.Event()

        async def held(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await release.wait()
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}')
            writer.close()

        async with await asyncio.start_server(held, "127.0.0.1", 0) as upstream:
            port = upstream.sockets[0].getsockname()[1]
            program = await asyncio.to_thread(Program, "--upstream", f"http://127.0.0.1:{port}",
                                              "--lame-duck-seconds", "0")
            try:
                request = asyncio.create_task(asyncio.to_thread(program.get, "/"))
                await asked.wait()
                program.process.send_signal(signal.SIGTERM)
                assert "shutting down" in (await asyncio.to_thread(program.line))["message"]
                release.set()
                status, headers, answer = await request
                assert (status, headers["Connection"], answer["upstream"]["answer"]) == (200, "close", {})
                assert await asyncio.to_thread(program.process.wait, 30) == 0
            finally:
                program.process.kill()
                program.process.wait()
                program.process.stderr.close()
    asyncio.run(asyncio.wait_for(go(), 60))
