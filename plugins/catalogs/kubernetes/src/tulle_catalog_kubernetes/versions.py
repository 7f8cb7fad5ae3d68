"""resourceVersions compared. Pure."""

from __future__ import annotations


def older(one: str, other: str) -> bool:
    """Whether `one` is certainly the older version. Of versions that are no numbers nothing is certain (KEP-5504)."""
    return one.isdecimal() and other.isdecimal() and int(one) < int(other)
