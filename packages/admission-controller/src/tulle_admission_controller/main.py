"""The program `tulle-admission-controller`: reads the configuration, loads the plugins, serves.

Exit statuses: 0 after a drain, 1 if it cannot serve, 2 for bad configuration.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable

from tulle_plugin_api import loader

from . import config as configuration
from . import logs
from .app import Deciders
from .kubernetes_api import ApiServer
from .mutate import NamespaceAnnotations
from .namespaces import FileNamespaces, WatchedNamespaces, no_annotations
from .server import ServeError, serve
from .validate import policy_judge

log = logging.getLogger(__name__)


def main() -> None:
    """Console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The program, but for `sys.exit`. Returns the exit status."""
    logs.set_up("info")
    try:
        config = configuration.load(arguments, os.environ)
    except configuration.ConfigError as error:
        log.error(str(error))
        return 2
    logs.set_up(config.log_level)
    plugins = loader.load(kinds=("policy", "balancer"))
    for info in plugins.failures:
        log.warning("plugin not loaded", extra={"fields": {"plugin": info.name, "error": info.error}})
    namespaces: NamespaceAnnotations = no_annotations
    waiting: Callable[[], str] = str
    if config.namespaces_file:
        namespaces = FileNamespaces(config.namespaces_file)
    elif config.watch_namespaces:
        try:
            namespaces = watched = WatchedNamespaces(ApiServer.from_environment(os.environ))
        except ValueError as error:
            log.error(f"TULLE_WATCH_NAMESPACES is true, but {error}; unset it outside of a cluster")
            return 2
        watched.start()
        waiting = watched.not_ready
    deciders = Deciders(config.inject, namespaces, policy_judge(plugins.policies, plugins.balancers, plugins.find))
    try:
        asyncio.run(serve(config, deciders, waiting))
    except ServeError as error:
        log.error(str(error), exc_info=error.__cause__ if not isinstance(error.__cause__, OSError) else None)
        return 1
    return 0


if __name__ == "__main__":
    main()
