"""One file's text to the objects in it, as plain dicts. Pure.

Owns the two formats and what every object must have: apiVersion, kind, metadata.name. Refuses to know what the kinds
mean; the control plane judges that. A file is good as a whole or refused as a whole.

YAML as Kubernetes reads it: several documents, `List`s unfolded, timestamps left as text. Stricter in one thing: a key
that is there twice is refused, since the one who wrote it meant both.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import yaml

SUFFIXES = (".json", ".yaml", ".yml")
MOST_BYTES = 16 * 1024 * 1024
MOST_NODES = 1_000_000
"""Values in one file, aliases followed: a few lines of YAML can otherwise stand for billions."""

DEFAULT_NAMESPACE = "default"
CLUSTER_KINDS = frozenset({
    "APIService", "CertificateSigningRequest", "ClusterRole", "ClusterRoleBinding", "CSIDriver", "CSINode",
    "CustomResourceDefinition", "FlowSchema", "GatewayClass", "IngressClass", "IPAddress",
    "MutatingWebhookConfiguration", "Namespace", "Node", "PersistentVolume", "PriorityClass",
    "PriorityLevelConfiguration", "RuntimeClass", "ServiceCIDR", "StorageClass", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration", "VolumeAttachment",
})  # fmt: skip

Object: TypeAlias = Mapping[str, Any]


class Key(NamedTuple):
    """Names an object; `group` is its API group."""

    group: str
    kind: str
    namespace: str  # empty for kinds without one
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Unreadable(Exception):
    """A file is refused. The message says where and what would be right."""


def parse(name: str, content: bytes) -> dict[Key, Object]:
    """The objects of a file called `name`, which decides the format. Raises Unreadable."""
    if len(content) > MOST_BYTES:
        raise Unreadable(f"{len(content)} bytes; a manifest has at most {MOST_BYTES}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise Unreadable(f"line {line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8") from None
    found: dict[Key, Object] = {}
    for where, document in _json(text) if name.endswith(".json") else _yaml(text):
        for path, item in _unfolded(document):
            key, obj = _checked(f"{where}{path}", item)
            if key in found:
                raise Unreadable(f"{where}{path}: {key} is in this file twice; keep one")
            found[key] = obj
    return found


def _json(text: str) -> Iterator[tuple[str, Any]]:
    try:
        yield "line 1", json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Unreadable(f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {error}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _yaml(text: str) -> Iterator[tuple[str, Any]]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            document = loader.construct_document(node)
            _count(document)
            if document is not None:
                yield f"line {node.start_mark.line + 1}", document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        context = f" ({error.context})" if error.context else ""
        raise Unreadable(f"{where}not YAML: {error.problem}{context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(f"not YAML: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from None
    finally:
        loader.dispose()


_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    """YAML's safe subset, without timestamps, without double keys."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is there twice; keep one", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
}


def _count(document: Any) -> None:
    waiting, count = [document], 0
    while waiting:
        value = waiting.pop()
        count += 1
        if count > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES} values, aliases followed; write fewer, or split the file")
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _unfolded(document: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(document, Mapping) and document.get("kind") == "List" and isinstance(document.get("items"), list):
        for index, item in enumerate(document["items"]):
            yield f" items[{index}]", item
    else:
        yield "", document


def _checked(where: str, obj: Any) -> tuple[Key, Object]:
    if not isinstance(obj, Mapping):
        raise Unreadable(f"{where}: expected an object with apiVersion, kind and metadata, got {_shown(obj)}")
    for field in ("apiVersion", "kind"):
        if not isinstance(obj.get(field), str) or not obj[field]:
            example = "apps/v1" if field == "apiVersion" else "Service"
            raise Unreadable(f"{where}: {field}: expected text such as {example!r}, got {_shown(obj.get(field))}")
    metadata = obj.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        raise Unreadable(f"{where}: {obj['kind']}: metadata.name: missing; every object has a name")
    namespace = metadata.get("namespace")
    if namespace is not None and not isinstance(namespace, str):
        raise Unreadable(f"{where}: {obj['kind']}: metadata.namespace: expected text, got {_shown(namespace)}")
    cluster = obj["kind"] in CLUSTER_KINDS
    if cluster and namespace:
        raise Unreadable(f"{where}: {obj['kind']}: metadata.namespace: this kind has none; remove the field")
    namespace = "" if cluster else namespace or DEFAULT_NAMESPACE
    if not cluster and metadata.get("namespace") != namespace:
        obj = {**obj, "metadata": {**metadata, "namespace": namespace}}
    return Key(obj["apiVersion"].rpartition("/")[0], obj["kind"], namespace, metadata["name"]), obj


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
