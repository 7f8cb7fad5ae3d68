"""Reads manifests: YAML or JSON text to validated objects, or one Invalid with every problem in it.

Owns the refusal: a file is taken whole or not at all. Pure: text in, objects out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from tulle_lab.cluster.objects import Object
from tulle_lab.errors import Invalid
from tulle_lab.kinds.registry import KINDS, kind_problem
from tulle_lab.kinds.schema import Problems


@dataclass(frozen=True)
class Source:
    """A file, or standard input, as text."""

    name: str
    text: str


def read(sources: Iterable[Source], namespace: str = "default") -> list[Object]:
    """Objects of all sources in the order of KINDS; those without a namespace get `namespace`. Raises Invalid."""
    problems: list[str] = []
    objects: list[Object] = []
    for source in sources:
        for where, document in _documents(source, problems):
            found = validate(document)
            problems += [f"{where}{problem}" for problem in found]
            if not found:
                if KINDS[document["kind"]].namespaced:
                    document["metadata"].setdefault("namespace", namespace)
                objects.append(document)
    _duplicates(objects, problems)
    if problems:
        raise Invalid("refused, nothing was changed", problems)
    order = list(KINDS)
    return sorted(objects, key=lambda obj: order.index(obj["kind"]))


def validate(obj: Any) -> list[str]:
    """What is wrong with one object, each problem with its path; empty when it is good."""
    if not isinstance(obj, dict):
        return [f"expected an object with apiVersion, kind and metadata, got {obj!r}"]
    if problem := kind_problem(obj.get("apiVersion"), obj.get("kind")):
        return [problem]
    shape = KINDS[obj["kind"]].shape
    problems = Problems()
    shape.struct(obj, "", problems)
    if not problems and not obj["metadata"].get("name"):
        problems.add("metadata.name", "required, and missing")
    if not problems:
        for rule in shape.rules:
            rule(obj, problems)
    return problems


def _documents(source: Source, problems: list[str]) -> Iterable[tuple[str, Any]]:
    """Each document with the words that say where it is."""
    try:
        documents = [json.loads(source.text)] if source.text.lstrip().startswith("{") else list(_yaml(source.text))
    except (yaml.YAMLError, ValueError) as error:
        problems.append(f"{source.name}: not YAML: {' '.join(str(error).split())}")
        return
    for document in documents:
        if document is None:
            continue
        if isinstance(document, dict) and document.get("kind") == "List":
            items = document.get("items") or []
        else:
            items = [document]
        for item in items:
            name = f"{item.get('kind')} {(item.get('metadata') or {}).get('name')}: " if isinstance(item, dict) else ""
            yield f"{source.name}: {name}", item


class _Loader(yaml.SafeLoader):
    """YAML in which a key that is there twice is an error, and dates are text, as Kubernetes reads it."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, str) and key != "<<" and key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", key_node.start_mark)
        if isinstance(key, str):
            seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: str(node.value))


def _yaml(text: str) -> Iterable[Any]:
    return yaml.load_all(text, Loader=_Loader)


def _duplicates(objects: list[Object], problems: list[str]) -> None:
    seen: set[tuple[str, str, str]] = set()
    for obj in objects:
        key = (obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        if key in seen:
            problems.append(f"{key[0]} {key[2]}: described twice; remove one of them")
        seen.add(key)
