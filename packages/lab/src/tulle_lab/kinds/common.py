"""Tables that many kinds share: metadata, selectors, the downward API. The fields are the Kubernetes API's."""

from __future__ import annotations

from tulle_lab.kinds.schema import (
    DNS_NAME,
    LABEL_VALUE,
    QUALIFIED,
    Check,
    Inert,
    ListOf,
    MapOf,
    Struct,
    Text,
    Unsupported,
    text,
)

_SERVER = Inert("set by the lab")

METADATA = Struct(
    {
        "name": DNS_NAME,
        "generateName": text(),
        "namespace": DNS_NAME,
        "labels": MapOf(LABEL_VALUE, QUALIFIED),
        "annotations": MapOf(text(), QUALIFIED),
        "finalizers": Unsupported("nothing here runs finalizers, so the object could never be deleted"),
        "ownerReferences": _SERVER,
        "uid": _SERVER,
        "resourceVersion": _SERVER,
        "creationTimestamp": _SERVER,
        "generation": _SERVER,
        "managedFields": _SERVER,
        "selfLink": _SERVER,
        "deletionTimestamp": _SERVER,
        "deletionGracePeriodSeconds": _SERVER,
    }
)

TEMPLATE_METADATA = Struct(
    {name: METADATA.fields[name] for name in ("name", "labels", "annotations", "creationTimestamp")}
)

LABEL_SELECTOR = Struct(
    {
        "matchLabels": MapOf(LABEL_VALUE, QUALIFIED),
        "matchExpressions": ListOf(
            Struct(
                {"key": QUALIFIED, "operator": text("In", "NotIn", "Exists", "DoesNotExist"), "values": ListOf(Text())},
                required=("key", "operator"),
            )
        ),
    }
)

HEAD: dict[str, Check] = {
    "apiVersion": text(),
    "kind": text(),
    "metadata": METADATA,
    "status": Inert("status is the lab's to write"),
}
"""What every object has."""


def top(*, required: tuple[str, ...] = (), **fields: Check) -> Struct:
    """An object: HEAD and its own fields."""
    return Struct({**HEAD, **fields}, required=("metadata", *required))


# --- shared by containers, volumes and pods -------------------------------------------------------------------

NO_IMAGES = "there are no image files: a container is a program of this machine"
ONE_NODE = "there is one node"
NO_CGROUPS = "there are no cgroups: nothing is limited or reserved"
NO_SECRETS = Unsupported("it keeps no Secrets; use a ConfigMap")

FIELD_PATHS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "metadata.labels",
    "metadata.annotations",
    "status.podIP",
    "status.podIPs",
    "status.hostIP",
    "status.hostIPs",
    "spec.nodeName",
    "spec.serviceAccountName",
)
FIELD_REF = Struct(
    {
        "apiVersion": text("v1"),
        "fieldPath": Text(
            pattern="|".join(path.replace(".", r"\.") for path in FIELD_PATHS)
            + r"|metadata\.(labels|annotations)\['[^']+'\]",
            means="a field that the downward API has: " + ", ".join(FIELD_PATHS) + ", metadata.labels['x']",
        ),
    },
    required=("fieldPath",),
)
