"""The place of a run: the node's network namespace, a namespace for each pod, and the processes in them.

    node (10.10.0.1 to .3: the backend's addresses, .10: the control plane)
      |  veth 10.9.N.1 -- 10.9.N.2
    pod N: a client on the client's core, and the proxy that it dials, on the proxy's core

Owns addresses, routes and processes. scripts/bench has put us into namespaces of our own (network, PIDs, mounts), as
their first process, so nothing outlives us; `World` still ends what it started, since a run starts proxies anew.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
RUN = Path("/run/bench")
"""In memory and private; scripts/bench's mount namespace takes it along when it ends."""

BACKEND_IPS = ("10.10.0.1", "10.10.0.2", "10.10.0.3")
CONTROL_PLANE_IP = "10.10.0.10"
VIPS = "10.96.0.0/16"

SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/ip_local_port_range": "1024 65535",
    "net/core/somaxconn": "4096",
}


class Broken(Exception):
    """Something of the run did not come up, or ended; the message has what it said."""


@dataclass(frozen=True)
class Pod:
    """A network namespace, joined to the node."""

    name: str
    number: int

    @property
    def ip(self) -> str:
        """The pod's address."""
        return f"10.9.{self.number}.2"

    @property
    def gateway(self) -> str:
        """The node's end."""
        return f"10.9.{self.number}.1"


@dataclass
class World:
    """Made by `world()`."""

    client_core: int
    proxy_core: int
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _pods: int = 0

    # --- the network ----------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the node. Raises Broken when we are not in namespaces of our own."""
        if os.getpid() != 1:
            raise Broken("to be started by scripts/bench, which makes the namespaces")
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        RUN.mkdir()
        open_the_way(Path(sys.base_prefix), ROOT)
        run("ip", "link", "set", "lo", "up")
        for ip in (*BACKEND_IPS, CONTROL_PLANE_IP):
            run("ip", "address", "add", f"{ip}/32", "dev", "lo")
        for name, value in SYSCTLS.items():
            Path("/proc/sys", name).write_text(value)

    def pod(self, name: str) -> Pod:
        """Make a pod. Its default route leads to the node, and the node's nowhere."""
        self._pods += 1
        pod = Pod(name, self._pods)
        end = f"v{pod.number}"
        run("ip", "netns", "add", name)
        run("ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "address", "add", f"{pod.gateway}/24", "dev", end)
        run("ip", "link", "set", end, "up")
        inside = ("ip", "-n", name)
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "address", "add", f"{pod.ip}/24", "dev", "eth0")
        run(*inside, "link", "set", "eth0", "up")
        run(*inside, "route", "add", "default", "via", pod.gateway)
        for sysctl in ("net/ipv4/ip_local_port_range", "net/core/somaxconn"):
            run("nsenter", f"--net=/run/netns/{name}", "sh", "-c", f"echo {SYSCTLS[sysctl]} > /proc/sys/{sysctl}")
        return pod

    # --- processes ------------------------------------------------------------------------------------------

    def argv(self, words: Sequence[str], *, pod: Pod | None, core: int, uid: int | None = None) -> list[str]:
        """A command line in a pod (or on the node), on a core, as a user. Each part replaces itself: one process."""
        prefix = [] if pod is None else ["nsenter", f"--net=/run/netns/{pod.name}"]
        prefix += ["taskset", "-c", str(core)]
        if uid is not None:
            prefix += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        return [*prefix, *words]

    def start(
        self, name: str, words: Sequence[str], *, pod: Pod | None, core: int, uid: int | None = None,
        env: Mapping[str, str] | None = None, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Start a process that runs until `stop`, or the world's end. What it says on stderr is in `log_of(name)`."""
        with log_of(name).open("wb") as log:
            process = subprocess.Popen(
                self.argv(words, pod=pod, core=core, uid=uid), stdin=stdin, stdout=stdout, stderr=log,
                env={**clean_environment(), **(env or {})}, start_new_session=True,
            )
        self._processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """SIGTERM, and SIGKILL after 3 s."""
        if process in self._processes:
            self._processes.remove(process)
        end(process)

    def stop_all(self) -> None:
        """The latest first."""
        while self._processes:
            end(self._processes.pop())


@contextlib.contextmanager
def world(client_core: int, proxy_core: int) -> Iterator[World]:
    """A prepared world. All its processes are ended on the way out."""
    made = World(client_core, proxy_core)
    made.prepare()
    try:
        yield made
    finally:
        made.stop_all()


def open_the_way(*folders: Path) -> None:
    """Let other users reach these folders: a proxy runs as one, and an interpreter may be in /root.

    What bars the way is covered by an empty folder in which only these are bound again; in our mount namespace only.
    """
    barring: dict[Path, list[Path]] = {}
    for folder in folders:
        for above in reversed(folder.parents):
            if not above.stat().st_mode & 0o001:
                barring.setdefault(above, []).append(folder)
                break
    for above, inside in barring.items():
        for number, folder in enumerate(inside):
            kept = RUN / f"kept{number}"
            kept.mkdir(exist_ok=True)
            run("mount", "--bind", str(folder), str(kept))
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(above))
        for number, folder in enumerate(inside):
            folder.mkdir(parents=True)
            run("mount", "--move", str(RUN / f"kept{number}"), str(folder))


def log_of(name: str) -> Path:
    """Where a process's stderr goes."""
    return RUN / f"{name}.log"


def last_words(name: str) -> str:
    """The end of its stderr."""
    with contextlib.suppress(OSError):
        return log_of(name).read_text(errors="replace")[-1500:]
    return ""


def clean_environment() -> dict[str, str]:
    """Ours without what would configure Tulle or route requests elsewhere."""
    unwanted = ("TULLE_", "PYTHON")
    return {k: v for k, v in os.environ.items() if not k.startswith(unwanted) and not k.lower().endswith("_proxy")}


def end(process: subprocess.Popen[bytes]) -> None:
    """End one process, and wait for it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            _close(stream)


def _close(stream: IO[bytes]) -> None:
    with contextlib.suppress(OSError):
        stream.close()


def run(*words: str) -> str:
    """A command that ends by itself; what it printed. Raises Broken."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise Broken(f"`{' '.join(words)}` exited with {done.returncode}: {(done.stderr + done.stdout).strip()}")
    return done.stdout


def wait_for(what: str, ready: object, process: subprocess.Popen[bytes], name: str, seconds: float = 20.0) -> None:
    """Until `ready()` is true. Raises Broken when the process ends before, or time does, with its last words."""
    assert callable(ready)
    until = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise Broken(f"{name} exited with {process.returncode}: {last_words(name)}")
        if time.monotonic() > until:
            raise Broken(f"{name}: no {what} within {seconds:g} s: {last_words(name)}")
        time.sleep(0.02)
