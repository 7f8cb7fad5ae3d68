"""A real API server with its etcd and nothing else: no kubelet, no scheduler, no controller. On loopback only.

Owns both processes and their folder; all are gone at the end, whatever happens. The program is one file that is etcd,
kube-apiserver and more by the name that it is called (the cluster kit's `bin/kube.xz`, unpacked).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

TOKEN = "scale"
"""Of the one user, who may do everything. Whoever else is on this machine's loopback could use it for as long."""
READY_SECONDS = 120.0


class ApiServer:
    """`kubeconfig` is there once it is entered. Raises RuntimeError where it does not become ready."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._folder = Path(tempfile.mkdtemp(prefix="tulle-api-server-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._words: tuple[object, ...] = ()
        self._port = self._etcd_port = 0
        self._own = self._folder / "certs/apiserver.crt"  # it makes it itself, with the authority behind it
        self.kubeconfig = str(self._folder / "config")

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop()

    def compact(self) -> None:
        """Have etcd forget all but what is now (etcd's gRPC gateway, /v3/kv)."""
        revision = self._etcd("range", {"key": "AA==", "limit": 1})["header"]["revision"]
        self._etcd("compaction", {"revision": revision, "physical": True})

    def restart(self) -> None:
        """End the API server, and have another one on the same etcd and port; ready when this returns."""
        server = self._processes.pop()
        server.terminate()
        server.wait()
        self._run("kube-apiserver", *self._words)
        self._until_ready()

    def _etcd(self, what: str, given: object) -> Any:
        url = f"http://127.0.0.1:{self._etcd_port}/v3/kv/{what}"
        with urllib.request.urlopen(url, json.dumps(given).encode(), timeout=60) as answer:
            return json.load(answer)

    def _start(self) -> None:
        folder, (secure, client, peer) = self._folder, _free_ports(3)
        self._port, self._etcd_port = secure, client
        etcd, key = f"http://127.0.0.1:{client}", folder / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        (folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        Path(self.kubeconfig).write_text(json.dumps(_config(secure, self._own)))
        self._run(
            "etcd", "--data-dir", folder / "etcd", "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
            "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--unsafe-no-fsync",
        )  # fmt: skip
        self._words = (
            "--etcd-servers", etcd, "--cert-dir", folder / "certs", "--secure-port", secure,
            "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--authorization-mode", "RBAC",
            "--token-auth-file", folder / "tokens.csv", "--service-account-key-file", key,
            "--service-account-signing-key-file", key, "--service-account-issuer", "https://kubernetes.default.svc",
            "--service-cluster-ip-range", "10.96.0.0/16",
        )  # fmt: skip
        self._run("kube-apiserver", *self._words)
        self._until_ready()

    def _until_ready(self) -> None:
        for _ in _looks(READY_SECONDS):
            if any(process.poll() is not None for process in self._processes):
                break
            if self._own.exists() and _answers(self._port, self._own):
                return
        logs = "\n".join(path.read_text()[-2000:] for path in sorted(self._folder.glob("*.log")))
        raise RuntimeError(f"the API server does not become ready:\n{logs}")

    def _run(self, name: str, *words: object) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen([name, *map(str, words)], executable=self._program, stdout=log, stderr=log)
            )

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _config(port: int, authority: Path) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "c", "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(authority)}}
        ],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


def _answers(port: int, authority: Path) -> bool:
    asked = urllib.request.Request(f"https://127.0.0.1:{port}/readyz", headers={"authorization": f"Bearer {TOKEN}"})
    with contextlib.suppress(OSError):
        context = ssl.create_default_context(cafile=authority)
        with urllib.request.urlopen(asked, timeout=5, context=context) as answer:
            return bool(answer.status == 200)
    return False


def _looks(seconds: float) -> Iterator[None]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]

