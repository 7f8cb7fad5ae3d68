"""Bad input ends in one clear message that says what would be right, and what already runs goes on running.

One row a case: what provokes it, and the words that its message must have. Each is tried under load, of which nothing
may fail.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.mesh import NAMESPACE, Mesh
from tests.acceptance.words import Bar, failures, no_failures
from tests.acceptance.workspace import SAMPLE_APP

PROGRAMS = str(Path(sys.executable).parent)
MOST_LINES = 4
BROKEN = "policy-acceptance"


@dataclass(frozen=True)
class Said:
    """What one command, or one program's log, said; whether it ended well, though it should not have."""

    who: str
    text: str
    accepted: bool = False


@dataclass(frozen=True)
class Case:
    """A row. Every one of `words` (regular expressions) must be in each message."""

    name: str
    provoke: Callable[[Mesh], Iterator[tuple[Said, tuple[str, ...]]]]
    what: str


def _apply(mesh: Mesh, text: str) -> Said:
    done = mesh.tulle("lab", "apply", "-f", "-", stdin=text)
    return Said("tulle lab apply", done.said, done.code == 0)


def _typo(mesh: Mesh) -> Iterator[tuple[Said, tuple[str, ...]]]:
    good = (SAMPLE_APP / "app-b.yaml").read_text()
    yield _apply(mesh, good.replace("replicas:", "replica:")), (r"spec\.replica\b", "did you mean 'replicas'")
    yield _apply(mesh, good.replace("targetPort:", "targetport:")), (r"targetport", "did you mean 'targetPort'")
    yield _apply(mesh, good.replace("{app: app-b}", "{app: app-b", 1)), (r"not YAML", r"line \d+")


def _kind(mesh: Mesh) -> Iterator[tuple[Said, tuple[str, ...]]]:
    good = (SAMPLE_APP / "app-b.yaml").read_text()
    typo = good.replace("kind: Deployment", "kind: Deploymnet")
    yield _apply(mesh, typo), ("Deploymnet", "did you mean 'Deployment'")
    yield _apply(mesh, good.replace("kind: Deployment", "kind: StatefulSet")), ("StatefulSet", "use a Deployment")
    yield _apply(mesh, good.replace("apps/v1", "apps/v1beta1")), (r"apps/v1beta1", r"is apps/v1\b")


