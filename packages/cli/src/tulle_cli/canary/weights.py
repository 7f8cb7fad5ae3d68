"""A rule's backendRefs with a share of a Service's part moved to another Service. Pure.

Owns the arithmetic of weights (Gateway API, HTTPBackendRef.weight: a share is weight / sum of weights), so that
backends that have nothing to do with a canary keep their share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

Ref = dict[str, Any]
MOST = 1_000_000
"""The largest weight (Gateway API)."""


@dataclass(frozen=True)
class Move:
    """From `service`:`port` to `to`:`to_port`, all in `namespace`."""

    namespace: str
    service: str
    port: int
    to: str
    to_port: int

    @property
    def backend(self) -> str:
        """The canary's name in proxies' configurations and figures."""
        return f"{self.namespace}/{self.to}:{self.to_port}"


class TooFine(ValueError):
    """No whole weights up to MOST express the shares."""


def moved(refs: Sequence[Mapping[str, Any]] | None, move: Move, percent: int) -> list[Ref] | None:
    """The rule's backendRefs with `percent` of the Service's part at the canary.

    None when the rule sends nothing to the Service; one without refs answers 500. Raises TooFine.
    """
    refs = refs or []
    old = [ref for ref in refs if _is(ref, move, move.service, move.port)]
    new = [ref for ref in refs if _is(ref, move, move.to, move.to_port)]
    others = [ref for ref in refs if ref not in old and ref not in new]
    of_old = sum(map(_weight, old))
    if not of_old:
        return None
    part = of_old + sum(map(_weight, new))
    canary = {**(new[0] if new else {**old[0], "name": move.to, "port": move.to_port})}
    if len(old) == 1 and not any(map(_weight, others)):
        shares = [100 - percent, percent, *(0 for _ in others)]  # as people write them
    else:
        # so that all are whole: each weight times 100 times what the Service had
        shares = [_weight(ref) * (100 - percent) * part for ref in old]
        shares += [percent * part * of_old, *(_weight(ref) * 100 * of_old for ref in others)]
        divisor = gcd(*shares)
        shares = [share // divisor for share in shares]
    if max(shares) > MOST:
        raise TooFine(f"the weights {', '.join(str(_weight(ref)) for ref in refs)} cannot be split to {percent}%")
    return [{**ref, "weight": share} for ref, share in zip([*old, canary, *others], shares, strict=True)]


def _weight(ref: Mapping[str, Any]) -> int:
    return int(ref.get("weight", 1))


def _is(ref: Mapping[str, Any], move: Move, name: str, port: int) -> bool:
    return (
        ref.get("kind", "Service") == "Service"
        and not ref.get("group")
        and ref.get("namespace", move.namespace) == move.namespace
        and (ref.get("name"), ref.get("port")) == (name, port)
    )
