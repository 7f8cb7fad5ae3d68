"""What subjects are called, and what each is related to. Imports none, so that results can be read anywhere."""

from __future__ import annotations

TITLES = {
    "tulle": "Tulle",
    "tulle-quiet": "Tulle, no access log",
    "haproxy": "HAProxy",
    "nginx": "nginx",
    "envoy": "Envoy",
    "envoy-quiet": "Envoy, no access log",
    "floor": "the floor",
    "direct": "no proxy",
    "envoy-redirected": "Envoy, redirected",
    "tulle-mesh": "Tulle, two hops",
    "envoy-mesh": "Envoy, two hops",
}

PROXIES = ("tulle", "tulle-quiet", "haproxy", "nginx")
YARDSTICKS = ("floor", "direct", "envoy-redirected")
"""Columns of the two tables of ratios to Envoy."""

BASELINES = {
    "tulle-quiet": "envoy-quiet",
    "envoy-quiet": "envoy-quiet",
    "tulle-mesh": "envoy-mesh",
    "envoy-mesh": "envoy-mesh",
}
"""Related to this one, all others to "envoy"."""

INSTEAD = {"two-hops-1": {"tulle": "tulle-mesh"}, "two-hops-16": {"tulle": "tulle-mesh"}}
"""row -> column -> the subject that stands in it."""


def subject(row: str, column: str) -> str:
    """Whose figure is in a row's column."""
    return INSTEAD.get(row, {}).get(column, column)


def baseline(name: str) -> str:
    """What a subject is related to."""
    return BASELINES.get(name, "envoy")
