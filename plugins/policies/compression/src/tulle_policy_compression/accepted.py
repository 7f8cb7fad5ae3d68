"""Does a client take gzip? Accept-Encoding, with its weights (RFC 9110 section 12.5.3). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

# RFC 9110 section 12.4.2: at most three digits after the point
_MEMBER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")
GZIP = frozenset({"gzip", "x-gzip"})
"""Section 8.4.1.3: a recipient should take them for the same."""


def takes_gzip(values: Sequence[str]) -> bool:
    """Whether gzip is acceptable, and no less wanted than no coding at all.

    Without the field anything is acceptable (rule 1), but who does not say that it can unzip mostly cannot. A member
    that cannot be read says nothing.
    """
    return bool(values) and _takes_gzip(", ".join(values))


@lru_cache(maxsize=64)  # clients say one of a few things; bounded, since they may say anything
def _takes_gzip(text: str) -> bool:
    weights: dict[str, float] = {}
    for part in text.split(","):
        member = _MEMBER.fullmatch(part.strip())
        if member is not None:
            name = member[1].lower()
            weights.setdefault("gzip" if name in GZIP else name, float(member[2] or 1))
    gzip = weights.get("gzip", weights.get("*", 0.0))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)
