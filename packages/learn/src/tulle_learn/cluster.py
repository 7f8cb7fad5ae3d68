"""A Kubernetes cluster asked as a lab is: the verbs of tulle_lab.client, carried out by kubectl.

Owns the translation, so that checks and Mesh are the same on both. "node" is a pod outside of the mesh (OUTSIDE): a
kind node has no Python. Whatever KUBECONFIG says is the cluster; nothing else of it is ours to know.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

import yaml
from tulle_lab.errors import LabError

OUTSIDE = "tulle-lessons"
"""Namespace and name of a Deployment without a proxy, for requests from outside of the mesh."""
_CALL = 120.0
"""Seconds that a kubectl may take beside what it was told to wait for."""
_UNREACHED = "failed calling webhook"
"""The API server could not ask our webhook: a Service answers only some seconds after its pod is ready."""
_TRIES, _AGAIN = 10, 2.0
"""How often such a manifest is applied, and seconds in between."""


def kubectl(*words: str, given: str | None = None, seconds: float = _CALL) -> str:
    """What it printed. Raises LabError with what it said."""
    done = subprocess.run(
        ["kubectl", *words], input=given, capture_output=True, text=True, check=False, timeout=seconds
    )
    if done.returncode:
        raise LabError(f"kubectl {' '.join(words)} failed", done.stderr.strip() or done.stdout.strip())
    return done.stdout


def get(kind: str, *words: str) -> list[dict[str, Any]]:
    """Objects of a kind. Raises LabError."""
    items: list[dict[str, Any]] = json.loads(kubectl("get", kind, *words, "-o", "json"))["items"]
    return items


class Cluster:
    """The verbs that lessons use."""

    def ask(self, verb: str, request: Mapping[str, Any], each: Callable[[Any], None] | None = None) -> Any:
        """As Client.ask. Raises LabError."""
        found = _VERBS[verb](request)
        if verb == "logs" and each is not None:
            each({"text": found})
            return {}
        return found

    def open(self, verb: str, request: Mapping[str, Any], fds: tuple[int, ...] = ()) -> Executed:
        """`exec`, with the program's standard input, output and error."""
        assert verb == "exec"
        target, namespace = request["target"], request["namespace"]
        if target == "node":
            target, namespace = f"deploy/{OUTSIDE}", OUTSIDE
        container = ["-c", request["container"]] if request.get("container") else []
        words = ["kubectl", "exec", "-i", "-n", namespace, target, *container, "--", *request["argv"]]
        given, out, err = fds
        return Executed(subprocess.Popen(words, stdin=given, stdout=out, stderr=err))


class Executed:
    """A program that runs in a pod; as tulle_lab.client.Call. Leaving it ends kubectl, and with it the program."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.result: dict[str, Any] = {}

    def __enter__(self) -> Executed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def items(self) -> Iterator[Any]:
        """None come: they go into the descriptors. Waits for the end."""
        self.result = {"code": self._process.wait()}
        yield from ()


# --- verbs: request -> result, in the lab's shapes (tulle_lab.daemon) ----------------------------------------------


def _get(request: Mapping[str, Any]) -> Any:
    where = ["-n", request["namespace"]] if request.get("namespace") else ["-A"]
    selector = ",".join(f"{key}={value}" for key, value in (request.get("selector") or {}).items())
    return {"groups": [{"items": get(request["kind"], *where, *(["-l", selector] if selector else []))}]}


def _apply(request: Mapping[str, Any]) -> Any:
    text = "\n---\n".join(source["text"] for source in request["sources"])
    objects = [one for one in yaml.safe_load_all(text) if one]
    namespace = request["namespace"]
    words = ["kubectl", "apply", "-n", namespace, "-f", "-"]
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": [_for_cluster(one, namespace) for one in objects]})
    for _ in range(_TRIES):
        done = subprocess.run(words, input=given, capture_output=True, text=True, check=False, timeout=_CALL)
        if not (done.returncode and _UNREACHED in done.stderr):
            break
        time.sleep(_AGAIN)
    if any(one["kind"] == "ConfigMap" for one in objects):
        _hurry(namespace)
    keys = [[one["kind"], one["metadata"].get("namespace", namespace), one["metadata"]["name"]] for one in objects]
    return {"warnings": done.stderr.strip().splitlines(), "refused": bool(done.returncode), "keys": keys}


def _for_cluster(manifest: dict[str, Any], namespace: str) -> dict[str, Any]:
    """With its namespace. `python:3.12` is any Python: the sample app's image has one, and nothing has to be pulled."""
    if manifest["kind"] != "Namespace":
        manifest["metadata"].setdefault("namespace", namespace)
    for container in manifest.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
        if container.get("image", "").startswith("python:"):
            container |= {"image": "tulle/sample-app:0.1.0", "command": ["python3"]}
    return manifest


