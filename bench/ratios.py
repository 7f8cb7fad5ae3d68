"""Samples to ratios. Pure.

A ratio is of one round: this proxy's figure by the baseline's figure of the same round, taken seconds apart. Of the
rounds' ratios the median is told, and the least and the greatest. A machine that became slower meanwhile became slower
for both.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Sample = Mapping[str, float]
Rows = Mapping[str, Mapping[str, Sequence[Sample]]]
"""row -> subject -> a sample for each round."""


@dataclass(frozen=True)
class Ratio:
    """Of all rounds."""

    median: float
    least: float
    greatest: float
    rounds: int

    def __str__(self) -> str:
        spread = "" if self.rounds == 1 else f" ({figure(self.least)}-{figure(self.greatest)})"
        return figure(self.median) + spread


def figure(value: float) -> str:
    """Two significant decimals below 10, and no false precision above."""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def of(values: Sequence[float]) -> Ratio | None:
    """None of none."""
    if not values:
        return None
    return Ratio(statistics.median(values), min(values), max(values), len(values))


def ratio(rows: Rows, row: str, metric: str, subject: str, base: str) -> Ratio | None:
    """`subject` by `base`, round by round. None where either was not measured, or the base is 0."""
    pairs = zip(rows.get(row, {}).get(subject, ()), rows.get(row, {}).get(base, ()), strict=False)
    return of([ours[metric] / theirs[metric] for ours, theirs in pairs
               if metric in ours and theirs.get(metric, 0.0) > 0.0])


def value(rows: Rows, row: str, metric: str, subject: str) -> Ratio | None:
    """A figure itself, where it is not a time: shares, and KiB."""
    return of([sample[metric] for sample in rows.get(row, {}).get(subject, ()) if metric in sample])
