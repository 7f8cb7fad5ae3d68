"""sqlite: every exchange is a row of a table that one can query. The exporter itself is in exporter.py.

A proxy imports this module to learn the name, whether it exports to SQLite or not: so there is only the hook here.
"""

from __future__ import annotations

from collections.abc import Mapping

from tulle_plugin_api import Exporter, ExporterContext, ExporterFactory, hookimpl

TULLE_CONTRACT = 1


@hookimpl
def tulle_exporters() -> Mapping[str, ExporterFactory]:
    """The exporter `sqlite`."""
    return {"sqlite": _make}


def _make(context: ExporterContext) -> Exporter:
    from tulle_exporter_sqlite.exporter import SQLite

    return SQLite(context)
