"""Kubernetes quantities for the proxy's CPU and memory: `100m`, `0.5`, `48Mi`. Reading and judging only.

Grammar: k8s.io/apimachinery/pkg/api/resource, Quantity. The value is a float, which is exact enough to compare a
request with a limit; Kubernetes itself computes with exact integers.
"""

from __future__ import annotations

import re

_NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d{1,2}|[numkMGTPE]|[KMGTPE]i|)", re.ASCII)
_FACTORS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_FACTORS |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", start=1)}


class QuantityError(ValueError):
    """A quantity that cannot be read or makes no sense; the message says what would be right."""


def parse_quantity(text: str) -> float:
    """The value in cores or bytes. Raises QuantityError."""
    match = _NUMBER.fullmatch(text) if len(text) <= 32 else None
    if match is None:
        raise QuantityError(f'"{text}" is not a Kubernetes quantity; write one like "100m" or "64Mi"')
    number, suffix = match.groups()
    if suffix[-1:].isdigit():  # an exponent; "E" alone is exa, "Ei" exbi
        return float(number) * 10.0 ** int(suffix[1:])
    return float(number) * _FACTORS[suffix]


def check_cpu(text: str) -> float:
    """Cores, at least one thousandth (Kubernetes rounds finer ones up)."""
    cores = parse_quantity(text)
    if cores < 0.001:
        raise QuantityError(f'"{text}" of CPU is less than "1m", the smallest share that Kubernetes knows')
    if cores > 1024:
        raise QuantityError(f'"{text}" is {cores:.0f} cores of CPU; for a tenth of a core write "100m"')
    return cores


def check_memory(text: str) -> float:
    """Bytes, at least 1 MiB: less is always a slip of the suffix ("64m" is a fifteenth of one byte)."""
    size = parse_quantity(text)
    if size < 1024**2:
        raise QuantityError(f'"{text}" of memory is {size:g} bytes; for 64 MiB write "64Mi"')
    return size
