"""OTLP: the hook. The exporter is imported when it is configured, so that other proxies do not pay for it."""

from __future__ import annotations

from collections.abc import Mapping

from tulle_plugin_api import Exporter, ExporterContext, ExporterFactory, hookimpl


def make(context: ExporterContext) -> Exporter:
    """The exporter. Raises ValueError for options that are not understood."""
    from tulle_exporter_otlp.exporter import Otlp

    return Otlp(context)


@hookimpl
def tulle_exporters() -> Mapping[str, ExporterFactory]:
    """The exporter `otlp`."""
    return {"otlp": make}
