"""Sets of ports as people write them in annotations and variables: "25,587,4190-4191".

Owns that notation. Refuses to know what the ports are for.
"""

from __future__ import annotations

from dataclasses import dataclass

LOWEST, HIGHEST = 1, 65535


@dataclass(frozen=True, slots=True)
class PortSet:
    """Ports, as inclusive ranges. `80 in ports`."""

    ranges: tuple[tuple[int, int], ...] = ()

    def __contains__(self, port: int) -> bool:
        return any(low <= port <= high for low, high in self.ranges)

    @classmethod
    def parse(cls, text: str) -> PortSet:
        """Commas and ranges, spaces allowed; "" is no port. Raises ValueError naming the part that is wrong."""
        return cls(tuple(_range(part.strip()) for part in text.split(",") if part.strip()))


def _range(part: str) -> tuple[int, int]:
    low, dash, high = part.partition("-")
    try:
        first = _port(low)
        last = _port(high) if dash else first
    except ValueError:
        raise ValueError(
            f"{part!r} is no port; expected a comma list of ports (1-65535) and ranges such as 25,4190-4191"
        ) from None
    if first > last:
        raise ValueError(f"{part!r} is a range that runs backwards; write {last}-{first}")
    return first, last


def _port(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        raise ValueError(text)
    port = int(text)
    if not LOWEST <= port <= HIGHEST:
        raise ValueError(text)
    return port
