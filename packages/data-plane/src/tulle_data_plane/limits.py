"""The limits of HTTP/1.1 that an operator can change: one table, and how often each has been hit.

Owns names, ranges and what is said of them: settings.py reads and checks by it, README.md's table is held to it by a
test. Refuses to enforce any: wire/ does that for sizes, shell/ for times.
"""

from __future__ import annotations

from typing import NamedTuple

from tulle_data_plane.wire.errors import LIMITS as OF_WIRE
from tulle_data_plane.wire.errors import limit_hits as hits_of_wire


class Limit(NamedTuple):
    """One row. What is at the limit passes."""

    setting: str  # the field of Settings; the variable is TULLE_ and this in capitals
    name: str  # in metrics: limit_hits_total{limit=...}
    reason: str  # in the answer's tulle-reason where there is one, in metrics and in the log
    low: float
    high: float
    unit: str
    what: str

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"TULLE_{self.setting.upper()}"

    def read(self, text: str) -> float:
        """The value in `text`: an int, but for seconds. Raises ValueError that names range and unit."""
        try:
            value = float(text) if self.unit == "seconds" else int(text)
        except ValueError:
            value = -1
        if not self.low <= value <= self.high:
            raise ValueError(f"expected {self.low:.9g} to {self.high:.9g} {self.unit}")
        return value


KIB, DAY = 1 << 10, 86400
LIMITS = (
    Limit("request_line_bytes", "request_line", "uri-too-long", 256, 1024 * KIB, "bytes",
          "the first line of a message, without its CRLF"),
    Limit("head_bytes", "head", "head-too-large", KIB, 1024 * KIB, "bytes",
          "first line, fields and the empty line, with every CRLF"),
    Limit("head_fields", "fields", "too-many-fields", 10, 1000, "fields", "of a head, and of a trailer section"),
    Limit("chunk_extension_bytes", "chunk_extensions", "chunk-extensions-too-large", 0, 64 * KIB, "bytes",
          "the extensions of all chunks of a message together"),
    Limit("trailer_bytes", "trailers", "trailers-too-large", 2, 64 * KIB, "bytes",
          "the trailer section, with its empty line"),
    Limit("head_seconds", "head_seconds", "head-timeout", 0.1, DAY, "seconds",
          "from the first byte of a request's head to its last, if it does not come whole"),
    Limit("body_rate", "body_rate", "body-timeout", 0, 100_000_000, "bytes a second",
          "that a request's body must bring on average, of the time that was spent waiting for it; 0: any rate will "
          "do. No longer asked for once the answer has begun: then it is a conversation"),
    Limit("body_grace_seconds", "", "body-timeout", 1, DAY, "seconds",
          "that a body may be behind that rate"),
    Limit("idle_seconds", "idle_seconds", reason="idle-timeout", low=0.1, high=DAY, unit="seconds",
          what="that nothing comes: of the next request (the connection is closed in order), or of a body whose answer "
          "has not begun (`body-timeout`)"),
    Limit("write_seconds", "write_seconds", "write-timeout", 0.1, DAY, "seconds",
          "that a client takes nothing of its answer"),
    Limit("half_closed_seconds", "half_closed_seconds", "half-closed-timeout", 0.1, 7 * DAY, "seconds",
          "that nothing moves in a tunnel or opaque connection of which one side has ended"),
)  # fmt: skip
BY_NAME = {limit.name: limit for limit in LIMITS if limit.name}

_hits = dict.fromkeys((name for name in BY_NAME if name not in OF_WIRE.values()), 0)


def hit(name: str) -> None:
    """Count that the limit of this name was passed, in this process. Sizes count themselves (wire/errors.py)."""
    _hits[name] += 1


def hits() -> dict[str, float]:
    """The counters, by their names."""
    found = {OF_WIRE[reason]: count for reason, count in hits_of_wire.items()} | _hits
    return {
        f'tulle_proxy_limit_hits_total{{limit="{name}",reason="{BY_NAME[name].reason}"}}': count
        for name, count in found.items()
    }
