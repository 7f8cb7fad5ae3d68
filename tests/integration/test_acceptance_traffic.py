"""The servers and the client of the figures about traffic do as they are told, and count what happens."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

LOAD = Path(__file__).parents[1] / "acceptance" / "load"
COUNT = 3


class Targets:
    def __init__(self, first):
        self.first = first

    def told(self, words):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.first}/{words}", timeout=30) as answer:
            return answer.read()

    def counts(self):
        return json.loads(self.told("counts"))

    def ask(self, *targets, options=()):
        urls = [f"http://127.0.0.1:{self.first + number}/" for number in targets]
        words = [sys.executable, str(LOAD / "ask.py"), *urls, *map(str, options)]
        return json.loads(subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout)


def free_ports():
    """The first of so many that are free just now."""
    for first in range(21_000 + os.getpid() % 1000 * 7, 32_000, 7):
        socks = []
        try:
            socks.extend(socket.create_server(("127.0.0.1", first + number)) for number in range(COUNT + 1))
        except OSError:
            continue
        else:
            return first
        finally:
            for sock in socks:
                sock.close()
    raise OSError("no free ports")


@contextmanager
def running():
    for _ in range(5):  # another test may take a port first
        first = free_ports()
        words = [sys.executable, str(LOAD / "targets.py"), str(first), str(COUNT)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            try:
                if process.stdout.readline() == "ready\n":
                    yield Targets(first)
                    return
            finally:
                process.kill()
    raise OSError("no server")


@pytest.fixture
def targets():
    with running() as found:
        yield found


def test_answers_are_counted_at_both_ends(targets):
    one, two = targets.ask(1, 2, options=("--requests", 30, "--connections", 4, "--rounds", 2))
    assert one["statuses"] == two["statuses"] == {"200": 60}
    assert (one["served"], two["served"]) == ({"1": 60}, {"2": 60})
    assert one["requests"] == 60
    assert len(one["p50"]) == len(one["p99"]) == 2
    assert targets.counts() == {"1": 60, "2": 60, "3": 0}
    targets.told("reset")
    assert set(targets.counts().values()) == {0}


def test_failures_are_told_by_the_order_of_answers(targets):
    targets.told("be?target=1&status=503&after=20")
    [report] = targets.ask(1, options=("--requests", 60, "--connections", 1))
    assert report["statuses"] == {"200": 20, "503": 40}
    assert report["failed_at"] == list(range(20, 60))


def test_a_share_fails(targets):
    targets.told("be?status=500&share=50")
    [report] = targets.ask(3, options=("--requests", 400))
    assert 100 < report["statuses"]["500"] < 300
    assert sum(report["statuses"].values()) == 400


def test_it_takes_as_long_as_it_is_told_to(targets):
    targets.told("be?target=2&delay=0.05")
    slow, quick = targets.ask(2, 1, options=("--requests", 8, "--connections", 8))
    assert slow["p50"][0] >= 0.05
    assert slow["p99"][0] >= slow["p50"][0]
    assert quick["statuses"] == {"200": 8}


def test_keys_are_the_same_each_time(targets):
    first, second = (targets.ask(1, options=("--requests", 10, "--keys"))[0]["keys"] for _ in range(2))
    assert first == second == {str(number): "1" for number in range(1, 11)}


def test_a_rate_is_never_exceeded(targets):
    [report] = targets.ask(1, options=("--rate", 100, "--seconds", 0.3, "--connections", 4))
    assert 1 <= report["requests"] <= 100 * report["seconds"] + 1
    assert report["statuses"] == {"200": report["requests"]}


def test_what_was_begun_at_a_rate_is_waited_for(targets):
    targets.told("be?delay=0.2")
    [report] = targets.ask(1, options=("--rate", 20, "--seconds", 0.5, "--connections", 20))
    assert report["requests"] > 0
    assert report["statuses"] == {"200": report["requests"]}


def test_nobody_there_is_no_figure():
    words = [sys.executable, str(LOAD / "ask.py"), f"http://127.0.0.1:{free_ports()}/", "--requests", "1"]
    assert subprocess.run(words, capture_output=True, timeout=60, check=False).returncode != 0


def test_connections_that_are_closed_are_failures():
    with socket.create_server(("127.0.0.1", 0)) as server:
        words = [sys.executable, str(LOAD / "ask.py"), f"http://127.0.0.1:{server.getsockname()[1]}/",
                 "--requests", "2", "--connections", "1"]  # fmt: skip
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            for _ in range(2):
                connection, _ = server.accept()
                connection.recv(1000)
                connection.close()
            [report] = json.loads(process.communicate(timeout=60)[0])
    assert report["statuses"] == {"closed": 2}
    assert report["failed_at"] == [0, 1]
