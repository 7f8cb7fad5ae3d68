"""All figures, in the order in which they are measured: what is hard on the mesh comes late, its end last."""

from __future__ import annotations

from tests.acceptance.figure import Figure
from tests.acceptance.figures import (
    bad_input,
    bulk,
    change,
    clients,
    control_plane,
    empty_snapshot,
    footprint,
    fresh_clone,
    interception,
    lifecycle,
    programs,
    soak,
    webhook,
)

MODULES = (
    clients,
    interception,
    webhook,
    programs,
    bulk,
    change,
    control_plane,
    empty_snapshot,
    bad_input,
    soak,
    footprint,
    lifecycle,
    fresh_clone,
)
FIGURES: tuple[Figure, ...] = tuple(figure for module in MODULES for figure in module.FIGURES)
