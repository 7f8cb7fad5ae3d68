"""What a check can ask of the lab: traffic from inside a pod, programs, logs, manifests, pods.

Owns the wording of requests to the lab (tulle_lab.client) and waiting for what takes a moment: `until`, with a
deadline, never a sleep of its own. Refuses to judge: it returns what was, and the check says what it means.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from tulle_lab.errors import LabError

from tulle_learn import traffic
from tulle_learn.answers import Answers

if TYPE_CHECKING:
    from tulle_lab.client import Client

    from tulle_learn.cluster import Cluster

T = TypeVar("T")

_LOOK = 0.1
"""Seconds between two looks of `until`."""


@dataclass(frozen=True)
class Ran:
    """A program that ran in a pod or on the node."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Pod:
    """A pod that is not on its way out."""

    name: str
    ip: str
    ready: bool
    labels: Mapping[str, str]


class Mesh:
    """A running lab, or a cluster that is asked as one.

    `python` is the interpreter that pods can run; `exercise` the stage, which pods can read.
    """

    python = sys.executable

    def __init__(self, client: Client | Cluster, exercise: Path) -> None:
        self.client, self.exercise = client, exercise

    # --- traffic --------------------------------------------------------------------------------------------

    def http(
        self,
        url: str | Sequence[str],
        count: int = 1,
        *,
        source: str = "deploy/client",
        namespace: str = "demo",
        concurrency: int = 1,
        keep: bool = True,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: str = "",
        timeout: float = 5.0,
        spread: float = 0.0,
    ) -> Answers:
        """Ask `count` times (several URLs: each once), as traffic.py does it.

        `source`: a pod or `deploy/NAME`, or "node", which is outside of the mesh. `$N` in a header's value is the
        request's number.
        """
        order = {
            "url": url if isinstance(url, str) else list(url), "count": count, "concurrency": concurrency,
            "keep": keep, "headers": dict(headers or {}), "method": method, "body": body, "timeout": timeout,
            "spread": spread,
        }  # fmt: skip
        most = timeout * -(-count // concurrency) + spread + 10
        ran = self.run(
            source, Path(traffic.__file__), stdin=json.dumps(order), namespace=namespace, seconds=min(most, 60)
        )
        return Answers.of(ran.out)

    def run(
        self,
        target: str,
        *words: str | Path,
        stdin: str = "",
        namespace: str = "demo",
        container: str = "",
        seconds: float = 15.0,
    ) -> Ran:
        """Run a program in a pod or on the node. A Path is a Python file that needs the
        standard library only: its text goes along.

        One that takes longer than `seconds` is ended, and its code is 124 (timeout(1)).
        """
        argv = [word for one in words for word in self._words(one)]
        request = {
            "target": target, "namespace": namespace, "container": container,
            "argv": ["timeout", "-k", "1", f"{seconds:g}", *argv],
        }  # fmt: skip
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin.encode())
            given.seek(0)
            with self.client.open("exec", request, fds=(given.fileno(), out.fileno(), err.fileno())) as call:
                for _ in call.items():
                    pass
                code = int(call.result["code"])
            out.seek(0)
            err.seek(0)
            return Ran(code, out.read().decode(errors="replace"), err.read().decode(errors="replace"))

    def _words(self, word: str | Path) -> list[str]:
        if not isinstance(word, Path):
            return [word]
        # -I -S: without the virtual environment's packages, it starts in a fraction of the time
        return [self.python, "-I", "-S", "-u", "-c", word.read_text()]

    # --- objects --------------------------------------------------------------------------------------------

    def pods(self, app: str, namespace: str = "demo") -> list[Pod]:
        """Pods with the label `app`, by name; those that are being deleted are left out."""
        request = {"kind": "pods", "namespace": namespace, "selector": {"app": app}}
        found = []
        for item in self.client.ask("get", request)["groups"][0]["items"]:
            meta, status = item["metadata"], item.get("status", {})
            if not meta.get("deletionTimestamp"):
                ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", []))
                found.append(Pod(meta["name"], status.get("podIP", ""), ready, meta.get("labels", {})))
        return sorted(found, key=lambda pod: pod.name)

    def get(self, kind: str, name: str, namespace: str = "demo") -> dict[str, Any] | None:
        """An object as it is stored; None when there is none."""
        items = self.client.ask("get", {"kind": kind, "namespace": namespace})["groups"][0]["items"]
        return next((item for item in items if item["metadata"]["name"] == name), None)

    def apply(self, text: str, namespace: str = "demo") -> list[str]:
        """Apply manifests and return what was said against them: warnings, refusals. Raises LabError."""
        result = self.client.ask("apply", {"sources": [{"name": "manifest", "text": text}], "namespace": namespace})
        return [str(warning) for warning in result["warnings"]]

    def delete(self, kind: str, *names: str, namespace: str = "demo") -> None:
        """Delete objects; those that are not there are passed over."""
        request = {"kind": kind, "names": list(names), "namespace": namespace, "missing_ok": True, "grace": 0}
        self.client.ask("delete", request)

    def ready(self, deployment: str, namespace: str = "demo", seconds: float = 15.0) -> None:
        """Wait until the Deployment is as it should be. Raises LabError that says why it is not."""
        self.client.ask("ready", {"keys": [["Deployment", namespace, deployment]], "timeout": seconds})

    def renew(self, deployments: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Have Tulle's own programs in the pods of these Deployments (namespace, name) begin anew, in place: the pods
        with their addresses and rules stay, and so do the applications in them. Returns those that had any."""
        counts = self.client.ask("renew", {"targets": [list(one) for one in deployments]})["renewed"]
        return [one for one, count in zip(deployments, counts, strict=True) if count]

    def replace(self, deployment: str, namespace: str = "demo", seconds: float = 15.0) -> None:
        """Kill the Deployment's pods, and wait until there are new ones, ready or not. Raises LabError."""
        old = {pod["metadata"]["name"] for pod in self._pods_of(deployment, namespace)}
        self.delete("pods", *old, namespace=namespace)

        def is_new() -> bool | None:
            names = {pod["metadata"]["name"] for pod in self._pods_of(deployment, namespace)}
            return True if names and not names & old else None

        if self.until(is_new, seconds) is None:
            raise LabError(f"the pods of {namespace}/{deployment} are not replaced", f"within {seconds:g} s")

    def restarts(self, deployment: str, namespace: str = "demo") -> int:
        """How often a container of its pods has ended and was run again: the most of any."""
        statuses = [pod.get("status", {}) for pod in self._pods_of(deployment, namespace)]
        lists = [
            status.get(kind) or [] for status in statuses for kind in ("initContainerStatuses", "containerStatuses")
        ]
        return max((int(one.get("restartCount", 0)) for found in lists for one in found), default=0)

    def _pods_of(self, deployment: str, namespace: str) -> list[dict[str, Any]]:
        found = self.get("deployments", deployment, namespace)
        if found is None:
            raise LabError(f"there is no Deployment {deployment} in namespace {namespace}")
        request = {"kind": "pods", "namespace": namespace, "selector": found["spec"]["selector"]["matchLabels"]}
        items: list[dict[str, Any]] = self.client.ask("get", request)["groups"][0]["items"]
        return items

    def rollout(self, deployment: str, namespace: str = "demo", seconds: float = 30.0) -> None:
        """Replace the Deployment's pods one after another, as an update does, and wait. Raises LabError."""
        request = {"target": f"deploy/{deployment}", "namespace": namespace}
        self.client.ask("restart", request)
        self.client.ask("rollout-status", {**request, "timeout": seconds})

    def scale(self, deployment: str, replicas: int, namespace: str = "demo") -> None:
        """Set the number of pods and wait for it. Raises LabError."""
        request = {"target": f"deploy/{deployment}", "namespace": namespace, "replicas": replicas}
        self.client.ask("scale", request)
        self.ready(deployment, namespace)

    def config_map(self, name: str, texts: Mapping[str, str], namespace: str = "demo") -> None:
        """Make a ConfigMap of files. Raises LabError."""
        manifest = {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
            "data": {path: text for path, text in texts.items() if "/" not in path},
        }  # fmt: skip
        self.apply(yaml.safe_dump(manifest), namespace)

    def logs(
        self, target: str, container: str = "", namespace: str = "demo", tail: int | None = None, previous: bool = False
    ) -> str:
        """What a container wrote (`previous`: before it ended and was run again); empty when it has not begun."""
        parts: list[str] = []
        request = {
            "target": target, "namespace": namespace, "container": container, "follow": False, "tail": tail,
            "previous": previous,
        }  # fmt: skip
        try:
            self.client.ask("logs", request, lambda item: parts.append(item["text"]))
        except LabError:
            return ""
        return "".join(parts)

    def logs_of(self, deployment: str, namespace: str = "demo", tail: int = 400) -> str:
        """What all containers of a Deployment's pods wrote, init containers among them, also what they wrote before
        they ended and were run again. Raises LabError."""
        names = [
            (pod["metadata"]["name"], container["name"])
            for pod in self._pods_of(deployment, namespace)
            for kind in ("initContainers", "containers")
            for container in pod.get("spec", {}).get(kind) or ()
        ]
        asked = [(*name, former) for name in names for former in (True, False)]
        parts = [self.logs(pod, container, namespace, tail, former) for pod, container, former in asked]
        return "".join(part if part.endswith("\n") or not part else part + "\n" for part in parts)

    # --- the sample application -------------------------------------------------------------------------------

    def knobs(self, pods: Sequence[Pod], **knobs: object) -> None:
        """Turn the sample app's knobs (packages/sample-app) in each of these pods. Raises LabError when one refuses."""
        urls = [f"http://{pod.ip}:8080/knobs" for pod in pods]
        answers = self.http(urls, source="node", method="POST", body=json.dumps(knobs))
        if len(answers.good) < len(pods):
            raise LabError(f"not every pod of {', '.join(pod.name for pod in pods)} took {knobs}", answers.outcomes())

    def stats(self, pod: Pod) -> dict[str, Any]:
        """What the sample app has counted."""
        return next(iter(self.http(f"http://{pod.ip}:8080/stats", source="node"))).json

    def served(self, pods: Sequence[Pod]) -> int:
        """How many requests these have answered since `forget`: tries, as the servers see them."""
        answers = self.http([f"http://{pod.ip}:8080/stats" for pod in pods], source="node")
        return sum(int(one.json["served"]["total"]) for one in answers)

    def forget(self, pods: Sequence[Pod]) -> None:
        """Set the sample app's counters to nothing."""
        self.http([f"http://{pod.ip}:8080/stats" for pod in pods], source="node", method="POST")

    # --- waiting ----------------------------------------------------------------------------------------------

    def until(self, look: Callable[[], T | None], seconds: float = 5.0) -> T | None:
        """What `look` returns, as soon as it is not None; None after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found is not None or time.monotonic() > deadline:
                return found
            time.sleep(_LOOK)
