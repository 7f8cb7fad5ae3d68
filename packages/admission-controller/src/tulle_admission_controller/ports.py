"""Port lists as people write them in annotations: `25,587,8000-8100`. Parsing and rendering only."""

from __future__ import annotations

PortRange = tuple[int, int]
"""First and last port, both included; a single port is a range of one."""

EXAMPLE = 'write ports from 1 to 65535 and ranges, like "25,8000-8100"'


class PortsError(ValueError):
    """A port list that cannot be read; the message says which part and what would be right."""


def parse_ports(text: str) -> list[PortRange]:
    """Reads a comma list of ports and ranges; blanks around the parts are allowed, empty text is no ports."""
    if not text.strip():
        return []
    return [_range(part.strip()) for part in text.split(",")]


def render_ports(ranges: list[PortRange]) -> str:
    """The list in the form that every program of ours reads: no blanks, single ports without a dash."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def _range(part: str) -> PortRange:
    first, dash, last = part.partition("-")
    low = _port(first.strip(), part)
    high = _port(last.strip(), part) if dash else low
    if low > high:
        raise PortsError(f'"{part}" ends before it starts; {EXAMPLE}')
    return low, high


def _port(digits: str, part: str) -> int:
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 5 or not 1 <= int(digits) <= 65535:
        raise PortsError(f'"{part}" is not a port or a range; {EXAMPLE}')
    return int(digits)
