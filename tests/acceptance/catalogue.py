"""All figures, in the order in which they are measured: what is hard on the mesh comes late, its end last."""

from __future__ import annotations

from tests.acceptance.figure import Figure
from tests.acceptance.figures import (
    answers,
    bad_input,
    balancing,
    bulk,
    canary,
    change,
    clients,
    control_plane,
    descriptors,
    empty_snapshot,
    explained,
    exporting,
    footprint,
    fresh_clone,
    interception,
    lifecycle,
    many_requests,
    programs,
    resilience,
    routing,
    slow_heads,
    slow_reader,
    soak,
    webhook,
)

MODULES = (
    clients,
    interception,
    webhook,
    programs,
    routing,
    answers,
    bulk,
    slow_reader,
    slow_heads,
    descriptors,
    many_requests,
    balancing,
    resilience,
    exporting,
    change,
    canary,
    explained,
    control_plane,
    empty_snapshot,
    bad_input,
    soak,
    footprint,
    lifecycle,
    fresh_clone,
)
FIGURES: tuple[Figure, ...] = tuple(figure for module in MODULES for figure in module.FIGURES)
