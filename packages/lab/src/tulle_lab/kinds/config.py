"""Namespace, ServiceAccount and ConfigMap (core/v1), and MeshPolicy (tulle.dev/v1alpha1): tables."""

from __future__ import annotations

from tulle_lab.kinds.common import METADATA, top
from tulle_lab.kinds.schema import (
    DNS_NAME,
    Inert,
    ListOf,
    MapOf,
    Problems,
    Shape,
    Struct,
    Text,
    Unsupported,
    anything,
    boolean,
    text,
)

_KEY = Text(pattern=r"[-._a-zA-Z0-9]+", means="a key (letters, digits, '-', '_', '.'; it becomes a file name)")

NAMESPACE = Shape(top(spec=Struct({"finalizers": Inert("a Namespace goes when its objects are gone")})))
SERVICE_ACCOUNT = Shape(
    top(
        automountServiceAccountToken=boolean,
        imagePullSecrets=Inert("there are no image files"),
        secrets=Inert("tokens are projected, never stored"),
    )
)
CONFIG_MAP = Shape(
    top(
        data=MapOf(text(), _KEY),
        binaryData=Unsupported("use data"),
        immutable=boolean,
    )
)


def _target(value: object, path: str, problems: Problems) -> None:
    Struct(
        {"group": text(), "kind": text(), "name": DNS_NAME, "namespace": DNS_NAME, "sectionName": text()},
        required=("kind",),
    )(value, path, problems)


MESH_POLICY = Shape(
    top(
        required=("spec",),
        # what `config` may hold is the plugin's business: the admission controller asks it
        spec=Struct({"targetRef": _target, "type": text(), "config": anything}, required=("targetRef", "type")),
    )
)

__all__ = ["CONFIG_MAP", "MESH_POLICY", "METADATA", "NAMESPACE", "SERVICE_ACCOUNT", "ListOf"]
