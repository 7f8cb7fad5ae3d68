"""JSON Patch (RFC 6902), `add` only, and JSON Pointer (RFC 6901): how an injection is written and applied.

`PatchBuilder` writes operations against a document and creates missing parents; `apply_adds` applies them to a
new document. Knows nothing of pods. Never changes what it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Operation = dict[str, Any]
"""`{"op": "add", "path": <JSON Pointer>, "value": ...}`."""


class PatchError(ValueError):
    """A patch that cannot be applied to the document, with the operation's path and the reason."""


def pointer(*tokens: str | int) -> str:
    """The JSON Pointer of a path: `~` becomes `~0` and `/` becomes `~1` (RFC 6901 section 3)."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


def parse_pointer(path: str) -> list[str]:
    """The reverse of `pointer`. Raises PatchError for a pointer that RFC 6901 does not allow."""
    if path == "":
        return []
    if not path.startswith("/"):
        raise PatchError(f"{path!r}: a JSON Pointer is empty or starts with '/'")
    tokens = path[1:].split("/")
    for token in tokens:
        if "~" in token.replace("~0", "").replace("~1", ""):
            raise PatchError(f"{path!r}: '~' is followed by 0 or 1 only")
    # ~1 first: "~01" is the key "~1", not "/" (RFC 6901 section 4)
    return [token.replace("~1", "/").replace("~0", "~") for token in tokens]


def add(path: str, value: Any) -> Operation:
    """One `add` operation (RFC 6902 section 4.1)."""
    return {"op": "add", "path": path, "value": value}


class PatchBuilder:
    """Collects `add` operations for one document; later ones count on earlier ones.

    Never replaces what is there: an array is only inserted into, an object's existing member is left alone.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document: Any = document
        self.operations: list[Operation] = []

    def member(self, path: Sequence[str], value: Any) -> None:
        """Sets an object's member unless it is there; parents that are missing (or null) become objects."""
        for depth in range(1, len(path)):
            self._ensure(path[:depth], {})
        self._ensure(path, value)

    def insert(self, path: Sequence[str], index: int | None, value: Any) -> None:
        """Inserts into an array before `index`, or at its end for None; makes the array when missing or null."""
        for depth in range(1, len(path)):
            self._ensure(path[:depth], {})
        self._ensure(path, [])
        self._emit(pointer(*path, "-" if index is None else index), value)

    def _ensure(self, path: Sequence[str], value: Any) -> None:
        node = self.document
        for token in path:
            node = node.get(token)
            if node is None:
                self._emit(pointer(*path), value)
                return

    def _emit(self, path: str, value: Any) -> None:
        operation = add(path, value)
        self.document = apply_adds(self.document, [operation])
        self.operations.append(operation)


def apply_adds(document: Any, operations: Iterable[Operation]) -> Any:
    """A new document with the `add` operations applied; raises PatchError and changes nothing otherwise.

    Only the containers along each path are copied; the rest is shared with the original, which stays as it was.
    """
    for operation in operations:
        if operation.get("op") != "add" or "value" not in operation:
            raise PatchError(f"{operation!r}: only operations {{op: add, path, value}} are known")
        path = operation["path"]
        document = _added(document, parse_pointer(path), operation["value"], path)
    return document


def _added(node: Any, tokens: list[str], value: Any, path: str) -> Any:
    if not tokens:
        return value
    token, rest = tokens[0], tokens[1:]
    if isinstance(node, Mapping):
        if rest and token not in node:
            raise PatchError(f"{path!r}: there is no {token!r} to add to")
        return {**node, token: _added(node[token], rest, value, path) if rest else value}
    if isinstance(node, list):
        if rest:
            index = _index(token, len(node) - 1, path)
            return [*node[:index], _added(node[index], rest, value, path), *node[index + 1 :]]
        index = len(node) if token == "-" else _index(token, len(node), path)
        return [*node[:index], value, *node[index:]]
    raise PatchError(f"{path!r}: {token!r} is looked for in a {type(node).__name__}, which has no members")


def _index(token: str, largest: int, path: str) -> int:
    # digits without leading zeros (RFC 6901 section 4), at most the array's length (RFC 6902 section 4.1)
    if not (token.isascii() and token.isdigit()) or (token != "0" and token.startswith("0")):
        raise PatchError(f"{path!r}: {token!r} is not an array index")
    if len(token) > 9 or int(token) > largest:
        raise PatchError(f"{path!r}: index {token} is beyond the array")
    return int(token)
