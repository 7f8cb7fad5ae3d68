"""Blame: which plugin a stack of frames, or a traceback, belongs to.

Owns the map from modules to plugins. What runs at the innermost end is whoever called it: a plugin that gives json a
set is to blame for json's TypeError. Pure but for the map; read when something has gone wrong, never before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import NamedTuple

OURS = "tulle_data_plane"
SURFACE = frozenset(
    f"{OURS}.{name}" for name in ("host", "background", "driver", "strands", "deadlines", "layers.endpoints")
)
"""Modules of ours that plugins call through their Runtime: what goes wrong in there is what they were asked to do."""


class Culprit(NamedTuple):
    """`plugin`, at `where` ("file.py:12 in handle"). `alone`: nothing of the proxy or of trio runs further in."""

    plugin: str
    where: str
    alone: bool


class Blame:
    """Knows which modules are whose."""

    def __init__(self) -> None:
        self._plugins: dict[str, str] = {}

    def learn(self, module: str, plugin: str) -> None:
        """`module` (or package) and all in it belong to `plugin`; so does its top-level package, if nobody has it."""
        self._plugins[module] = plugin
        self._plugins.setdefault(module.partition(".")[0], plugin)

    def plugin(self, module: str) -> str:
        """Whose a module is, or ""."""
        while module:
            if module in self._plugins:
                return self._plugins[module]
            module = module.rpartition(".")[0]
        return ""

    def running(self, frame: FrameType | None) -> Culprit | None:
        """Who runs, by the innermost frame of a stack."""
        return self._judge(_outwards(frame))

    def raised(self, error: BaseException) -> Culprit | None:
        """Whose code an error comes from; of a group, the first one's."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return self._judge(reversed(list(_inwards(error.__traceback__))))

    def _judge(self, frames: Iterable[tuple[FrameType, int]]) -> Culprit | None:
        alone = True
        for frame, line in frames:
            module = frame.f_globals.get("__name__", "")
            plugin = self.plugin(module)
            if plugin:
                return Culprit(plugin, _where(frame, line), alone)
            if module.startswith(OURS):
                if module not in SURFACE:
                    return None
                alone = False
            elif module.partition(".")[0] == "trio":
                alone = False
        return None


def _outwards(frame: FrameType | None) -> Iterator[tuple[FrameType, int]]:
    while frame is not None:
        yield frame, frame.f_lineno
        frame = frame.f_back


def _inwards(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _where(frame: FrameType, line: int) -> str:
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{line} in {frame.f_code.co_name}"
