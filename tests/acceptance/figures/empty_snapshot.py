"""A control plane that comes back without its catalog: nothing it says, or does not say, may empty a balancer.

A control plane of its own (manifests/spare.yaml) is killed twice while its catalog's folder is away, first gone, then
there but empty. The client's proxy connects to what comes back, and must keep the endpoints that it had.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.figures.control_plane import kill, restarts
from tests.acceptance.mesh import NAMESPACE, Mesh
from tests.acceptance.running import script_map
from tests.acceptance.words import Bar, failures, no_failures
from tests.acceptance.workspace import MANIFESTS

SPARE = "spare"
APP = "spare-control-plane"
URL = f"http://app-b.{NAMESPACE}/"
REQUESTS = 2000
GRPC_PORT = 8086
AWAY = (
    # what is wrong with the folder, how it comes about, how it is mended
    ("gone", "mv /catalog/cluster /catalog/away", "mv /catalog/away /catalog/cluster"),
    ("empty", "mv /catalog/cluster /catalog/away; mkdir /catalog/cluster",
     "rmdir /catalog/cluster; mv /catalog/away /catalog/cluster"),
)


def _measure(mesh: Mesh) -> Outcome:
    mesh.up()
    _set_up(mesh)
    load = mesh.load(URL, namespace=SPARE, at_least=REQUESTS, rate=300)
    bars: list[Bar] = []
    before = mesh.until(lambda: _endpoints(mesh) or None, "the client's proxy to know app-b's endpoints")
    for how, take_away, bring_back in AWAY:
        _in_spare(mesh, take_away)
        _restart(mesh)
        mesh.script("session", URL, "--requests", "200", namespace=SPARE)  # time for it to say something
        left = _endpoints(mesh)
        bars.append((left == before, f"with the folder {how}, {len(left)} of {len(before)} endpoints were kept"))
        _in_spare(mesh, bring_back)
    report = load.enough()
    mesh.delete("spare")  # with its namespace goes all that is in it
    kept = sum(holds for holds, _ in bars)
    return judged(
        f"{len(before)} endpoints kept in {kept} of {len(AWAY)} restarts; {failures(report)}",
        (len(before) >= 3, f"the proxy knew only {len(before)} endpoints to begin with"),
        *bars,
        *no_failures(report),
    )


def _set_up(mesh: Mesh) -> None:
    mesh.apply("spare")
    _in_spare(mesh, "mkdir /catalog/new; cat > /catalog/new/all.yaml; mv /catalog/new /catalog/cluster", _catalog(mesh))
    mesh.apply_text(script_map(SPARE))
    client = (MANIFESTS / "client.yaml").read_text().replace(f"namespace: {NAMESPACE}", f"namespace: {SPARE}")
    injected = mesh.tulle("inject", stdin=client).out
    assert "tulle-control-plane.tulle-system" in injected
    mesh.apply_text(injected.replace("tulle-control-plane.tulle-system", f"{APP}.{SPARE}"))
    mesh.lab.run("rollout", "status", "deploy/client", "-n", SPARE, "--timeout", "60s")


def _catalog(mesh: Mesh) -> str:
    """All that the real control plane reads, as it is now: one List."""
    files = sorted(Path(mesh.lab.state, "cluster").rglob("*.json"))
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [json.loads(path.read_text()) for path in files]})


def _in_spare(mesh: Mesh, script: str, stdin: str = "") -> None:
    mesh.lab.exec(f"deploy/{APP}", "sh", "-euc", script, namespace=SPARE, stdin=stdin)


def _restart(mesh: Mesh) -> None:
    """Kill it, wait for it to be back, and for the client's proxy to have a connection to it again."""
    before = kill(mesh, APP, SPARE)
    mesh.until(lambda: restarts(mesh.pod(APP, SPARE)) > before or None, f"{APP} to be restarted", 60)
    mesh.until(lambda: _connected(mesh) or None, "the client's proxy to connect again", 30)


def _connected(mesh: Mesh) -> bool:
    """Whether the pod has an established connection to port 8086 (proc_net(5): state 01)."""
    command = ("cat", "/proc/net/tcp", "/proc/net/tcp6")
    table = mesh.lab.exec("deploy/client", *command, namespace=SPARE)
    rows = [line.split() for line in table.splitlines()]
    return any(len(row) > 3 and row[3] == "01" and int(row[2].rpartition(":")[2], 16) == GRPC_PORT for row in rows)


def _endpoints(mesh: Mesh) -> set[str]:
    """What the client's proxy would send app-b's requests to."""
    config: dict[str, Any] = json.loads(mesh.admin(mesh.pod("client", SPARE), "/config"))
    return {
        endpoint
        for destination in config["destinations"].values()
        for name, backend in destination["backends"].items()
        if name == f"{NAMESPACE}/app-b:80"
        for endpoint in backend["endpoints"]
    }


FIGURES = (Figure("empty-snapshot", "a restart without a catalog never empties a balancer; 0 failed", _measure),)
