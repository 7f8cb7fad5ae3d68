"""Exporters: made from settings when the proxy starts, run beside traffic, and closed at its end.

Owns what becomes of one that is not installed, does not understand its settings, or raises: settings are refused;
whatever else an exporter does wrong is told of, and the proxy goes on without it. Who tells them of exchanges: host.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio
from tulle_plugin_api import Exporter, ExporterContext

from tulle_data_plane import __version__
from tulle_data_plane.containment import in_words, must_go_on
from tulle_data_plane.host import Host
from tulle_data_plane.log import log
from tulle_data_plane.settings import BadSettings

CLOSE_SECONDS = 2.0


def make(
    host: Host, own_counters: Callable[[], Mapping[str, float]], write_line: Callable[[bytes], None]
) -> dict[str, Exporter]:
    """Those that settings name. Raises BadSettings for one that is not installed or does not understand its options."""
    made: dict[str, Exporter] = {}
    settings, plugins = host.settings, host.plugins
    for name in settings.exporters:
        factory = plugins.find("exporter", name)
        if factory is None:
            broken = next((info for info in plugins.failures if info.name == f"exporter-{name}"), None)
            if broken is None:
                raise BadSettings(
                    f"TULLE_EXPORTERS: no exporter plugin {name!r} is installed; there are {plugins.names('exporter')}"
                )
            host.faults.note(broken.name, "load", broken.error, "the proxy runs without it")
            continue
        context = ExporterContext(
            pod=settings.pod_name,
            namespace=settings.pod_namespace,
            workload=settings.workload,
            node=settings.node_name,
            service_account=settings.service_account,
            version=__version__,
            options=settings.exporter_options.get(name, {}),
            counters=own_counters,
            write_line=write_line,
        )
        try:
            exporter = factory(context)
            if not isinstance(exporter, Exporter):
                raise TypeError(f"its factory gave {type(exporter).__name__}, not a tulle_plugin_api.Exporter")
            made[name] = exporter
        except ValueError as error:  # it does not understand its settings
            variables = f"TULLE_EXPORTER_{name.upper().replace('-', '_')}_*"
            raise BadSettings(f"{variables}: exporter {name}: {error}") from error
        except BaseException as error:
            if must_go_on(error):
                raise
            plugin = plugins.provider("exporter", name)
            host.faults.note(plugin, "raised", f"exporter {name}: {in_words(error)}", "left out")
    return made


def counters(host: Host, exporters: Mapping[str, Exporter]) -> dict[str, float]:
    """What they count of themselves, under the proxy's names."""
    found: dict[str, float] = {}
    for name, exporter in exporters.items():
        try:
            own = {str(key): float(value) for key, value in exporter.counters().items()}
        except BaseException as error:
            if must_go_on(error):
                raise
            host.exporter_failed(name, "raised", error)
            continue
        found |= {f'tulle_proxy_exporter_{key}{{exporter="{name}"}}': value for key, value in own.items()}
    return found


async def run(host: Host, name: str, exporter: Exporter) -> None:
    """Its background work, until cancelled, or until it ends or raises."""
    try:
        await exporter.run()
    except BaseException as error:
        if must_go_on(error):
            raise
        host.exporter_failed(name, "raised", error)
        log.error("exporter %s stopped", name, exc_info=error)


async def close(host: Host, name: str, exporter: Exporter) -> None:
    """Let it send what it has, for a moment."""
    try:
        with trio.move_on_after(CLOSE_SECONDS):
            await exporter.aclose()
    except BaseException as error:
        if must_go_on(error):
            raise
        host.exporter_failed(name, "raised", error)
