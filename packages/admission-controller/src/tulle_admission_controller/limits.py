"""The annotation `tulle.dev/proxy-limits`: a proxy's limits of HTTP/1.1 for one pod, "head-bytes=131072, body-rate=0".

Owns what it may say. The table repeats the proxy's own (packages/data-plane's limits.py), of which this package knows
nothing; tests/integration/test_limits_agree.py holds the two together. A value that the proxy would refuse is refused
here, or the pod's proxy would not start.
"""

from __future__ import annotations

from typing import NamedTuple


class LimitsError(ValueError):
    """Limits that cannot be; the message says what would be right."""


class Range(NamedTuple):
    """Of one limit. `whole`: without a fraction."""

    default: float
    low: float
    high: float
    unit: str

    @property
    def whole(self) -> bool:
        """Only seconds have fractions."""
        return self.unit != "seconds"


LIMITS: dict[str, Range] = {
    "request-line-bytes": Range(16384, 256, 1048576, "bytes"),
    "head-bytes": Range(65536, 1024, 1048576, "bytes"),
    "head-fields": Range(100, 10, 1000, "fields"),
    "chunk-extension-bytes": Range(4096, 0, 65536, "bytes"),
    "trailer-bytes": Range(8192, 2, 65536, "bytes"),
    "head-seconds": Range(10, 0.1, 86400, "seconds"),
    "body-rate": Range(100, 0, 100_000_000, "bytes a second"),
    "body-grace-seconds": Range(30, 1, 86400, "seconds"),
    "idle-seconds": Range(600, 0.1, 86400, "seconds"),
    "write-seconds": Range(600, 0.1, 86400, "seconds"),
    "half-closed-seconds": Range(3600, 0.1, 604800, "seconds"),
}


def parse_limits(text: str) -> str:
    """`text` without blanks, as "a=1,b=2"; "" for none. Raises LimitsError."""
    values: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        limit = LIMITS.get(name)
        if not equals or limit is None:
            raise LimitsError(f'"{part}" is not name=value with a name of {", ".join(LIMITS)}')
        if name in values:
            raise LimitsError(f"{name} is there twice")
        if not _fits(value, limit):
            raise LimitsError(f'{name}: "{value}" is not {limit.low:.9g} to {limit.high:.9g} {limit.unit}')
        values[name] = value
    line, head = (float(values.get(name, LIMITS[name].default)) for name in ("request-line-bytes", "head-bytes"))
    if line > head:
        raise LimitsError(f"request-line-bytes ({line:.9g}) is more than head-bytes ({head:.9g}), which it is part of")
    return ",".join(f"{name}={value}" for name, value in values.items())


def variables(limits: str) -> tuple[tuple[str, str], ...]:
    """What `parse_limits` gave, as the proxy's environment."""
    pairs = (part.partition("=") for part in limits.split(",") if part)
    return tuple((f"TULLE_{name.upper().replace('-', '_')}", value) for name, _, value in pairs)


def _fits(text: str, limit: Range) -> bool:
    digits = text if limit.whole else text.replace(".", "", 1)
    return len(text) <= 20 and digits.isascii() and digits.isdigit() and limit.low <= float(text) <= limit.high
