"""A client's pod whose proxy is one figure's alone: injected as any other, with what the figure changes of it.

Owns the pod's life: it is gone when the block is left, so that no later figure finds a proxy that was treated badly.
Nothing is changed but environment variables that the proxy documents, its limit of open files, and where its standard
output goes (a million lines of access log are written, and kept by nobody).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from tests.acceptance.lab import LabFailed
from tests.acceptance.mesh import NAMESPACE, Mesh
from tests.acceptance.workspace import MANIFESTS

LONE = "deploy/lone"
PROXY = "tulle-proxy"


def changed(injected: dict[str, Any], variables: dict[str, str], files: int) -> dict[str, Any]:
    """The Deployment with these variables of its proxy, and a limit of `files` open files (0: as it is).

    The webhook is told to leave it alone: it would set right what we changed.
    """
    template = injected["spec"]["template"]
    template["metadata"]["annotations"]["tulle.dev/inject"] = "disabled"
    proxy = next(each for each in template["spec"]["initContainers"] if each["name"] == PROXY)
    proxy["env"] = [each for each in proxy["env"] if each["name"] not in variables]
    proxy["env"] += [{"name": name, "value": value} for name, value in variables.items()]
    limit = f"ulimit -n {files} && " if files else ""
    proxy["command"] = ["sh", "-c", f"{limit}exec {PROXY} > /dev/null"]
    return injected


@contextlib.contextmanager
def lone_proxy(mesh: Mesh, name: str = "lone", *, files: int = 0, **variables: str) -> Iterator[str]:
    """The pod's name, ready. `files`: its proxy's limit of open files. `name`: of its Deployment."""
    done = mesh.tulle("inject", "-o", "json", "-f", str(MANIFESTS / "lone.yaml"))
    if done.code:
        raise LabFailed(f"`tulle inject` exited with {done.code}: {done.said}")
    try:
        injected = json.loads(done.out.replace('"lone"', f'"{name}"'))
        mesh.apply_text(json.dumps(changed(injected, variables, files)), wait=True)
        yield mesh.pod(name)["metadata"]["name"]
    finally:
        mesh.lab.run("delete", "deployment", name, "-n", NAMESPACE)
        mesh.until(lambda: not _pods(mesh, name) or None, "the lone pod to be gone")


def _pods(mesh: Mesh, name: str) -> list[Any]:
    return [pod for pod in mesh.lab.items("pods", NAMESPACE) if pod["metadata"].get("labels", {}).get("app") == name]
