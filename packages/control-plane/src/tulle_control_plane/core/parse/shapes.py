"""Reading objects as they arrive: typed shapes, strictly, with errors that give the field's whole path.

Owns the common shapes and how they are read. Unknown fields are other people's and pass (`Shape`), except in routes
and policies, where an unknown field would be a promise not kept (`StrictShape`). `null` is the same as absent.

A shape declares its lists as `Items` and reads them with `many`, item by item: msgspec, asked for a list, says
`ports[...]` where a person needs `ports[2]`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from tulle_plugin_api.config import ConfigError, decode

from tulle_control_plane.core.objects import Labels
from tulle_control_plane.core.ports import PortSet

Port: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=4096)]
Items: TypeAlias = list[Any] | None

# RFC 1123 subdomain, as Kubernetes demands of names; nothing else may reach logs, metrics and route names
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_NAME = 253


class Shape(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Kubernetes' camelCase; fields that are not named are not read."""


class StrictShape(Shape, frozen=True, forbid_unknown_fields=True):
    """A field that is not named is refused."""


class Owner(Shape, frozen=True):
    """An item of metadata.ownerReferences."""

    kind: str
    name: str
    controller: bool | None = None


class Metadata(Shape, frozen=True):
    """What is read of metadata."""

    name: str
    namespace: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    creation_timestamp: str | None = None
    owner_references: Items = None

    def sorted_labels(self, without: frozenset[str] = frozenset()) -> Labels:
        """The labels, in one order."""
        return tuple(sorted((k, v) for k, v in (self.labels or {}).items() if k not in without))

    def ports(self, annotation: str) -> PortSet | None:
        """The ports that an annotation lists; None where it is not there, which differs from an empty one."""
        text = (self.annotations or {}).get(annotation)
        if text is None:
            return None
        try:
            return PortSet.parse(text)
        except ValueError as error:
            raise ConfigError([f"metadata.annotations[{annotation}]: {error}"]) from None

    @property
    def created(self) -> str:
        """RFC 3339, UTC: sorts as text. Empty where unknown."""
        return self.creation_timestamp or ""


T = TypeVar("T")


def read(shape: type[T], data: object, path: str) -> T:
    """`data` as `shape`. Raises ConfigError that names the field from `path` on."""
    return decode(shape, {} if data is None else data, path)


def many(shape: type[T], items: Items, path: str) -> tuple[T, ...]:
    """Each of `items` as `shape`. Raises ConfigError naming the item: `spec.ports[2].port`."""
    return tuple(decode(shape, item, f"{path}[{index}]") for index, item in enumerate(items or ()))


def read_metadata(obj: object) -> Metadata:
    """The metadata of an object, its names checked."""
    metadata = read(Metadata, obj, "metadata")
    check_name(metadata.name, "metadata.name")
    if metadata.namespace:
        check_name(metadata.namespace, "metadata.namespace")
    return metadata


def check_name(value: str, path: str) -> str:
    """`value`, if it is a name (RFC 1123). Raises ConfigError."""
    if len(value) <= _LONGEST_NAME and _NAME.fullmatch(value):
        return value
    raise ConfigError(
        [
            f"{path}: {value[:80]!r} is no name; expected lower-case letters, digits, '-' and '.', "
            "beginning and ending with a letter or digit"
        ]
    )
