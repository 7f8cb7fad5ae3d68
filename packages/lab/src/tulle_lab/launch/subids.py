"""Which user ids an unprivileged user may give to the lab: /etc/subuid and /etc/subgid (subuid(5)).

Pure. Owns the parsing and the choice of a range. Refuses to apply it (newuidmap does).
"""

from __future__ import annotations

from dataclasses import dataclass

NEEDED = 65536
"""As many as Debian gives a new user: containers may then run as nobody (65534)."""


@dataclass(frozen=True)
class Range:
    """`count` host ids from `start`."""

    start: int
    count: int


def largest(text: str, user: str, uid: int) -> Range | None:
    """The user's largest range in a subuid or subgid file; lines name the user or the uid. None: there is none."""
    ranges = []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] in (user, str(uid)) and fields[1].isdigit() and fields[2].isdigit():
            ranges.append(Range(int(fields[1]), int(fields[2])))
    return max(ranges, key=lambda found: found.count, default=None)


def mapping(own: int, found: Range) -> list[str]:
    """Arguments of newuidmap: the user becomes 0, the range becomes 1 and up."""
    return ["0", str(own), "1", "1", str(found.start), str(found.count)]
