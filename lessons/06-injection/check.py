"""Lesson 6: three pods go through your webhook: a plain one, one that has things of its own, one that was there before."""

import copy
import json
from typing import Any

from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See

APP = {
    "name": "app",
    "image": "tulle/sample-app:0.1.0",
    "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
    "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1},
}
OWN = {
    "metadata": {"annotations": {"team": "blue"}},
    "spec": {
        "volumes": [{"name": "own-volume", "emptyDir": {}}],
        "initContainers": [
            {"name": "own-init", "image": "python:3.12", "args": ["-c", "print('ready')"],
             "volumeMounts": [{"name": "own-volume", "mountPath": "/own"}]},
        ],
    },
}  # fmt: skip


def pod(name: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """A manifest."""
    more = more or {"metadata": {}, "spec": {}}
    metadata = {**more["metadata"], "name": name, "namespace": "demo", "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**more["spec"], "containers": [APP]}}


def create(mesh: Mesh, see: See, objective: int, manifest: dict[str, Any]) -> dict[str, Any]:
    """Create it and return it as it was stored. What the webhook said against it is an observation."""
    name = manifest["metadata"]["name"]
    mesh.delete("pods", name)
    mesh.until(lambda: True if mesh.get("pods", name) is None else None, 10)
    said = mesh.apply(json.dumps(manifest))
    stored = mesh.get("pods", name)
    see(objective, f"pod {name}: created", "; ".join(said) or "yes", "yes, without a warning", stored is not None and not said,
        "A patch that cannot be applied, or a pod that is not valid after it: its user is told only this.")  # fmt: skip
    assert stored is not None
    return stored


def grow(mesh: Mesh) -> dict[str, Any]:
    """The pod of a Deployment, as it was stored; empty when none is made. Pods that nobody applied have no annotations."""
    mesh.delete("deployments", "grown")
    labels = {"app": "grown"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [APP]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "grown", "namespace": "demo"}
    mesh.apply(json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}))
    made = mesh.until(lambda: next(iter(mesh.pods("grown")), None), 8)
    stored = mesh.get("pods", made.name) if made else None
    mesh.delete("deployments", "grown")
    return stored or {"metadata": {}, "spec": {}}


def names(stored: dict[str, Any], field: str) -> list[str]:
    """Of containers or volumes."""
    return [item["name"] for item in stored["spec"].get(field) or []]


def check(mesh: Mesh, see: See) -> None:
    """Each is looked at as it was stored; the first has to run, too."""
    plain = create(mesh, see, 1, pod("plain"))
    found = names(plain, "initContainers")
    see(1, "pod plain: its init containers", found or "none: there is no proxy in it", ["tulle-init", "tulle-proxy"],
        found == ["tulle-init", "tulle-proxy"], "Rules first, then the proxy, then all else."
        if set(found) == {"tulle-init", "tulle-proxy"} else "The pod is outside of the mesh, and nobody notices.")  # fmt: skip
    found = plain["metadata"].get("annotations", {}).get("tulle.dev/injected")
    see(1, "pod plain: the annotation tulle.dev/injected", found, "lesson", found == "lesson",
        "`tulle check` and the dashboard know by it who is in the mesh. In a path, / is written ~1.")  # fmt: skip
    ready = mesh.until(lambda: next((True for one in mesh.pods("plain") if one.ready), None), 10)
    state = mesh.get("pods", "plain") or {}
    see(1, "pod plain is ready within 10 s", json.dumps(state.get("status", {}).get("initContainerStatuses", []))[:300]
        if not ready else "yes", "yes", ready is True, "Something that init container or proxy need is missing: a volume?")  # fmt: skip
    answers = mesh.http("http://server.outside/", source="plain", keep=False)
    log = mesh.until(lambda: "server.outside" in mesh.logs("plain", "tulle-proxy") or None, 3)
    see(1, "a call from pod plain", f"{answers.outcomes()}; {'in' if log else 'not in'} its proxy's log",
        "1 x 200; in its proxy's log", len(answers.good) == 1 and log is True, "The call went past the proxy.")  # fmt: skip

    grown = grow(mesh)
    found = names(grown, "initContainers")
    see(1, "a Deployment `grown`, whose pods have not even annotations: their init containers",
        found or "none: there is no proxy in it", ["tulle-init", "tulle-proxy"], found == ["tulle-init", "tulle-proxy"],
        "The patch could not be applied: what it puts something into has to be there. Pods come in without a proxy, "
        "or not at all.")  # fmt: skip

    own = create(mesh, see, 2, pod("own", OWN))
    found = names(own, "initContainers")
    want = ["tulle-init", "tulle-proxy", "own-init"]
    see(2, "pod own, which has an init container: its init containers", found, want, found == want,
        "Somebody's init container is gone: a member that is there was replaced." if "own-init" not in found else
        "The app's own init container runs before the proxy is there, and has rules but no network.")  # fmt: skip
    found = names(own, "volumes")
    see(2, "pod own: its own volume is still there", found, "own-volume and Tulle's", "own-volume" in found,
        "The whole list was replaced: `add` to a member that is there replaces it.")  # fmt: skip
    kept = own["metadata"]["annotations"].get("team")
    see(2, "pod own: its own annotation is still there", f"team: {kept}", "team: blue", kept == "blue",
        "All annotations were replaced: somebody's monitoring just stopped.")  # fmt: skip

    again = copy.deepcopy({"metadata": {"annotations": own["metadata"]["annotations"]}, "spec": own["spec"]})
    again["spec"].pop("nodeName", None)
    again["spec"].pop("containers")
    twice = create(mesh, see, 3, pod("twice", again))
    found = names(twice, "initContainers")
    see(3, "a pod that was injected already (a copy of own): its init containers", found, want, found == want,
        "Webhooks are called again, for a pod that another webhook changed: everything has to be judged by name.")  # fmt: skip
    found = names(twice, "volumes")
    see(3, "and its volumes, each once", found, sorted(set(found)), len(found) == len(set(found)),
        "Kubernetes refuses a pod with two volumes of one name.")  # fmt: skip
