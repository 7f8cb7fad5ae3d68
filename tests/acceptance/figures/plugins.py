"""Plugins from outside: installed while everything runs, and used; and whatever one does wrong, what runs goes on.

The plugin is a distribution of its own (plugins/rude), copied to a folder outside of the repository and installed from
there into the lab's environment, as anybody would. It is uninstalled in any case.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tulle_cli.api_client import ApiClient

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.lab import LabFailed
from tests.acceptance.lone import LONE, lone_proxy
from tests.acceptance.mesh import APP_B, CLIENT, NAMESPACE, Mesh
from tests.acceptance.metrics import Samples
from tests.acceptance.words import Bar
from tests.acceptance.workspace import HERE

UV = str(Path(sys.executable).with_name("uv"))
NAME = "acme-rude"
POLICY_CASES = ("raises", "raises-after", "nonsense", "hangs", "blocks")
BALANCER_CASES = ("raises", "nonsense")
DENIED = "500 policy-error"


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """The plugin, in the environment that this runs in: which is the lab's."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # not in the repository
        source = Path(folder) / "rude"
        shutil.copytree(HERE / "plugins" / "rude", source)
        try:
            _uv("install", "--no-deps", "--no-build-isolation", str(source))
            yield
        finally:
            _uv("uninstall", NAME)


