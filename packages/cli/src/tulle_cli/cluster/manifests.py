"""What is installed: deploy/ of the repository, which a wheel carries along, as one list of objects.

Owns finding it, reading it as kustomize does (resources, patches by path, replicas: what our overlays use, and nothing
else; a test compares with `kubectl kustomize`), and the few settings of `tulle install`. Pure but for reading files.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from tulle_cli.errors import CliError

Object: TypeAlias = dict[str, Any]

_KNOWN = {"resources", "labels", "replicas", "patches"}
_FIRST = ("Namespace", "CustomResourceDefinition")
_LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
"""A webhook that is registered before anybody answers it would only be in the way."""


def folder() -> Path:
    """deploy/: in the wheel, else in the repository. Raises CliError."""
    here = Path(__file__).resolve()
    for candidate in (here.parents[1] / "deploy", here.parents[5] / "deploy"):
        if (candidate / "base" / "kustomization.yaml").is_file():
            return candidate
    raise CliError("the manifests are not there", "this tulle-cli was packaged without deploy/", "install it anew")


def rendered(overlay: str, *, registry: str = "", settings: Mapping[str, str] | None = None) -> list[Object]:
    """All objects, in the order of their making. Raises CliError for a setting that no program has."""
    objects = _kustomized(folder() / "overlays" / overlay)
    for each in objects:
        if each["kind"] == "Deployment":
            _with_registry(each, registry)
    for variable, value in (settings or {}).items():
        _set(objects, variable, value)
    return sorted(objects, key=_rank)


def _rank(each: Object) -> int:
    kind = each["kind"]
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST) + (kind in _LAST)


def _kustomized(path: Path) -> list[Object]:
    kustomization = yaml.safe_load((path / "kustomization.yaml").read_text())
    unknown = kustomization.keys() - _KNOWN
    assert not unknown, f"{path}: kustomization uses {unknown}; teach manifests.py"
    objects = [each for name in kustomization["resources"] for each in _resource((path / name).resolve())]
    for pairs in kustomization.get("labels", ()):
        for each in objects:
            each["metadata"]["labels"] = {**each["metadata"].get("labels", {}), **pairs["pairs"]}
    for replicas in kustomization.get("replicas", ()):
        _find(objects, "Deployment", replicas["name"])["spec"]["replicas"] = replicas["count"]
    for patch in kustomization.get("patches", ()):
        given = yaml.safe_load((path / patch["path"]).read_text())
        _merge(_find(objects, given["kind"], given["metadata"]["name"]), given)
    return objects


def _resource(path: Path) -> Iterator[Object]:
    if path.is_dir():
        yield from _kustomized(path)
    else:  # copied, since YAML's anchors make one object of what are several
        yield from (copy.deepcopy(each) for each in yaml.safe_load_all(path.read_text()))


def _find(objects: list[Object], kind: str, name: str) -> Object:
    return next(each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name)


def _merge(into: Object, given: Mapping[str, Any]) -> None:
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _with_registry(deployment: Object, registry: str) -> None:
    """Prefix our images, those that the webhook injects too."""
    if not registry:
        return
    prefix = registry.rstrip("/") + "/"
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        container["image"] = prefix + container["image"]
        for variable in container.get("env", ()):
            if variable["name"] in ("TULLE_INIT_IMAGE", "TULLE_PROXY_IMAGE"):
                variable["value"] = prefix + variable["value"]


def _set(objects: list[Object], variable: str, value: str) -> None:
    """Set an environment variable of the program that has it."""
    from tulle_admission_controller.config import SETTINGS, ConfigError, load

    if variable not in {row[0] for row in SETTINGS}:
        raise CliError(
            f"--set {variable}: the admission controller has no such setting",
            "its settings are the defaults of every injected proxy",
            "tulle-admission-controller --help lists them",
        )
    try:
        load([], {variable: value})
    except ConfigError as error:
        raise CliError(f"--set {variable}={value} cannot be", str(error)) from None
    deployment = _find(objects, "Deployment", "tulle-admission-controller")
    environment = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    environment[:] = [each for each in environment if each["name"] != variable] + [{"name": variable, "value": value}]
