"""The program as it runs: a process, its sockets, signals and exit codes, with a catalog plugin of the test's own."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import grpc
import httpx
import pytest
from tulle_api.v1 import discovery_pb2 as pb

HANG = 30.0
PROGRAM = [sys.executable, "-c", "from tulle_control_plane.main import main; main()"]
PORTS = ("--grpc-port", "0", "--api-port", "0", "--health-port", "0")

PLUGIN = '''
import asyncio, json, os
from tulle_plugin_api import hookimpl
from tulle_plugin_api.protocols import Catalog, Synced, Upserted


class FromVariable(Catalog):
    """The objects in a variable, told once."""

    def __init__(self, environment):
        if "TULLE_OBJECTS" not in environment:
            raise ValueError("TULLE_OBJECTS is not set")
        self.objects = json.loads(environment["TULLE_OBJECTS"])

    async def events(self):
        for obj in self.objects:
            yield Upserted(obj)
        yield Synced()
        await asyncio.Event().wait()


class Broken(Catalog):
    async def events(self):
        raise RuntimeError("no disk")
        yield


@hookimpl
def tulle_catalogs():
    return {"variable": FromVariable, "broken": lambda environment: Broken()}
'''


@pytest.fixture
def plugins(tmp_path) -> Path:
    """A folder with two installed plugins: one that works, one that cannot be imported."""
    folder = tmp_path / "plugins"
    for name, source in (("catalog-variable", PLUGIN), ("catalog-rotten", "import no_such_module")):
        module = name.replace("-", "_") + "_of_test"
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[tulle]\n{name} = {module}\n")
        (folder / f"{module}.py").write_text(source)
    return folder


class Running:
    """A control plane as a child process; killed at the end whatever happens."""

    def __init__(self, plugins: Path, *arguments: str, **environment: str) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("TULLE_")}
        path = os.pathsep.join([str(plugins), *filter(None, [clean.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [*PROGRAM, *PORTS, "--listen-host", "127.0.0.1", *arguments],
            env={**clean, "PYTHONPATH": path, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict] = []

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *exception) -> None:
        self.process.kill()
        self.process.wait(HANG)
        self.process.stderr.close()

    def line(self, message: str) -> dict:
        """Read the log until a line with this message."""
        for text in self.process.stderr:
            self.lines.append(json.loads(text))
            if message in self.lines[-1]["message"]:
                return self.lines[-1]
        raise AssertionError(f"the process ended without saying {message!r}; it said {self.lines}")

    def end(self) -> tuple[int, list[dict]]:
        """Wait for its end: the exit code and all that it said."""
        _, rest = self.process.communicate(timeout=HANG)
        self.lines += [json.loads(text) for text in rest.splitlines()]
        return self.process.returncode, self.lines


def test_serves_until_told_to_stop(plugins, tmp_path, make):
    objects = [make.service(), make.slice(endpoints=[make.endpoint("10.244.0.1")])]
    path = tmp_path / "api.sock"
    with Running(
        plugins, "--catalog", "variable", "--api-socket", str(path), TULLE_OBJECTS=json.dumps(objects)
    ) as running:
        ports = running.line("listening")
        running.line("the catalog has synced")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        over_tcp = httpx.get(f"http://127.0.0.1:{ports['api_port']}/api/v1/catalog")
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            over_socket = client.get("http://tulle/api/v1/catalog")
        assert over_tcp.json() == over_socket.json()
        assert over_tcp.json()["counts"] == {"EndpointSlice": 1, "Service": 1}

        with grpc.insecure_channel(f"127.0.0.1:{ports['grpc_port']}") as channel:
            watch = channel.stream_stream(
                "/tulle.v1.Discovery/Watch",
                request_serializer=pb.WatchRequest.SerializeToString,
                response_deserializer=pb.WatchResponse.FromString,
            )
            say: list[pb.WatchRequest] = [
                pb.WatchRequest(node=pb.Node(pod="p", namespace="default")),
                pb.WatchRequest(subscribe=pb.Subscribe(destination="10.96.0.7:80")),
            ]
            held_open = iter(_then_wait(say))
            answers = watch(held_open, timeout=HANG)
            assert next(answers).WhichOneof("kind") == "inbound"
            assert next(answers).destination.backends[0].endpoints[0].address == "10.244.0.1"
            running.process.send_signal(signal.SIGTERM)
            assert list(answers) == []  # ended, with OK
            assert answers.code() is grpc.StatusCode.OK
        code, lines = running.end()
        assert code == 0
        assert not path.exists()
        assert all({"time", "level", "message"} <= line.keys() for line in lines)
        assert [line["message"] for line in lines if line["level"] == "error"] == [
            "the plugin 'catalog-rotten' did not load and is left out: ModuleNotFoundError: No module named "
            "'no_such_module'"
        ]


def _then_wait(requests):
    import threading

    yield from requests
    threading.Event().wait(HANG)


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--catalog", "nosuch"], {}, "TULLE_CATALOG='nosuch': no such catalog plugin; installed catalogs: "),
        (["--catalog", "rotten"], {}, "it did not load: ModuleNotFoundError"),
        (["--catalog", "variable"], {}, "the catalog plugin 'variable' cannot be set up: TULLE_OBJECTS is not set"),
        (["--grpc-port", "x"], {}, "--grpc-port='x': expected a port"),
        (["--grpc-port", "7000", "--api-port", "7000"], {}, "TULLE_GRPC_PORT and TULLE_API_PORT are both 7000; they"),
        (["--api-port", "7000", "--health-port", "7000"], {}, "TULLE_API_PORT and TULLE_HEALTH_PORT are both 7000"),
        ([], {"TULLE_LOG_LEVEL": "loud"}, "TULLE_LOG_LEVEL='loud': expected one of debug, info, warning, error"),
        ([], {"TULLE_OPAQUE_PORTS": "25,smtp"}, "TULLE_OPAQUE_PORTS='25,smtp': 'smtp' is no port"),
        (
            ["--catalog", "variable"],
            {"TULLE_OBJECTS": "[]", "TULLE_API_SOCKET": "/nowhere/x"},
            "cannot listen on /nowhere/x",
        ),
    ],
)
def test_a_bad_setting_is_one_message_and_exit_code_2(plugins, arguments, environment, words):
    with Running(plugins, *arguments, **environment) as running:
        code, lines = running.end()
    assert code == 2
    errors = [
        line["message"] for line in lines if line["level"] == "error" and "did not load and" not in line["message"]
    ]
    assert len(errors) == 1
    assert words in errors[0]


def test_ports_that_are_taken_are_named(plugins):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for flag in ("--grpc-port", "--api-port", "--health-port"):
            with Running(plugins, flag, str(port), "--catalog", "variable", TULLE_OBJECTS="[]") as running:
                code, lines = running.end()
            assert code == 2
            assert str(port) in lines[-1]["message"]


def test_the_api_is_on_the_loopback_address_alone_and_health_tells_no_more_than_health(plugins):
    """127.0.0.2 is another address of the same machine: as for a pod that knows the control plane's."""
    with Running(plugins, "--catalog", "variable", "--listen-host", "", TULLE_OBJECTS="[]") as running:
        ports = running.line("listening")
        running.line("the catalog has synced")
        assert httpx.get(f"http://127.0.0.1:{ports['api_port']}/api/v1/catalog").status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.2:{ports['api_port']}/api/v1/catalog")
        health = f"http://127.0.0.2:{ports['health_port']}"
        assert httpx.get(f"{health}/ready").json() == {"status": "ready"}
        assert httpx.get(f"{health}/live").status_code == 200
        for path in ("/api/v1/catalog", "/api/v1/stat", "/api/v1/explain", "/"):
            assert httpx.get(health + path).status_code == 404


