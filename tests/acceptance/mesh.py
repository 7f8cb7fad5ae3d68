"""The mesh that the figures share: a lab with the sample app and a client in it, brought up once, at first need.

Owns the lab's life: whatever happens, it is down at the end. Offers what figures ask for: load from the client's pod,
the proxies' metrics and memory, the control plane's figures. Refuses to judge anything.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.acceptance import packages
from tests.acceptance.lab import Done, Lab, LabFailed
from tests.acceptance.machine import Machine
from tests.acceptance.metrics import Samples
from tests.acceptance.running import Running, script_map
from tests.acceptance.workspace import LOAD, MANIFESTS, SAMPLE_APP

T = TypeVar("T")
NAMESPACE = "demo"
SYSTEM = "tulle-system"
CLIENT = "deploy/client"
SCRIPTS = "/acceptance"
"""Where pods see the scripts of tests/acceptance/load."""
ADMIN = 4191
APP_B = "http://app-b/"


class Mesh:
    """A context manager; nothing is started before `up`."""

    def __init__(self, folder: Path, *, verbose: bool = False) -> None:
        self.folder, self.verbose = folder, verbose
        self.lab = Lab(folder / "lab")
        self.before = Machine.look(self.lab.marker)
        self._applied: set[str] = set()
        self._loads: list[Running] = []

    def __enter__(self) -> Self:
        if (self.lab.state / "lab.json").exists():
            self.say("clearing what an earlier run left")
            self.lab.run("down", "--now", "-q")
            self.before = Machine.look(self.lab.marker)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.down()
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    def say(self, text: str) -> None:
        """Something that only a curious reader wants to know."""
        if self.verbose:
            print(text, file=sys.stderr, flush=True)

    # --- life ---------------------------------------------------------------------------------------------------

    def up(self) -> None:
        """The lab with app-b, app-b2 and the client, all ready. Nothing happens when it is up already."""
        if "mesh" in self._applied:
            return
        packages.need({"curl": "curl"})
        files = [SAMPLE_APP / name for name in ("namespace.yaml", "app-b.yaml", "app-b2.yaml")]
        words = [word for file in files for word in ("-f", str(file))]
        self._applied.add("mesh")
        self.lab.run("up", *words, "--timeout", "120s")
        self.apply_text(script_map(NAMESPACE))
        self.apply("client")

    def down(self) -> None:
        """End loads and the lab. Raises LabFailed when it does not go."""
        was_up = bool(self._applied)
        self.forget()
        if was_up or (self.lab.state / "lab.json").exists():
            self.lab.down()

    def forget(self) -> None:
        """The lab has been killed: nothing that was applied is there any more."""
        for load in self._loads:
            load.abandon()
        self._loads.clear()
        self._applied.clear()

    def apply(self, name: str) -> None:
        """tests/acceptance/manifests/NAME.yaml, once, and wait until it is ready."""
        if name not in self._applied:
            self.say(f"   applying {name}")
            self.lab.run("apply", "-f", str(MANIFESTS / f"{name}.yaml"), "--wait", "--timeout", "60s")
            self._applied.add(name)

    def delete(self, name: str) -> None:
        """The opposite of `apply`."""
        self.lab.run("delete", "-f", str(MANIFESTS / f"{name}.yaml"))
        self._applied.discard(name)

    def apply_text(self, manifest: str, *, wait: bool = False) -> None:
        """A manifest that is made up here; `wait`: until what it asks for is ready."""
        self.lab.run("apply", "-f", "-", *(["--wait", "--timeout", "60s"] if wait else []), stdin=manifest)

    # --- traffic ------------------------------------------------------------------------------------------------

    def script(
        self, name: str, *words: str, namespace: str = NAMESPACE, seconds: float = 150.0, client: str = CLIENT
    ) -> Any:
        """Run a script of load/ in a client's pod; the JSON it prints."""
        said = self.lab.exec(client, "python", f"{SCRIPTS}/{name}.py", *words, namespace=namespace, seconds=seconds)
        return json.loads(said)

    def background(self, name: str, *words: str, namespace: str = NAMESPACE, client: str = CLIENT) -> Running:
        """Start a script of load/ in a client's pod. Call `enough` on it."""
        argv = ["python", f"{SCRIPTS}/{name}.py", *words]
        return self._kept(Running(self.lab.start(*self.lab.exec_words(client, *argv, namespace=namespace))))

    def node_script(self, name: str, *words: str, seconds: float = 60.0) -> Any:
        """Run a script of load/ on the node, outside of the mesh; the JSON it prints."""
        return json.loads(self.lab.exec("node", sys.executable, str(LOAD / f"{name}.py"), *words, seconds=seconds))

    def node_background(self, name: str, *words: str) -> Running:
        """Start a script of load/ on the node. Call `enough` on it."""
        return self.node_program(sys.executable, str(LOAD / f"{name}.py"), *words)

    def node_program(self, *argv: str) -> Running:
        """Start any program on the node. It is ended with the lab; `enough` is for those that print JSON."""
        return self._kept(Running(self.lab.start(*self.lab.exec_words("node", *argv))))

    def load(
        self, url: str = APP_B, *, namespace: str = NAMESPACE, client: str = CLIENT, **options: float
    ) -> Running:
        """Start steady.py in the client's pod; `options` are its own. Call `enough` on it."""
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", f"{value:g}")]
        return self.background("steady", url, *words, namespace=namespace, client=client)

    def watch_memory(self) -> Running:
        """Start watching the proxies' memory."""
        return self.node_background("proxies", "--watch")

    def _kept(self, load: Running) -> Running:
        self._loads.append(load)
        return load

    # --- what is there --------------------------------------------------------------------------------------------

    def pods(self, app: str, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
        """Pods with the label app=APP that are not on their way out."""
        return [
            pod
            for pod in self.lab.items("pods", namespace)
            if not pod["metadata"].get("deletionTimestamp") and pod["metadata"].get("labels", {}).get("app") == app
        ]

    def pod(self, app: str, namespace: str = NAMESPACE) -> dict[str, Any]:
        """The only one of `pods`."""
        found = self.pods(app, namespace)
        if len(found) != 1:
            raise LabFailed(f"there should be one pod of {app}, and there are {len(found)}")
        return found[0]

    def admin(self, pod: dict[str, Any], path: str) -> str:
        """GET of a proxy's admin port, from the node."""
        url = f"http://{pod['status']['podIP']}:{ADMIN}{path}"
        return self.lab.exec("node", "curl", "-sS", "--fail-with-body", "--max-time", "10", url)

    def metrics(self, pod: dict[str, Any]) -> Samples:
        """What the pod's proxy has counted."""
        return Samples.read(self.admin(pod, "/metrics"))

    def proxies(self) -> dict[str, dict[str, Any]]:
        """Memory and start of each proxy, by pod."""
        found: dict[str, dict[str, Any]] = self.node_script("proxies")
        return found

    def tulle(self, *words: str, stdin: str = "", **variables: str) -> Done:
        """Any `tulle` command, in the environment of this lab."""
        return self.lab.tulle(*words, stdin=stdin, variables=variables)

    def until(self, look: Callable[[], T | None], what: str, seconds: float = 30.0, between: float = 0.05) -> T:
        """What `look` returns once that is something. Raises LabFailed after `seconds`."""
        deadline, last = time.monotonic() + seconds, ""
        while True:
            with contextlib.suppress(ValueError, KeyError):
                try:
                    if (found := look()) is not None:
                        return found
                    last = ""
                except LabFailed as error:
                    last = f": {error}"
            if time.monotonic() > deadline:
                raise LabFailed(f"waited {seconds:g} s in vain for {what}{last}")
            time.sleep(between)
