"""The program: settings, plugins, exit codes.

0 after SIGTERM or SIGINT; 2 for a bad setting, a missing catalog plugin or a port that is taken, with one line on
stderr that names it and says what would be right.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from tulle_plugin_api.loader import Plugins
from tulle_plugin_api.loader import load as load_plugins
from tulle_plugin_api.protocols import Catalog

from tulle_control_plane import logs
from tulle_control_plane.control_plane import ControlPlane
from tulle_control_plane.grpc.server import PortTaken
from tulle_control_plane.settings import BadSettings, Settings, load
from tulle_control_plane.web.serve import SocketTaken

log = logging.getLogger(__name__)


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:], os.environ))


def run(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run until told to stop. Returns the exit code."""
    logs.set_up("info")
    try:
        settings = load(argv, environment)
        logs.set_up(settings.log_level)
        plugins = load_plugins(kinds=("catalog", "policy", "balancer"))
        for failed in plugins.failures:
            log.error("the plugin %r did not load and is left out: %s", failed.name, failed.error)
        make = catalog_of(settings, plugins, environment)
        asyncio.run(ControlPlane(settings, plugins, make).run())
    except (BadSettings, PortTaken, SocketTaken) as problem:
        log.error("%s", problem)
        return 2
    return 0


def catalog_of(settings: Settings, plugins: Plugins, environment: Mapping[str, str]) -> Callable[[], Catalog]:
    """What makes the catalog, tried once. Raises BadSettings naming the plugin."""
    name = settings.catalog
    factory = plugins.catalogs.get(name)
    if factory is None:
        there = ", ".join(sorted(plugins.catalogs)) or "none"
        failed = next((info for info in plugins.failures if info.name == f"catalog-{name}"), None)
        why = f"it did not load: {failed.error}" if failed else f"installed catalogs: {there}"
        raise BadSettings(f"TULLE_CATALOG={name!r}: no such catalog plugin; {why}")
    try:
        factory(environment)
    except Exception as error:  # a stranger's code, and most often a setting of its own that is missing
        raise BadSettings(f"the catalog plugin {name!r} cannot be set up: {error}") from error
    return lambda: factory(environment)