def test_a_catalog_that_breaks_is_named_and_the_process_lives(plugins):
    with Running(plugins, "--catalog", "broken") as running:
        port = running.line("listening")["health_port"]
        said = running.line("failed")["message"]
        assert "'broken' failed (RuntimeError: no disk)" in said
        ready = httpx.get(f"http://127.0.0.1:{port}/ready")
        assert ready.status_code == 503
        assert httpx.get(f"http://127.0.0.1:{port}/live").status_code == 200
        running.process.send_signal(signal.SIGTERM)
        assert running.end()[0] == 0


def test_a_socket_left_by_a_killed_control_plane_is_replaced_and_a_live_one_is_not(plugins, tmp_path):
    path = tmp_path / "api.sock"
    arguments = ("--catalog", "variable", "--api-socket", str(path))
    with Running(plugins, *arguments, TULLE_OBJECTS="[]") as first:
        first.line("listening")
        with Running(plugins, *arguments, TULLE_OBJECTS="[]") as second:
            code, lines = second.end()
        assert code == 2
        assert "another process listens on" in lines[-1]["message"]
        first.process.kill()
        first.process.wait(HANG)
        assert path.exists()
        with Running(plugins, *arguments, TULLE_OBJECTS="[]") as third:
            third.line("listening")
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
                assert client.get("http://tulle/live").status_code == 200


def test_a_file_in_the_sockets_place_is_left_alone(plugins, tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    with Running(plugins, "--catalog", "variable", "--api-socket", str(path), TULLE_OBJECTS="[]") as running:
        code, lines = running.end()
    assert code == 2
    assert "is no socket" in lines[-1]["message"]
    assert path.read_text() == "data"


def test_restarted_with_an_empty_catalog_it_does_not_empty_proxies(plugins, make):
    """While the catalog has not synced, a proxy that reconnects hears nothing at all."""
    with Running(plugins, "--catalog", "broken") as running:  # never syncs
        port = running.line("listening")["grpc_port"]
        running.line("failed")
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            watch = channel.stream_stream(
                "/tulle.v1.Discovery/Watch",
                request_serializer=pb.WatchRequest.SerializeToString,
                response_deserializer=pb.WatchResponse.FromString,
            )
            say = [
                pb.WatchRequest(node=pb.Node(pod="p", namespace="default")),
                pb.WatchRequest(subscribe=pb.Subscribe(destination="10.96.0.7:80", held_version="before")),
            ]
            answers = watch(iter(_then_wait(say)), timeout=HANG)
            running.line("a proxy connected")
            running.line("failed")  # and again: time went by
            running.process.send_signal(signal.SIGTERM)
            assert list(answers) == []


def test_the_clock_of_the_log_is_utc(plugins):
    with Running(plugins, "--catalog", "broken") as running:
        line = running.line("listening")
    assert line["time"].endswith("Z")
    assert line["time"][:4] == time.strftime("%Y", time.gmtime())
