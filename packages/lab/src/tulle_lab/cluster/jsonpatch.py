"""JSON Patch (RFC 6902), with which admission webhooks answer. Pure: document and operations in, new document out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any


class BadPatch(ValueError):
    """An operation that cannot be applied; names it."""


def apply(document: Any, operations: Sequence[Any]) -> Any:
    """The document after all operations. Raises BadPatch, and then nothing was changed."""
    result = copy.deepcopy(document)
    for index, operation in enumerate(operations):
        try:
            result = _apply_one(result, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise BadPatch(f"operation {index} ({operation!r}): {error}") from error
    return result


def _apply_one(document: Any, operation: Any) -> Any:
    path = _tokens(operation["path"])
    match operation["op"]:
        case "add":
            return _add(document, path, copy.deepcopy(operation["value"]))
        case "remove":
            return _remove(document, path)[0]
        case "replace":
            _read(document, path)
            return _add(_remove(document, path)[0] if path else document, path, copy.deepcopy(operation["value"]))
        case "test":
            if _read(document, path) != operation["value"]:
                raise ValueError(f"test failed at {operation['path']}")
            return document
        case "copy":
            return _add(document, path, copy.deepcopy(_read(document, _tokens(operation["from"]))))
        case "move":
            document, value = _remove(document, _tokens(operation["from"]))
            return _add(document, path, value)
    raise ValueError(f"unknown op {operation['op']!r}")


def _tokens(pointer: str) -> list[str]:
    """JSON Pointer (RFC 6901 section 4: ~1 before ~0)."""
    if pointer == "":
        return []
    if not pointer.startswith("/"):
        raise ValueError(f"a path starts with '/': {pointer!r}")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def _index(token: str, length: int) -> int:
    if not (token == "0" or (token.isascii() and token.isdigit() and token[0] != "0")) or int(token) > length:
        raise IndexError(f"no element {token!r} in a list of {length}")
    return int(token)


def _read(document: Any, path: list[str]) -> Any:
    for token in path:
        document = document[_index(token, len(document) - 1)] if isinstance(document, list) else document[token]
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _read(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(last, len(parent)), value)
    else:
        parent[last] = value
    return document


def _remove(document: Any, path: list[str]) -> tuple[Any, Any]:
    if not path:
        raise ValueError("the whole document cannot be removed")
    parent, last = _read(document, path[:-1]), path[-1]
    return document, parent.pop(_index(last, len(parent) - 1) if isinstance(parent, list) else last)
