"""The clients' judgement: what counts as an answer, and percentiles. And each script against the real backend."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.load import backend, openloop

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100), (0.0, 1), (0.001, 1), (0.011, 2)]
)
def test_percentiles_are_nearest_rank(share, value):
    assert openloop.percentile([float(n) for n in range(1, 101)], share) == value


@pytest.mark.parametrize(
    ("data", "whole"),
    [(b"HTTP/1.1 200 OK\r\n", False), (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", False),
     (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n", True),
     (b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH:0\r\n\r\n", True)],
)
def test_an_answer_is_whole_when_its_length_has_come(data, whole):
    assert openloop.whole(data) is whole


@pytest.mark.parametrize("head", [b"HTTP/1.1 503 No\r\nContent-Length: 0", b"HTTP/1.1 200 OK\r\nConnection: close"])
def test_any_answer_but_200_with_a_length_is_an_error(head):
    with pytest.raises(ValueError, match="answered"):
        openloop.whole(head + b"\r\n\r\n")


def test_content_length():
    assert backend.content_length(b"POST / HTTP/1.1\r\nHost: a\r\nContent-LENGTH:  12") == 12
    with pytest.raises(ValueError, match="no content-length"):
        backend.content_length(b"POST / HTTP/1.1\r\nHost: a")


@pytest.fixture(scope="module")
def ports():
    """The real backend, on ports that were free a moment ago."""
    free = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    numbers = [sock.getsockname()[1] for sock in free]
    for sock in free:
        sock.close()
    process = subprocess.Popen([sys.executable, "-m", "bench.load.backend", *map(str, numbers)], cwd=ROOT)
    try:
        for number in numbers:
            while process.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", number)).close()
                    break
                except ConnectionRefusedError:
                    continue
        yield numbers
    finally:
        process.kill()
        process.wait()


def load(script, *words):
    done = subprocess.run([sys.executable, "-m", f"bench.load.{script}", *words], cwd=ROOT, capture_output=True,
                          text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_posts_are_counted_whole(ports):
    found = load("bulk", "post", "127.0.0.1", str(ports[0]), "--seconds", "0.05", "--connections", "2")
    assert found["errors"] == 0, found
    assert found["operations"] >= 2
    assert found["bytes"] == found["operations"] << 20


def test_opaque_bytes_are_counted_whole(ports):
    found = load("bulk", "raw", "127.0.0.1", str(ports[1]), "--seconds", "0.05", "--size", "3000000")
    assert found["errors"] == 0, found
    assert found["bytes"] == found["operations"] * 3_000_000 > 0


def test_an_echo_is_waited_for(ports):
    found = load("pingpong", "127.0.0.1", str(ports[2]), "--seconds", "0.05", "--connections", "3")
    assert found["errors"] == 0, found
    assert found["operations"] >= 3
    assert 0 < found["p50"] <= found["p99"]


def test_an_open_loop_makes_just_so_many_requests(ports):
    found = load("openloop", "127.0.0.1", str(ports[0]), "--rate", "1000", "--seconds", "0.05", "--connections", "4")
    assert found["errors"] == 0, found
    assert found["operations"] == 50
    assert 0 < found["p50"] <= found["p99"] <= found["p999"] <= found["max"]


def test_idle_connections_are_held_until_they_are_looked_at(ports):
    words = [sys.executable, "-m", "bench.load.idle", "127.0.0.1", str(ports[0]), "3", "5"]
    done = subprocess.run(words, cwd=ROOT, input="\n\n", capture_output=True, text=True, timeout=60, check=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [{"open": 3}, {"open": 5}, {"alive": True}]


def test_what_does_not_answer_is_an_error_not_a_figure(ports):
    found = load("bulk", "get", "127.0.0.1", str(ports[2]), "--seconds", "0.05")
    assert found["errors"] == 1
    assert "answered" in found["example"]
