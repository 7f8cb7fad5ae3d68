"""How far apart two versions of Tulle may be: one minor, either way. Values in, words out.

Control plane and proxies are never replaced at the same moment: a pod keeps the proxy that it was made with. What they
say to each other is kept compatible from one minor version to the next (`scripts/proto --check`, tests/integration/
test_skew.py), and not further, so that a field may be taken out of the protocol two versions after its last use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

ALLOWED = 1
"""Minor versions between a control plane and a proxy, or between what is installed and what it is upgraded to."""
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")  # what follows (a pre-release, a build) says nothing about protocols


class Version(NamedTuple):
    """A version, as semver has them; ordered."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def read(text: str) -> Version | None:
    """The version in "0.1.0" or "v0.1.0-rc.1"; None for text that is none ("unknown", "")."""
    found = _VERSION.match(text.removeprefix("v"))
    return Version(int(found[1]), int(found[2]), int(found[3])) if found else None


def too_far(one: Version, other: Version) -> bool:
    """Whether the two may not meet. Another major version is always too far."""
    return one.major != other.major or abs(one.minor - other.minor) > ALLOWED


def next_step(installed: Version, wanted: Version) -> str:
    """On the way from `installed` to `wanted`, the furthest that one upgrade may go: "0.2"."""
    if installed.major != wanted.major:
        return f"the last minor version of {installed.major}"
    return f"{installed.major}.{installed.minor + (ALLOWED if wanted > installed else -ALLOWED)}"


class Judged(NamedTuple):
    """Proxies that are not of the control plane's version: (name, version), by how far they are from it."""

    near: list[tuple[str, str]]
    far: list[tuple[str, str]]
    unknown: list[tuple[str, str]]


def judge(control_plane: str, proxies: Iterable[tuple[str, str]]) -> Judged:
    """`proxies`: (name, version). Those of the same minor version are as good as the same, and in none of the lists."""
    own, found = read(control_plane), Judged([], [], [])
    for name, version in sorted(proxies):
        theirs = read(version)
        if own is None or theirs is None:
            if version != control_plane:
                found.unknown.append((name, version or "unknown"))
        elif too_far(own, theirs):
            found.far.append((name, version))
        elif own[:2] != theirs[:2]:
            found.near.append((name, version))
    return found


def listed(found: list[tuple[str, str]], most: int = 10) -> str:
    """A line each, the first `most` of them."""
    lines = [f"{name} is {version}" for name, version in found[:most]]
    return "\n".join(lines + ([f"and {len(found) - most} more"] if len(found) > most else []))
