"""The proxy's log: JSON lines on stderr, one event a line.

Owns the format. Uses the standard `logging`, so that libraries' messages come out the same way.
"""

from __future__ import annotations

import logging
import select
import sys
import time
from typing import Any

import msgspec

_encode = msgspec.json.encode
log = logging.getLogger("tulle.proxy")


class JsonLines(logging.Formatter):
    """{"time", "level", "message", ...}: whatever is given as `extra={"fields": {...}}` is added."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; control characters are escaped by JSON, so nobody can forge a line."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _encode(line).decode()


class Unblocked(logging.StreamHandler[Any]):
    """Writes a line only when it would not wait for its reader: a stuck log must not stall the proxy."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.dropped = 0
        self._poll = select.poll()
        self._poll.register(stream.fileno(), select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        """Write, or count as dropped."""
        if self._poll.poll(0):
            super().emit(record)
        else:
            self.dropped += 1


def set_up(level: str) -> None:
    """Send everything to stderr at `level` ("debug", "info", "warning", "error")."""
    handler = Unblocked(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    log.setLevel(level.upper())


def say(level: int, message: str, **fields: Any) -> None:
    """Log one event with fields."""
    if log.isEnabledFor(level):
        log.log(level, message, extra={"fields": fields})
