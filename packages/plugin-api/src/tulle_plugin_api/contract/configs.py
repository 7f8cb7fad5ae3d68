"""Finds its way through a configuration's type: where an unknown field could stand.

Owns the walk over an example and its type side by side. Mappings with free keys have no unknown fields, objects have.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tulle_plugin_api.protocols import Config

UNKNOWN = "no_such_field"


def with_an_unknown_field(kind: type[Config], example: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Copies of `example`, each with an unknown field in another object; and that object's path: "", ".match[0]"."""
    for steps in _objects(msgspec.inspect.type_info(kind), example, ()):
        changed: Any = copy.deepcopy(dict(example))
        place = changed
        for step in steps:
            place = place[step]
        place[UNKNOWN] = 1
        yield "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps), changed


def fields(kind: type[Config]) -> dict[str, Any]:
    """The fields' types, by the name that stands in YAML."""
    info: Any = msgspec.inspect.type_info(kind)
    return {field.encode_name: field.type for field in info.fields}


def _objects(info: Any, value: Any, steps: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(info, msgspec.inspect.UnionType):
        for one in info.types:
            yield from _objects(one, value, steps)
    elif isinstance(info, msgspec.inspect.StructType) and isinstance(value, Mapping):
        yield steps
        for field in info.fields:
            if field.encode_name in value:
                yield from _objects(field.type, value[field.encode_name], (*steps, field.encode_name))
    elif isinstance(value, Mapping) and hasattr(info, "value_type"):
        for key, item in value.items():
            yield from _objects(info.value_type, item, (*steps, key))
    elif isinstance(value, list) and hasattr(info, "item_type"):
        for index, item in enumerate(value):
            yield from _objects(info.item_type, item, (*steps, index))