def _hurry(namespace: str) -> None:
    """A kubelet looks at a ConfigMap once a minute; at a pod that has changed, at once, and at its volumes with it."""
    if pods := [pod["metadata"]["name"] for pod in get("pods", "-n", namespace)]:
        stamp = kubectl("get", "configmaps", "-n", namespace, "-o", "jsonpath={.items[*].metadata.resourceVersion}")
        mark = f"lessons.tulle.dev/seen={stamp.replace(' ', '-')}"
        kubectl("annotate", "--overwrite", "-n", namespace, "pods", *pods, mark)


def _delete(request: Mapping[str, Any]) -> Any:
    if request["names"]:
        words = [
            "--ignore-not-found",
            "--wait=false",
            *(["--grace-period=0", "--force"] if request.get("grace") == 0 else []),
        ]
        kubectl("delete", request["kind"], "-n", request["namespace"], *request["names"], *words)
    return {}


def _ready(request: Mapping[str, Any]) -> Any:
    for kind, namespace, name in request["keys"]:
        if kind == "Deployment":
            _rolled_out(namespace, name, request["timeout"])
    return {}


def _rolled_out(namespace: str, name: str, seconds: float) -> None:
    wait = f"--timeout={max(1, round(seconds))}s"
    kubectl("rollout", "status", f"deploy/{name}", "-n", namespace, wait, seconds=seconds + _CALL)


def _scale(request: Mapping[str, Any]) -> Any:
    """Also waits until those that are too many have gone: the lab's Services forget a pod before it ends."""
    name, namespace, replicas = request["target"].rpartition("/")[2], request["namespace"], request["replicas"]
    kubectl("scale", f"deploy/{name}", "-n", namespace, f"--replicas={replicas}")
    _rolled_out(namespace, name, _CALL)
    until_gone(namespace, "-l", f"app={name}")
    return {}


def until_gone(namespace: str, *words: str) -> None:
    """Wait until pods that are being deleted have gone; `words` choose among them. Raises LabError."""
    leaving = [pod["metadata"] for pod in get("pods", "-n", namespace, *words)]
    names = [f"pod/{meta['name']}" for meta in leaving if meta.get("deletionTimestamp")]
    if names:
        kubectl("wait", "--for=delete", "-n", namespace, *names, f"--timeout={_CALL:g}s", seconds=2 * _CALL)


def _restart(request: Mapping[str, Any]) -> Any:
    kubectl("rollout", "restart", request["target"], "-n", request["namespace"])
    return {}


def _rollout_status(request: Mapping[str, Any]) -> Any:
    _rolled_out(request["namespace"], request["target"].rpartition("/")[2], max(request["timeout"], _CALL))
    return {}


def _logs(request: Mapping[str, Any]) -> str:
    more = [*(["-c", request["container"]] if request.get("container") else []),
            *([f"--tail={request['tail']}"] if request.get("tail") is not None else []),
            *(["--previous"] if request.get("previous") else [])]  # fmt: skip
    return kubectl("logs", request["target"], "-n", request["namespace"], *more)


def _renew(request: Mapping[str, Any]) -> Any:
    """Nothing begins anew in place on a cluster: what it is made of is an image, and pods are replaced."""
    return {"renewed": [0 for _ in request["targets"]]}


_VERBS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "get": _get,
    "apply": _apply,
    "delete": _delete,
    "ready": _ready,
    "scale": _scale,
    "restart": _restart,
    "rollout-status": _rollout_status,
    "logs": _logs,
    "renew": _renew,
}


def missing() -> str:
    """What `--on kind` lacks here, and what mends it; empty when nothing does."""
    if absent := [each for each in ("kubectl", "kind", "docker") if shutil.which(each) is None]:
        return f"{', '.join(absent)} not on PATH"
    try:
        context = kubectl("config", "current-context").strip()
        if not context.startswith("kind-"):
            return f"the current context is {context}, which is no kind cluster: kubectl config use-context kind-NAME"
        for what, fix in (
            ("deployment/tulle-admission-controller", "tulle install"),
            ("crd/httproutes.gateway.networking.k8s.io", "kubectl apply --server-side -f standard-install.yaml"),
        ):
            if not kubectl("get", what, "-n", "tulle-system", "--ignore-not-found", "-o", "name"):
                return f"the cluster has no {what}: {fix}"
    except (LabError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ""
