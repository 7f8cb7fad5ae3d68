"""Volumes of a pod: their table (core/v1 Volume)."""

from __future__ import annotations

from tulle_lab.kinds.common import FIELD_REF, NO_CGROUPS, NO_IMAGES, NO_SECRETS
from tulle_lab.kinds.schema import (
    DNS_LABEL,
    DNS_NAME,
    PATH,
    Check,
    Inert,
    Integer,
    ListOf,
    Struct,
    Unsupported,
    boolean,
    text,
)

_ITEMS = ListOf(Struct({"key": text(), "path": text(), "mode": Integer(0, 0o777)}, required=("key", "path")))
_DOWNWARD_ITEMS = ListOf(
    Struct(
        {
            "path": text(),
            "fieldRef": FIELD_REF,
            "resourceFieldRef": Unsupported(NO_CGROUPS),
            "mode": Integer(0, 0o777),
        },
        required=("path",),
    )
)
_CONFIG_MAP: dict[str, Check] = {"name": DNS_NAME, "items": _ITEMS, "optional": boolean}
_NO_STORAGE = Unsupported("volumes are emptyDir, configMap, downwardAPI, projected and hostPath")

VOLUME_SOURCES: dict[str, Check] = {
    "emptyDir": Struct(
        {"medium": text("", "Memory"), "sizeLimit": Inert("not enforced; it is memory, as long as the lab lives")}
    ),
    "configMap": Struct({**_CONFIG_MAP, "defaultMode": Integer(0, 0o777)}, required=("name",)),
    "downwardAPI": Struct({"items": _DOWNWARD_ITEMS, "defaultMode": Integer(0, 0o777)}),
    "projected": Struct(
        {
            "defaultMode": Integer(0, 0o777),
            "sources": ListOf(
                Struct(
                    {
                        "configMap": Struct(_CONFIG_MAP, required=("name",)),
                        "downwardAPI": Struct({"items": _DOWNWARD_ITEMS}),
                        "serviceAccountToken": Struct(
                            {"audience": text(), "expirationSeconds": Integer(600), "path": text()}, required=("path",)
                        ),
                        "secret": NO_SECRETS,
                        "clusterTrustBundle": Unsupported("it has no ClusterTrustBundles"),
                    },
                    one_of=("configMap", "downwardAPI", "serviceAccountToken", "secret", "clusterTrustBundle"),
                )
            ),
        }
    ),
    "hostPath": Struct(
        {"path": PATH, "type": text("", "Directory", "File", "DirectoryOrCreate", "FileOrCreate", "Socket")},
        required=("path",),
    ),
    "secret": NO_SECRETS,
    "persistentVolumeClaim": _NO_STORAGE,
    "ephemeral": _NO_STORAGE,
    "csi": _NO_STORAGE,
    "nfs": _NO_STORAGE,
    "image": Unsupported(NO_IMAGES),
}
VOLUME = Struct({"name": DNS_LABEL, **VOLUME_SOURCES}, required=("name",), one_of=tuple(VOLUME_SOURCES))
