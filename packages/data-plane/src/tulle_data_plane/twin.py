"""Twins: a copy of a handler and of all that is within it, with something put around the parts that are looked at.

Owns the copying. A request that is to be accounted for goes through a twin of the handlers that serve everybody else;
those are not touched and pay nothing, not even the question whether somebody looks.

A handler is a closure over the next one. Its twin is the same code over the same cells, but for the cell that holds the
next handler: there it has that one's twin. What a policy remembers (a budget, a limiter's tokens, a breaker's state) is
in the cells that both share, so that a request through the twin spends and learns as any other does.

Fine here: a policy whose handler is a method of an object is twinned by a shallow copy of that object, whose plain
numbers then go apart; and where `next` is kept still further away, what is within is not seen. The mesh's own are
closures, and a test holds them to it. A production mesh asks in each layer whether somebody looks, and pays for it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from types import CellType, FunctionType, MethodType
from typing import Any

Function = Callable[..., Any]


class Twins:
    """Makes the twins of one request's handlers. Each part is copied once, however many lead to it."""

    def __init__(
        self,
        around: Callable[[Function, Function], Function | None],
        instead: Callable[[object, str], object],
        copied: Callable[[str], bool],
    ) -> None:
        """`around(original, twin)`: what is put around a part, None for those that are of no interest.

        `instead(value, module)`: what a copy has instead of anything that is no function, and is held by a function of
        that module; the value itself where it may stay.
        `copied(module)`: whether functions of that module are gone into.
        """
        self._around, self._instead, self._copied = around, instead, copied
        self._made: dict[int, tuple[Function, Function]] = {}  # the original is kept: ids are used again

    def of(self, function: Function) -> Function:
        """The twin of a handler; the handler itself where there is nothing to be seen in it."""
        known = self._made.get(id(function))
        if known is not None:
            return known[1]
        self._made[id(function)] = function, function  # what holds itself is not gone into a second time
        inner = self._copy(function)
        made = self._around(function, inner) or inner
        self._made[id(function)] = function, made
        return made

    def _copy(self, function: Function) -> Function:
        if isinstance(function, FunctionType):
            return self._of_closure(function)
        if isinstance(function, MethodType):
            owner = self._of_object(function.__self__)
            return function if owner is function.__self__ else MethodType(function.__func__, owner)
        found: Function = self._of_object(function)
        return found

    def _of_closure(self, function: FunctionType) -> Function:
        if not function.__closure__ or not self._copied(function.__module__ or ""):
            return function
        cells, changed = [], False
        for cell in function.__closure__:
            try:
                before = cell.cell_contents
            except ValueError:  # not bound yet
                cells.append(cell)
                continue
            after = self._value(before, function.__module__ or "")
            cells.append(cell if after is before else CellType(after))
            changed = changed or after is not before
        if not changed:
            return function
        twin = FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, tuple(cells)
        )
        twin.__kwdefaults__, twin.__qualname__ = function.__kwdefaults__, function.__qualname__
        twin.__module__ = function.__module__
        return twin

    def _of_object(self, owner: Any) -> Any:
        if not self._copied(type(owner).__module__) or not hasattr(owner, "__dict__"):
            return owner
        module = type(owner).__module__
        changed = {
            name: after for name, before in vars(owner).items() if (after := self._value(before, module)) is not before
        }
        if not changed:
            return owner
        twin = copy.copy(owner)
        vars(twin).update(changed)
        return twin

    def _value(self, value: object, module: str) -> object:
        if isinstance(value, FunctionType):
            return self.of(value)
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], FunctionType):
            return Chosen(value, self.of)  # thousands of rules, of which one is taken
        return self._instead(value, module)


class Chosen(Sequence[Any]):
    """Handlers, each of which is twinned when it is taken."""

    def __init__(self, handlers: Sequence[Function], twin: Callable[[Function], Function]) -> None:
        self._handlers, self._twin = handlers, twin
        self.taken: int | None = None  # the last one's index

    def __getitem__(self, number: Any) -> Any:
        self.taken = number
        return self._twin(self._handlers[number])

    def __len__(self) -> int:
        return len(self._handlers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._handlers)
