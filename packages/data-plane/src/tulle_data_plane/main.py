"""The program: reads the environment, loads plugins, runs the proxy, listens to signals.

Exit status: 0 after a drain, 1 when the proxy could not run, 2 for bad settings (one message names each).
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence

import trio
from tulle_plugin_api import load

from tulle_data_plane import __version__, lean
from tulle_data_plane.clock import Clock
from tulle_data_plane.log import say, set_up
from tulle_data_plane.proxy import Proxy
from tulle_data_plane.settings import BadSettings, from_environment
from tulle_data_plane.watchdog import Watchdog


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Never returns."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--version"]:
        print(__version__)
        sys.exit(0)
    watchdog = Watchdog()
    try:
        if arguments not in ([], ["--check"]):
            raise BadSettings(f"takes --check or --version, got {arguments}; settings are TULLE_* variables")
        settings = from_environment(os.environ)
        set_up(settings.log_level)
        watchdog.start()
        plugins = load(
            kinds=("balancer", "policy", "exporter"), builtins_later=not arguments, on_load=watchdog.loading
        )
        proxy = Proxy(settings, plugins)
        for failed in plugins.failures:
            if failed.name not in proxy.host.faults.rows:
                proxy.host.faults.note(failed.name, "load", failed.error, "the proxy runs without it")
    except BadSettings as error:
        watchdog.stop()  # a tick while the interpreter ends would kill it, with SIGALRM in place of its status
        print(f"tulle-proxy: {error}", file=sys.stderr)
        sys.exit(2)
    if arguments:  # settings are good, and everything that a proxy loads can be loaded
        watchdog.stop()
        sys.exit(1 if plugins.failures else 0)
    # What was loaded at start-up lives for ever: never look at it again when collecting garbage.
    lean.forget()
    gc.collect()
    gc.freeze()
    lean.give_back()
    try:
        trio.run(_run, proxy, watchdog, clock=Clock())
    except* OSError as errors:
        print(f"tulle-proxy: {errors.exceptions[0]}", file=sys.stderr)
        sys.exit(1)
    finally:
        watchdog.stop()
    sys.exit(0)


async def _run(proxy: Proxy, watchdog: Watchdog) -> None:
    watchdog.attach(trio.lowlevel.current_trio_token().run_sync_soon, proxy.host.faults, proxy.host.blame)
    async with trio.open_nursery() as nursery:
        await nursery.start(_on_signals, proxy)
        await nursery.start(_started, proxy, nursery)


async def _started(
    proxy: Proxy, nursery: trio.Nursery, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    task_status.started()
    say(logging.INFO, "starting", version=__version__, pod=proxy.settings.pod_name, exporters=list(proxy.exporters),
        policies=proxy.host.plugins.names("policy"), balancers=proxy.host.plugins.names("balancer"))
    await proxy.run()
    nursery.cancel_scope.cancel()


async def _on_signals(proxy: Proxy, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            proxy.shut_down()
