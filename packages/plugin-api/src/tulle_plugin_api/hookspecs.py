"""The hooks a plugin may implement: pluggy specifications, called once, at start-up.

Owns their names and signatures; docs/plugins.md has a heading for each. A hook returns factories, never
instances: nothing here is called per request (a pluggy call costs 2 to 5 us, a plain call 0.2).

A plugin is a module (or object) named by an entry point in the group "tulle":

    [project.entry-points.tulle]
    my-balancer = "my_balancer"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pluggy

from tulle_plugin_api.protocols import BalancerFactory, CatalogFactory, Check, ExporterFactory, Policy

PROJECT = "tulle"
CONTRACT_VERSION = 1
"""Raised when a plugin that follows the old contract would misbehave under the new one; additions do not raise it.

A plugin says `TULLE_CONTRACT = 1` in the module that its entry point names. Another number is refused by name, also
when the module cannot even be imported here. One that says nothing is taken to be of this version.
"""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def tulle_balancers() -> Mapping[str, BalancerFactory]:  # type: ignore[empty-body]
    """Balancers by name: `{"round-robin": RoundRobin}`; each is called with (config, runtime)."""


@hookspec
def tulle_policies() -> Mapping[str, Policy[Any]]:  # type: ignore[empty-body]
    """Policies by MeshPolicy `type`: `{"timeout": Timeout()}`."""


@hookspec
def tulle_exporters() -> Mapping[str, ExporterFactory]:  # type: ignore[empty-body]
    """Exporters by name: `{"prometheus": Prometheus}`; each is called with an ExporterContext."""


@hookspec
def tulle_catalogs() -> Mapping[str, CatalogFactory]:  # type: ignore[empty-body]
    """Catalogs by name: `{"manifests": Manifests}`; each is called with the control plane's environment."""


@hookspec
def tulle_checks() -> Sequence[Check]:  # type: ignore[empty-body]
    """Lines for `tulle check`."""
