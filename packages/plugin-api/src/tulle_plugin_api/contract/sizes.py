"""How much memory something keeps alive: for "bounded, whatever clients send".

Owns the walk over what is reachable. Modules, classes, and a function's globals are everybody's and not counted.
"""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Iterable

_SHARED = (type, types.ModuleType, types.CodeType, types.BuiltinFunctionType, types.FrameType)


def reachable_bytes(root: object, ignore: Iterable[object] = ()) -> int:
    """Bytes of everything that `root` keeps alive, itself included; not what `ignore` is or holds."""
    return sum(map(sys.getsizeof, reachable(root, ignore)))


def reachable(root: object, ignore: Iterable[object] = ()) -> list[object]:
    """All objects that `root` refers to, directly or not, itself included."""
    seen = {id(vars(module)) for module in list(sys.modules.values()) if isinstance(module, types.ModuleType)}
    seen |= {id(thing) for thing in ignore}
    found, todo = [], [root]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, _SHARED):
            continue
        seen.add(id(thing))
        found.append(thing)
        if isinstance(thing, types.FunctionType):
            todo += [thing.__closure__, thing.__defaults__, thing.__dict__]
        else:
            todo += gc.get_referents(thing)
    return found