def _port(mesh: Mesh) -> Iterator[tuple[Said, tuple[str, ...]]]:
    spec = {"containers": [{"name": "app", "image": "python", "ports": [{"containerPort": 4143}]}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad-port", "namespace": NAMESPACE}, "spec": spec}
    yield _apply(mesh, json.dumps(pod)), ("4143", "choose another")
    for row in mesh.node_script("port_taken", PROGRAMS):
        words = (str(row["port"]), "(?i)in use", row["variable"])
        yield Said(f"{row['program']} on {row['port']}", _errors(row["said"]), row["code"] == 0), words


def _errors(said: str) -> str:
    """Without the lines that report progress."""
    return "\n".join(line for line in said.splitlines() if not re.search(r'"level": ?"(info|debug)"', line))


def _iptables(mesh: Mesh) -> Iterator[tuple[Said, tuple[str, ...]]]:
    hide = 'mount -t tmpfs none /usr/sbin; [ -L /sbin ] || mount -t tmpfs none /sbin; exec "$@"'
    state = "TULLE_LAB_STATE=/tmp/never"  # the node's own /tmp
    for command in ((f"{PROGRAMS}/tulle-init",), ("env", state, f"{PROGRAMS}/tulle", "lab", "up")):
        words = mesh.lab.exec_words("node", "unshare", "--mount", "--net", "sh", "-c", hide, "sh", *command)
        done = mesh.tulle("lab", *words)
        yield Said(Path(command[-1]).name, done.said, done.code == 0), ("iptables", "apt-get install iptables")


def _plugin(mesh: Mesh) -> Iterator[tuple[Said, tuple[str, ...]]]:
    """The plugin is named, and left out; each program is ready without it."""
    mesh.apply("broken-plugin")  # waits until all are ready
    words = (BROKEN, "a_module_that_nobody_has", "did not load|not loaded")
    for container in ("proxy", "control-plane", "admission-controller"):
        log = mesh.lab.run("logs", "broken-plugin", "-n", NAMESPACE, "-c", container)
        yield Said(container, "\n".join(line for line in log.splitlines() if BROKEN in line)), words
    with tempfile.TemporaryDirectory() as folder:
        _write_plugin(mesh, Path(folder))
        done = mesh.tulle("plugins", "list", PYTHONPATH=folder)
    line = "\n".join(line for line in done.said.splitlines() if BROKEN in line)
    yield Said("tulle plugins list", line), (BROKEN, "a_module_that_nobody_has", "failed")
    mesh.delete("broken-plugin")


def _write_plugin(mesh: Mesh, folder: Path) -> None:
    """The same broken plugin as in the manifest, for programs outside of the lab."""
    info = folder / "acme_policies-1.0.dist-info"
    info.mkdir()
    for name, text in mesh.lab.item("configmap", "broken-plugin", NAMESPACE)["data"].items():
        (folder if name.endswith(".py") else info).joinpath(name).write_text(text)


def _policy(mesh: Mesh) -> Iterator[tuple[Said, tuple[str, ...]]]:
    def policy(kind: str, config: dict[str, object]) -> str:
        spec = {"targetRef": {"kind": "Service", "name": "app-b"}, "type": kind, "config": config}
        head = {"apiVersion": "tulle.dev/v1alpha1", "kind": "MeshPolicy"}
        return json.dumps({**head, "metadata": {"name": "bad", "namespace": NAMESPACE}, "spec": spec})

    yield _apply(mesh, policy("timeout", {"requst": "5s"})), ("requst", "did you mean 'request'")
    yield _apply(mesh, policy("timeout", {"request": "fast"})), (r"spec\.config\.request", "expected a duration")
    yield _apply(mesh, policy("timeot", {"request": "5s"})), ("timeot", "timeout")


CASES = (
    Case("bad-manifest", _typo, "typos in a manifest"),
    Case("bad-kind", _kind, "unknown kinds"),
    Case("bad-port", _port, "ports in use"),
    Case("bad-iptables", _iptables, "iptables missing"),
    Case("bad-plugin", _plugin, "a plugin that cannot be imported"),
    Case("bad-policy", _policy, "policies with a bad config"),
)


def _measure(mesh: Mesh, case: Case) -> Outcome:
    mesh.up()
    load = mesh.load(at_least=100, rate=200)
    bars: list[Bar] = []
    for said, words in case.provoke(mesh):
        bars += _judge(said, words)
    report = load.enough()
    count = sum(1 for holds, _ in bars[::3] if holds)
    return judged(
        f"{count} of {len(bars) // 3} said what would be right; {failures(report)} meanwhile",
        *bars,
        *no_failures(report),
    )


def _judge(said: Said, words: tuple[str, ...]) -> list[Bar]:
    """Three bars: it says what it should, it is one message, and it was not taken for good."""
    missing = [word for word in words if not re.search(word, said.text)]
    lines = said.text.strip().splitlines()
    return [
        (not missing, f"{said.who} says nothing of {', '.join(missing)}: {said.text.strip()[-300:]!r}"),
        (0 < len(lines) <= MOST_LINES and "Traceback" not in said.text, f"{said.who} says it in {len(lines)} lines"),
        (not said.accepted, f"{said.who} was content with it"),
    ]


def _figure(case: Case) -> Figure:
    bar = f"{case.what}: one message each that says what would be right; 0 failed of what runs"
    return Figure(case.name, bar, lambda mesh: _measure(mesh, case))


FIGURES = tuple(_figure(case) for case in CASES)
