"""Words that several figures share: what a load report says, and whether it is good enough."""

from __future__ import annotations

from typing import Any

from tests.acceptance.figure import Outcome, judged

Report = dict[str, Any]
Bar = tuple[bool, str]


def failures(report: Report) -> str:
    """ "0 failed of 10000"."""
    return f"{report['failed']} failed of {report['requests']}"


def no_failures(report: Report) -> list[Bar]:
    """The bars of every load: all were made, none failed."""
    why = ", ".join(f"{count} x {kind}" for kind, count in report["failures"].items())
    examples = "; ".join(report.get("examples", [])[:3])
    return [
        (report["failed"] == 0, f"failed: {why}" + (f" ({examples})" if examples else "")),
        (report["complete"], f"only {report['requests']} requests were made in {report['seconds']} s"),
    ]


def at_the_baseline(before: dict[str, int], after: dict[str, int]) -> Bar:
    """The bar that a proxy holds no more than before (load/own_proxy.py): tasks, descriptors, connections, requests."""
    left = [f"{name} {after[name]}, not {value}" for name, value in before.items() if after[name] > value]
    return not left, f"not back at the baseline: {', '.join(left)}"


def shares(served: dict[str, int]) -> list[float]:
    """Percent of each, largest first."""
    total = sum(served.values()) or 1
    return sorted((100 * count / total for count in served.values()), reverse=True)


def pods_of(served: dict[str, int]) -> dict[str, int]:
    """steady.py's "version pod" counts, by pod."""
    return {who.split(" ", 1)[1]: count for who, count in served.items()}


def megabytes(size: float) -> str:
    """Decimal ones."""
    return f"{size / 1e6:.1f} MB"


def under_load(report: Report, text: str, *bars: Bar) -> Outcome:
    """The outcome of a change under load."""
    slowest = f"slowest {report['slowest_seconds'] * 1000:.0f} ms"
    return judged(f"{failures(report)}; {text}; {slowest}", *no_failures(report), *bars)
