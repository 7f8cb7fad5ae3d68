"""The lab around one lesson: up, the exercise put in, reloaded in place, checked, down.

Owns the order of these steps and the lab's state folder. What is wrong with the exercise comes back as a Verdict; what
is wrong with the machine or the lab as a LearnError.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import yaml
from tulle_lab.client import Client, NoLab
from tulle_lab.errors import LabError
from tulle_lab.launch.start import start
from tulle_lab.state import StateFolder

from tulle_learn import stage
from tulle_learn.cluster import Cluster
from tulle_learn.complaints import complaints
from tulle_learn.errors import LearnError
from tulle_learn.lesson import Lesson
from tulle_learn.mesh import Mesh
from tulle_learn.verdict import Mismatch, Observation, See, Verdict

Say = Callable[[str], None]

SECONDS = 20.0
"""A check should not take longer on an idle laptop."""
_UP = 90.0
_RELOAD = 30.0
_LOOK = 1.5
_ENDINGS = 2
"""Restarts after which a program is believed to end at once, each time."""
_SYSTEM = "tulle-system"
_NOT_READY = {
    "tulle-control-plane": "The control plane is ready when its catalog has yielded Synced: it has told everything.",
}
"""What it means that one of Tulle's own programs runs, and does not get ready."""


class Workbench:
    """One lab at `state`, for one lesson at a time. `folder`: where stage and record are kept."""

    def __init__(self, state: StateFolder, folder: Path) -> None:
        self.state, self.folder = state, folder
        self.client: Client | Cluster = Client(state)
        self.stage = folder / "stage"
        self.mesh = Mesh(self.client, self.stage)

    # --- the lab --------------------------------------------------------------------------------------------

    def open(self, lesson: Lesson, source: Path, say: Say) -> Observation | None:
        """Have the lab of `lesson` running, with the exercise in `source` in it. Waits while another one judges here.

        Returns what is wrong with the exercise, if it is that. Raises LearnError when there can be no lab.
        """
        with self._alone(say):
            return self._open(lesson, source, say)

    def _open(self, lesson: Lesson, source: Path, say: Say) -> Observation | None:
        try:
            texts = stage.files(source)
            if self._is_open(lesson):
                return self.reload(lesson, source)
            self._refuse_foreign()
            self.close()
            wrong = self._fill(lesson, source)
            if wrong is not None:
                return wrong
            say("starting the lab (about 10 seconds) ...")
            wrong = self._up(lesson, texts)
            if wrong is not None:
                self.close()  # half a lab is none: the next time begins anew
                return wrong
            return self._settle(lesson, source, first=True)
        except LabError as error:
            raise LearnError("the lab cannot be started", str(error), "tulle check --pre") from error

    def _up(self, lesson: Lesson, texts: Mapping[str, str]) -> Observation | None:
        """Start the lab and apply lab.yaml: Tulle's own parts first, since pods are admitted by them."""
        if start(self.state, (os.path.realpath(self.stage),)) is None:
            raise LearnError("a lab is just starting or ending", fix="wait a moment, and again")
        self._record(lesson)
        if lesson.settings.system:
            self._apply_and_wait("system")
        self._config_map(lesson, texts)
        # $(STATE): as in the lab's own manifests, for lessons that put a part of Tulle's in another's place
        text = (lesson.folder / "lab.yaml").read_text().replace("$(STATE)", str(self.state.path))
        documents = [one for one in yaml.safe_load_all(text) if one]
        for system in (True, False):
            part = [one for one in documents if (one["metadata"].get("namespace") == _SYSTEM) is system]
            sources = [{"name": "lab.yaml", "text": yaml.safe_dump_all(part)}]
            result = self.client.ask("apply", {"sources": sources, "namespace": "demo"})
            if result["refused"]:
                return Observation(0, "applying lab.yaml", "\n".join(result["warnings"]), "it is accepted", False)
            for key in result["keys"] if system else ():
                try:
                    if key[0] == "Deployment":
                        self._ready(key[2], key[1], _UP)
                except LabError as error:
                    return self._does_not_run(key[2], key[1], error)
        return None

    def _apply_and_wait(self, verb: str) -> None:
        result = self.client.ask(verb, {})
        self.client.ask("ready", {"keys": result["keys"], "timeout": _UP})

    def _config_map(self, lesson: Lesson, texts: Mapping[str, str]) -> None:
        if lesson.settings.config_map:
            namespace, name = lesson.settings.config_map.split("/")
            space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            if not self._has(namespace):  # lab.yaml, which comes after, gives it its labels
                self.mesh.apply(json.dumps(space))
            self.mesh.config_map(name, texts, namespace)

    def _has(self, namespace: str) -> bool:
        items = self.client.ask("get", {"kind": "namespaces"})["groups"][0]["items"]
        return any(item["metadata"]["name"] == namespace for item in items)

    def is_running(self) -> bool:
        """Whether there is a lab, of whatever lesson."""
        return self.state.is_running()

    def pid(self) -> int | None:
        """The lab's first process; None when there is none."""
        return self.state.pid()

    def close(self) -> None:
        """End the lab, if it is ours and there."""
        if self.state.is_running():
            words = [sys.executable, "-m", "tulle_lab", "--state", str(self.state.path), "down", "--now", "-q"]
            subprocess.run(words, check=False, capture_output=True, timeout=60)
        self._marker.unlink(missing_ok=True)

    @property
    def _marker(self) -> Path:
        return self.folder / "lab.json"

    def _record(self, lesson: Lesson) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._marker.write_text(json.dumps({"pid": self.state.pid(), "lesson": lesson.topic}))

    def _recorded(self) -> str | None:
        """The lesson whose lab runs at `state`; None when what runs there is not ours."""
        try:
            record = json.loads(self._marker.read_text())
        except (OSError, ValueError):
            return None
        return str(record["lesson"]) if record.get("pid") == self.state.pid() else None

    def _is_open(self, lesson: Lesson) -> bool:
        if not self.state.is_running() or self._recorded() != lesson.topic:
            return False
        try:
            self.client.ask("get", {"kind": "namespaces"})
        except NoLab:
            return False
        return True

    def _refuse_foreign(self) -> None:
        if self.state.is_running() and self._recorded() is None:
            raise LearnError(
                "a lab is running that is not a lesson's",
                str(self.state.path),
                "tulle lab down, when you need it no more",
            )

    # --- the exercise ---------------------------------------------------------------------------------------

    def reload(self, lesson: Lesson, source: Path) -> Observation | None:
        """Put the exercise, as it is now, into the running lab. What is wrong with it; None when it runs."""
        wrong = self._fill(lesson, source)
        return wrong if wrong is not None else self._settle(lesson, source, first=False)

    def _fill(self, lesson: Lesson, source: Path) -> Observation | None:
        try:
            if lesson.settings.install:
                stage.install(self.stage, source, lesson.settings.install)
            else:
                stage.fill(self.stage, stage.files(source))
        except Mismatch as error:
            return error.seen
        return None

    def _settle(self, lesson: Lesson, source: Path, *, first: bool) -> Observation | None:
        texts = stage.files(source)
        if not first:
            self._config_map(lesson, texts)
        targets = [(space, name) for space, _, name in (target.partition("/") for target in lesson.settings.reload)]
        own = lesson.settings.config_map  # then it is the pods' program that has changed, and not Tulle's beside it
        done = targets if first else [] if own else self.mesh.renew(targets)
        for system in (True, False):  # Tulle's own parts before the pods that they admit and configure
            for namespace, deployment in (target for target in targets if (target[0] == _SYSTEM) is system):
                try:
                    if (namespace, deployment) not in done:
                        self.mesh.replace(deployment, namespace, _RELOAD)
                    self._ready(deployment, namespace, _UP if first else _RELOAD)
                except LabError as error:
                    return self._does_not_run(deployment, namespace, error)
        # only now the rest: it may need what the exercise is (a control plane, a webhook)
        self.client.ask("ready", {"keys": _deployments(lesson), "timeout": _UP})
        for name in lesson.settings.apply:
            wrong = self._apply(name, texts)
            if wrong is not None:
                return wrong
        return None

    def _ready(self, deployment: str, namespace: str, seconds: float) -> None:
        """Wait until it is ready. Raises LabError; early when it keeps ending, since waiting would not mend that."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.mesh.ready(deployment, namespace, _LOOK)
            except LabError:
                if time.monotonic() > deadline or self.mesh.restarts(deployment, namespace) >= _ENDINGS:
                    raise

    def _does_not_run(self, deployment: str, namespace: str, error: LabError) -> Observation:
        said = self.mesh.logs_of(deployment, namespace, tail=8).rstrip()
        why = f"{error.why or error.what}".strip()
        if not all(line in why for line in said.splitlines()):
            why += f"\nIts last words:\n{said}"
        raised = "\n".join(complaints(self.mesh.logs_of(deployment, namespace)))
        what = f"starting {namespace}/{deployment} with your files"
        meaning = "" if raised else _NOT_READY.get(deployment, "")
        return Observation(0, what, why, "it runs and is ready", False, meaning, raised)

    def _apply(self, name: str, texts: Mapping[str, str]) -> Observation | None:
        what = f"applying {name}"
        if name not in texts:
            return Observation(0, what, "there is no such file", f"{name} in the exercise", False)
        try:
            result = self.client.ask("apply", {"sources": [{"name": name, "text": texts[name]}], "namespace": "demo"})
        except LabError as error:
            return Observation(0, what, str(error), "the lab accepts it", False)
        if result["refused"]:
            return Observation(0, what, "\n".join(result["warnings"]), "the webhook accepts it", False)
        return None

    # --- the check ------------------------------------------------------------------------------------------

    def check(self, lesson: Lesson) -> Verdict:
        """Run check.py against the lab as it is. Never raises for what the exercise does."""
        see, began = See(), time.monotonic()
        try:
            load_check(lesson).check(self.mesh, see)
        except Mismatch:
            pass
        except LabError as error:
            why = "Something in the lab has ended or hangs."
            see.observations.append(Observation(0, "asking the lab", str(error), "an answer", False, why))
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno}: {where.line})"
            why = "Something came back that the check cannot read: most likely not what the exercise says."
            see.observations.append(Observation(0, "reading what came back", said, "an answer", False, why))
        seconds, raised = time.monotonic() - began, self._raised(lesson)
        if raised and all(seen.holds for seen in see.observations):
            why = "All that was asked went well, and yet it broke off somewhere: the mesh went on without it."
            see.observations.append(Observation(0, "what your code raised meanwhile", raised, "nothing", False, why))
        elif raised:
            see.observations[-1] = replace(see.observations[-1], raised=raised)
        return Verdict(tuple(see.observations), seconds)

    def judge(self, lesson: Lesson, source: Path, say: Say) -> Verdict:
        """Everything: the lab up or reloaded with `source`, then the check. Waits while another one judges here."""
        with self._alone(say):
            wrong = self._open(lesson, source, say)
            if wrong is not None:
                return Verdict((wrong,))
            return self.check(lesson)

    @contextmanager
    def _alone(self, say: Say) -> Iterator[None]:
        """One check at a time in this lab: two count one another's requests. The kernel lets go when we end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "check.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                say("another terminal is checking in this lab: waiting for it ...")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _raised(self, lesson: Lesson) -> str:
        """What the programs that run the exercise have logged of it."""
        found: dict[str, None] = {}
        for target in lesson.settings.reload:
            namespace, deployment = target.split("/")
            with contextlib.suppress(LabError):
                for said in complaints(self.mesh.logs_of(deployment, namespace)):
                    found.setdefault(said)
        return "\n".join(found)


def _deployments(lesson: Lesson) -> list[list[str]]:
    """Keys of the Deployments in lab.yaml."""
    documents = [one for one in yaml.safe_load_all((lesson.folder / "lab.yaml").read_text()) if one]
    found = [(one["kind"], one["metadata"].get("namespace", "demo"), one["metadata"]["name"]) for one in documents]
    return [list(key) for key in found if key[0] == "Deployment"]


def load_check(lesson: Lesson) -> ModuleType:
    """The lesson's check.py as a module. Raises LearnError when it is broken: that is the lesson's fault."""
    path = lesson.folder / "check.py"
    spec = importlib.util.spec_from_file_location(f"tulle_lesson_{lesson.number:02}_check", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise LearnError(f"{path} cannot be loaded", f"{type(error).__name__}: {error}") from error
    return module
