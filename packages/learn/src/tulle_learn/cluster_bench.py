"""A lesson on a kind cluster: `tulle lessons verify --on kind`. The order of steps is Workbench's.

Owns how an exercise gets in: as images, each Tulle's own with the stage on top and on PYTHONPATH, so that it is found
by the same door; and putting back what was there. Needs Tulle and Gateway API in the cluster, and leaves them there.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from tulle_lab.errors import LabError
from tulle_lab.state import StateFolder

from tulle_learn import stage
from tulle_learn.cluster import OUTSIDE, Cluster, get, kubectl, until_gone
from tulle_learn.lesson import Lesson
from tulle_learn.mesh import Mesh
from tulle_learn.verdict import Observation
from tulle_learn.workbench import Workbench

_SPACE = "demo"
_ROLLOUT = 240.0
"""Seconds for pods to be ready: a cluster on a laptop that does other things, too."""
_TRIES = 5
_SYSTEM = ("tulle-control-plane", "tulle-admission-controller")
_PROXY = "TULLE_PROXY_IMAGE"
_LAYER = "FROM {base}\nCOPY --chmod=755 . /opt/tulle/lesson\nENV PYTHONPATH=/opt/tulle/lesson\n"
_OUTSIDE = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": OUTSIDE, "namespace": OUTSIDE},
    "spec": {
        "selector": {"matchLabels": {"app": OUTSIDE}},
        "template": {
            "metadata": {"labels": {"app": OUTSIDE}},
            "spec": {"containers": [{"name": "app", "image": "tulle/sample-app:0.1.0"}]},
        },
    },
}  # fmt: skip


@dataclass(frozen=True)
class _Images:
    """What Tulle runs with in the cluster."""

    control_plane: str
    admission_controller: str
    proxy: str

    @property
    def all(self) -> tuple[str, ...]:
        return self.control_plane, self.admission_controller, self.proxy

    @classmethod
    def now(cls) -> _Images:
        """As the Deployments in tulle-system say."""
        found = {one["metadata"]["name"]: one for one in get("deployments", "-n", "tulle-system")}
        containers = [found[name]["spec"]["template"]["spec"]["containers"][0] for name in _SYSTEM]
        proxy = next(one["value"] for one in containers[1]["env"] if one["name"] == _PROXY)
        return cls(containers[0]["image"], containers[1]["image"], proxy)


class ClusterBench(Workbench):
    """The namespace `demo` of the current context's cluster, made anew for each lesson, and gone after `close`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(StateFolder(folder / "lab"), folder)
        self.mesh = Mesh(Cluster(), self.stage)
        self.mesh.python = "python3"
        self.client = self.mesh.client
        self._topic = ""
        self._own: _Images | None = None
        """Images that were there before the first exercise."""
        self._seen = ""

    # --- the lab --------------------------------------------------------------------------------------------

    def is_running(self) -> bool:
        """Whether a lesson is in the cluster."""
        return bool(self._topic)

    def pid(self) -> None:
        """No process of this machine holds a cluster."""

    def _is_open(self, lesson: Lesson) -> bool:
        return self._topic == lesson.topic

    def _refuse_foreign(self) -> None:
        """A namespace `demo` that is not ours is made anew: the cluster is for trying things out."""

    def close(self) -> None:
        """Delete what was made, and have Tulle run with its own images again."""
        for namespace in (_SPACE, OUTSIDE):
            kubectl(
                "delete",
                "namespace",
                namespace,
                "--ignore-not-found",
                f"--timeout={_ROLLOUT:g}s",
                seconds=_ROLLOUT + 30,
            )
        self._topic = self._seen = ""
        if self._own is not None:
            self._run_with(self._own)
            self._own = None

    def _up(self, lesson: Lesson, texts: Mapping[str, str]) -> Observation | None:
        self._topic = lesson.topic
        self._put_in(lesson)
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OUTSIDE}}
        self.client.ask("apply", {"sources": [{"text": yaml.safe_dump_all([space, _OUTSIDE])}], "namespace": OUTSIDE})
        self._config_map(lesson, texts)
        text = (lesson.folder / "lab.yaml").read_text()
        result = self.client.ask("apply", {"sources": [{"text": text}], "namespace": _SPACE})
        if result["refused"]:
            return Observation(0, "applying lab.yaml", "\n".join(result["warnings"]), "it is accepted", False)
        keys = [key for key in result["keys"] if key[0] == "Deployment"]
        self.client.ask("ready", {"keys": [*keys, ["Deployment", OUTSIDE, OUTSIDE]], "timeout": _ROLLOUT})
        for _, namespace, name in keys:
            self._injected(name, namespace)
        return None

    def _settle(self, lesson: Lesson, source: Path, *, first: bool) -> Observation | None:
        """Pods that the exercise is for are made anew: one after the other is not needed here."""
        texts = stage.files(source)
        if not first:
            self._put_in(lesson)
            self._config_map(lesson, texts)
            for namespace, _, deployment in (target.partition("/") for target in lesson.settings.reload):
                if namespace != "tulle-system":  # those have just been rolled out
                    self.mesh.replace(deployment, namespace, _ROLLOUT)
                    try:
                        self.mesh.ready(deployment, namespace, _ROLLOUT)
                    except LabError as error:
                        return self._does_not_run(deployment, namespace, error)
                    self._injected(deployment, namespace)
        for name in lesson.settings.apply:
            wrong = self._apply(name, texts)
            if wrong is not None:
                return wrong
        return None

    def _injected(self, deployment: str, namespace: str) -> None:
        """The webhook's failurePolicy is Ignore: a pod that it did not answer for in time has no proxy. Not here."""
        for _ in range(_TRIES):
            pods = get("pods", "-n", namespace, "-l", f"app={deployment}")
            left = [one for one in pods if not one["metadata"].get("deletionTimestamp")]
            if all("tulle.dev/injected" in one["metadata"].get("annotations", {}) for one in left):
                return
            self.mesh.replace(deployment, namespace, _ROLLOUT)
            self.mesh.ready(deployment, namespace, _ROLLOUT)
        raise LabError(f"the pods of {namespace}/{deployment} get no proxy", "the webhook does not answer in time")

    # --- images ---------------------------------------------------------------------------------------------

    def _put_in(self, lesson: Lesson) -> None:
        """The stage, if it is something that Tulle's programs load, in images that the cluster has."""
        if not lesson.settings.reload or lesson.settings.config_map:
            return
        texts = stage.files(self.stage) | {str(path): "" for path in self.stage.glob("*.dist-info/*")}
        digest = hashlib.sha256(repr(sorted(texts.items())).encode("utf-8", "surrogateescape")).hexdigest()[:12]
        if digest == self._seen:
            return
        own = self._own = self._own or _Images.now()
        mine = _Images(*(f"{image.rpartition(':')[0]}:lesson-{digest}" for image in own.all))
        for base, image in zip(own.all, mine.all, strict=True):
            words = ["docker", "build", "-q", "-t", image, "-f", "-", str(self.stage)]
            _run(words, given=_LAYER.format(base=base))
        name = kubectl("config", "current-context").strip().removeprefix("kind-")
        _run(["kind", "load", "docker-image", "--name", name, *mine.all])
        self._run_with(mine)
        self._seen = digest

    def _run_with(self, images: _Images) -> None:
        for name, image in zip(_SYSTEM, images.all, strict=False):
            container: dict[str, object] = {"name": name.removeprefix("tulle-"), "image": image}
            if name == _SYSTEM[1]:
                container["env"] = [{"name": _PROXY, "value": images.proxy}]
            patch = {"spec": {"template": {"spec": {"containers": [container]}}}}  # one, so that it is one rollout
            kubectl("patch", f"deploy/{name}", "-n", "tulle-system", "-p", json.dumps(patch))
        keys = [["Deployment", "tulle-system", name] for name in _SYSTEM]
        self.client.ask("ready", {"keys": keys, "timeout": _ROLLOUT})
        until_gone("tulle-system")  # a webhook that drains still answers, and knows another exercise


def _run(words: list[str], given: str = "") -> None:
    """Raises LabError with what it said."""
    done = subprocess.run(words, input=given, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise LabError(f"{' '.join(words[:2])} failed", done.stderr.strip()[-600:])
