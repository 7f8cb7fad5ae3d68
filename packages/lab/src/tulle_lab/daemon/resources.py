"""Verbs about objects: apply, delete, get, scale, restart, renew, and the system components' own manifests."""

from __future__ import annotations

import importlib.resources
from typing import Any

import trio

from tulle_lab.cluster.api import not_found
from tulle_lab.cluster.apply import Applied
from tulle_lab.cluster.objects import Key, Object, key_of, owner_uid
from tulle_lab.daemon.lab import Lab
from tulle_lab.errors import LabError
from tulle_lab.kinds.manifests import Source, read
from tulle_lab.kinds.registry import EVENT, KINDS, Kind, by_any_name
from tulle_lab.kubelet.containers import Container
from tulle_lab.kubelet.images import program_name
from tulle_lab.kubelet.process_spec import LOADS_PLUGINS

_STATE_VARIABLE = "$(STATE)"


def line(applied: Applied) -> str:
    """`deployment.apps/app-a created`."""
    return f"{KINDS[applied.key.kind].resource}/{applied.key.name} {applied.done}"


def _keys(objects: list[Object]) -> list[list[str]]:
    return [list(key_of(obj)) for obj in objects]


async def apply(lab: Lab, request: dict[str, Any], *_: Any) -> Any:
    """{sources: [{name, text}], namespace} -> {lines, warnings, refused, keys}."""
    objects = read([Source(**source) for source in request["sources"]], request["namespace"])
    return await _apply(lab, objects)


async def _apply(lab: Lab, objects: list[Object], *, validate: bool = True) -> Any:
    done, warnings = await lab.api.apply(objects, validate=validate)
    return {
        "lines": [line(applied) for applied in done],
        "warnings": warnings,
        "keys": _keys(objects),
        "refused": any(applied.done == "refused" for applied in done),
    }


async def system(lab: Lab, *_: Any) -> Any:
    """Apply Tulle's own components; as `apply`."""
    files = sorted(importlib.resources.files("tulle_lab.system").iterdir(), key=lambda file: file.name)
    texts = {file.name: file.read_text() for file in files if file.name.endswith(".yaml")}
    sources = [Source(name, text.replace(_STATE_VARIABLE, str(lab.state.path))) for name, text in texts.items()]
    return await _apply(lab, read(sources, "tulle-system"), validate=False)


async def get(lab: Lab, request: dict[str, Any], *_: Any) -> Any:
    """{kind, name, namespace (None: all), selector} -> {kind, items}. "all" is pods, services, deployments and jobs."""
    namespace = request.get("namespace")
    if request["kind"] == "all":
        kinds = [KINDS[name] for name in ("Pod", "Service", "Deployment", "Job")]
        return {"groups": [{"kind": kind.name, "items": _list(lab, kind, namespace, request)} for kind in kinds]}
    kind = by_any_name(request["kind"])
    items = _list(lab, kind, namespace, request)
    if name := request.get("name"):
        items = [item for item in items if item["metadata"]["name"] == name]
        if not items:
            raise not_found(Key(kind.name, namespace or "" if kind.namespaced else "", name))
    return {"groups": [{"kind": kind.name, "items": items}]}


def _list(lab: Lab, kind: Kind, namespace: str | None, request: dict[str, Any]) -> list[Object]:
    if kind is EVENT:
        return lab.events.list(namespace)
    selector = {"matchLabels": request["selector"]} if request.get("selector") else None
    return lab.store.list(kind.name, namespace if kind.namespaced else None, selector)


async def delete(lab: Lab, request: dict[str, Any], *_: Any) -> Any:
    """{sources, namespace} or {kind, names, namespace}, and {grace, missing_ok} -> {lines, keys}."""
    if request.get("sources"):
        objects = read([Source(**source) for source in request["sources"]], request["namespace"])
        keys = [key_of(obj) for obj in reversed(objects)]
    else:
        kind = by_any_name(request["kind"])
        keys = [Key(kind.name, request["namespace"] if kind.namespaced else "", name) for name in request["names"]]
    missing = [key for key in keys if lab.store.get(*key) is None]
    if missing and not request.get("missing_ok"):
        raise not_found(missing[0])
    lines = []
    for key in keys:
        if lab.store.get(*key) is not None:  # it may have gone with its owner just now
            lab.api.delete(key, request.get("grace"))
        if key not in missing:
            lines.append(f'{KINDS[key.kind].resource} "{key.name}" deleted')
    return {"lines": lines, "keys": [list(key) for key in keys]}


def deployment_key(target: str, namespace: str) -> Key:
    """The Deployment that `deploy/NAME` (or NAME) means. Raises LabError for another kind."""
    word, slash, name = target.rpartition("/")
    kind = by_any_name(word) if slash else KINDS["Deployment"]
    if kind.name != "Deployment":
        raise LabError(f"{target} is no Deployment", fix=f"tulle lab get deployments -n {namespace}")
    return Key("Deployment", namespace, name)


async def scale(lab: Lab, request: dict[str, Any], *_: Any) -> Any:
    """{target, namespace, replicas} -> {lines}."""
    key = deployment_key(request["target"], request["namespace"])
    lab.api.scale(key, request["replicas"])
    return {"lines": [f"deployment.apps/{key.name} scaled"], "keys": [list(key)]}


async def restart(lab: Lab, request: dict[str, Any], *_: Any) -> Any:
    """{target, namespace} -> {lines}."""
    key = deployment_key(request["target"], request["namespace"])
    lab.api.restart(key)
    return {"lines": [f"deployment.apps/{key.name} restarted"], "keys": [list(key)]}


async def renew(lab: Lab, request: dict[str, Any], *_: Any) -> Any:
    """{targets: [[namespace, deployment]]} -> {renewed: [how many containers of each]}, begun anew in place.

    Of those Deployments' pods, the containers whose program loads plugins: theirs have changed. For lessons; on
    Kubernetes one would have new pods.
    """
    targets = [_deployment(lab, *target)["metadata"]["uid"] for target in request["targets"]]
    counts = dict.fromkeys(targets, 0)

    async def one(owner: str, container: Container) -> None:
        counts[owner] += await container.renew()

    async with trio.open_nursery() as nursery:
        for pod in lab.node.pods.values():
            owner = owner_uid(pod.manifest)
            if owner is not None and owner in counts and not pod.deletion.is_set():
                for container in pod.containers.values():
                    if program_name(container.state.image) in LOADS_PLUGINS:
                        nursery.start_soon(one, owner, container)
    await lab.settled(lab.store.version)  # who asks now whether they are ready is told the truth
    return {"renewed": [counts[target] for target in targets]}


def _deployment(lab: Lab, namespace: str, name: str) -> Object:
    found = lab.store.get("Deployment", namespace, name)
    if found is None:
        raise not_found(Key("Deployment", namespace, name))
    return found