def _uv(word: str, *words: str) -> None:
    done = subprocess.run(
        [UV, "pip", word, "--quiet", "--python", sys.executable, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabFailed(f"uv pip {word} exited with {done.returncode}: {done.stderr.strip()[-500:]}")


def _policy(type_: str, service: str, config: dict[str, str]) -> str:
    spec = {"targetRef": {"kind": "Service", "name": service}, "type": type_, "config": config}
    head = {"apiVersion": "tulle.dev/v1alpha1", "kind": "MeshPolicy"}
    return json.dumps({**head, "metadata": {"name": "rude", "namespace": NAMESPACE}, "spec": spec})


# --- installed, used, uninstalled ------------------------------------------------------------------------------------


def _header(mesh: Mesh) -> str:
    """The answer's x-rude, which the policy writes; "" for none. Raises LabFailed when there is no answer of 200."""
    curl = ("curl", "-sS", "-f", "-o", "/dev/null", "-D", "-", APP_B)
    said = mesh.lab.exec(CLIENT, *curl, namespace=NAMESPACE)
    found = [line.partition(":")[2].strip() for line in said.splitlines() if line.lower().startswith("x-rude:")]
    return found[0] if found else ""


def _condition(mesh: Mesh) -> dict[str, Any]:
    answer = ApiClient(f"unix:{mesh.lab.state / 'control-plane.sock'}").get("/api/v1/catalog", {"kind": "MeshPolicy"})
    row = next(row for row in answer["objects"]["MeshPolicy"] if row["name"] == "rude")
    found: dict[str, Any] = row["conditions"][0]
    return found


def _installed(mesh: Mesh) -> Outcome:
    mesh.up()
    before = _header(mesh)  # the proxy runs, and knows nothing of the plugin
    with installed():
        mesh.apply_text(_policy("rude", "app-b", {"how": "not", "tag": "first"}))
        mesh.until(lambda: _header(mesh) == "first" or None, "the policy to be in force")
        accepted = _condition(mesh)
    missing, after = _condition(mesh), _header(mesh)
    mesh.lab.run("delete", "-f", "-", stdin=_policy("rude", "app-b", {"how": "not", "tag": "first"}))
    mesh.until(lambda: _header(mesh) == "" or None, "the policy to be gone")
    return judged(
        f"used after one apply; uninstalled: {missing['reason']}, and requests still pass it",
        (before == "", f"there was an x-rude before: {before!r}"),
        (accepted["status"] == "True", f"not accepted while it was there: {accepted}"),
        (missing["status"] == "False" and missing["reason"] == "PluginMissing", f"its status is {missing}"),
        (NAME in missing["message"], f"the status does not name the distribution: {missing['message']!r}"),
        (after == "first", "its behaviour ended with the uninstallation"),
    )


# --- misbehaving -----------------------------------------------------------------------------------------------------


def _run(mesh: Mesh, pod: str, tag: str, type_: str, config: dict[str, str], requests: int) -> dict[str, int]:
    """Outcomes of so many requests through the lone proxy, once it runs this policy."""
    named = {"name": "rude"} if type_ == "balancer" else {}
    mesh.apply_text(_policy(type_, "bare", {**named, **config, "tag": tag}))
    mesh.script("outcomes", "bare", "--requests", "1", client=LONE)  # whoever calls subscribes
    mesh.until(lambda: _metrics(mesh, pod).total("tulle_proxy_rude_built_total", tag=tag) or None, f"{tag} to be built")
    found: dict[str, int] = mesh.script("outcomes", "bare", "--requests", str(requests), client=LONE)["outcomes"]
    return found


def _metrics(mesh: Mesh, pod: str) -> Samples:
    return mesh.metrics(mesh.lab.item("pod", pod, NAMESPACE))


def _misbehaving(mesh: Mesh, opens: int, closes: int) -> Outcome:
    mesh.up()
    mesh.apply("answers")
    bars: list[Bar] = []
    passed = denied = 0
    with installed(), lone_proxy(mesh, TULLE_EXPORTERS="prometheus,rude") as pod:
        cases = [("rude", how, {"how": how, "on_failure": ends}, ends) for how in POLICY_CASES
                 for ends in ("open", "closed")]  # fmt: skip
        cases += [("rude", "leaks", {"how": "leaks"}, "open")]
        cases += [("balancer", how, {"how": how}, "open") for how in BALANCER_CASES]
        for type_, how, config, ends in cases:
            tag = f"{type_}-{how}-{ends}"
            requests = opens if ends == "open" else closes
            outcomes = _run(mesh, pod, tag, type_, config, requests)
            right = "200" if ends == "open" else DENIED
            mesh.say(f"   {tag}: {outcomes}")
            bars.append((outcomes == {right: requests}, f"{tag}: {outcomes}, not {right} x {requests}"))
            passed += outcomes.get("200", 0)
            denied += outcomes.get(DENIED, 0)
        metrics = _metrics(mesh, pod)
        state = f"unix:{mesh.lab.state / 'control-plane.sock'}"
        listed = mesh.tulle("plugins", "list", "--control-plane", state).said
        status = mesh.tulle("proxy", "status", "-n", NAMESPACE, "--control-plane", state).said
        mesh.lab.run("delete", "-f", "-", stdin=_policy("rude", "bare", {"how": "not", "tag": "x"}))
    for what in ("raised", "nonsense", "overdue", "stalled", "leaked"):
        counted = metrics.total("tulle_proxy_plugin_failures_total", plugin=NAME, what=what)
        bars.append((counted > 0, f"the proxy's metrics have no {what}"))
    for name in ("policy-rude-import", "policy-rude-hook"):
        counted = metrics.total("tulle_proxy_plugin_failures_total", plugin=name, what="load")
        bars.append((counted == 1 and name in listed, f"{name} is not told of"))
    bars += [
        (metrics.total("tulle_proxy_stalls_total", plugin=NAME) >= 3, "the stalls were not counted"),
        (f"plugin {NAME} " in status, f"tulle proxy status does not name it: {status[-300:]!r}"),
        (any(NAME in line and "in " in line for line in listed.splitlines()), "tulle plugins list does not tell"),
    ]
    return judged(f"{len(cases)} cases: {passed} requests passed where open, {denied} were denied where closed", *bars)


FIGURES = (
    Figure(
        "plugin-installed",
        "installed from a folder outside, used within one apply, no other file touched; uninstalled: not accepted, "
        "and what it did goes on",
        _installed,
    ),
    *(
        Figure(
            name,
            f"each case: 0 failed of {opens} where open, 100% of {closes} denied where closed; named in metrics, "
            "tulle plugins list and tulle proxy status",
            lambda mesh, opens=opens, closes=closes: _misbehaving(mesh, opens, closes),
            full=full,
        )
        for name, opens, closes, full in (
            ("plugin-misbehaving", 1_000, 200, False),
            ("plugin-misbehaving-10k", 10_000, 2_000, True),
        )
    ),
)
