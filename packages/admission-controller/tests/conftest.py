"""Shared by this package's tests: the webhook as a process, and the table of malformed reviews."""

import importlib.util
import json
import os
import queue
import ssl
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SERVICE = "tulle-admission-controller.tulle-system.svc"


def _load(name):
    specification = importlib.util.spec_from_file_location(f"admission_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def malformed():
    return _load("malformed")


class Webhook:
    """The real program on free ports of loopback. Its stderr is read line by line: that is how tests wait."""

    def __init__(self, directory, *flags, environment=None):
        self.bundle = directory / "ca.pem"
        self.lines = []
        self._unread = queue.Queue()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tulle_admission_controller.main"),
                *("--webhook-host", "127.0.0.1", "--webhook-port", "0", "--health-port", "0"),
                *("--ca-bundle-file", str(self.bundle), *flags),
            ],
            env={**os.environ, **(environment or {})},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)  # always, or a full pipe would stop the program
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self._unread.put(line)
        self._unread.put(None)

    def wait_for(self, message):
        """The next log line with this message; fails when the program ends instead."""
        while (line := self._unread.get(timeout=30)) is not None:
            self.lines.append(line)
            entry = json.loads(line)
            if entry["message"] == message:
                return entry
        pytest.fail(f"the webhook ended without {message!r}:\n{''.join(self.lines)}")

    def start(self):
        """Waits until it serves and its bundle is written."""
        entry = self.wait_for("serving")
        self.port, self.health_port = entry["webhook_port"], entry["health_port"]
        self.wait_for("CA bundle published")
        return self

    def context(self):
        return ssl.create_default_context(cafile=str(self.bundle))

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=10) as response:
            return response.read().decode()

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()


@pytest.fixture
def start_webhook(tmp_path):
    """A function that starts a webhook with more flags; all are gone after the test."""
    started = []

    def start(*flags, environment=None):
        started.append(Webhook(tmp_path, *flags, environment=environment))
        return started[-1].start()

    yield start
    for webhook in started:
        webhook.stop()
