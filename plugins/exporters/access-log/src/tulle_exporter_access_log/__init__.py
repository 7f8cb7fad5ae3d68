"""Access log: the hook. The exporter is imported when it is configured, so that other proxies do not pay for it."""

from __future__ import annotations

from collections.abc import Mapping

from tulle_plugin_api import Exporter, ExporterContext, ExporterFactory, hookimpl


def make(context: ExporterContext) -> Exporter:
    """The exporter. Raises ValueError for options that are not understood, or a file that cannot be opened."""
    from tulle_exporter_access_log.exporter import AccessLog

    return AccessLog(context)


@hookimpl
def tulle_exporters() -> Mapping[str, ExporterFactory]:
    """The exporter `access-log`."""
    return {"access-log": make}
