"""Tulle catalog plugin "kubernetes": a cluster, listed and watched (README.md).

resources.py  which kinds, and where the API has them      trim.py       what is kept of an object
reflector.py  lists and watch events -> what changed       course.py     what to do next, and when
lines.py      bytes of a stream -> watch events            api.py        the official client, raw
watcher.py    one kind, watched for ever (a thread)        catalog.py    all kinds, told in one order
statuses.py   what is to be written into a status          board.py      what is wanted, and what is there
writer.py     writes it (a thread)                         lease.py      one writer of several replicas
versions.py   resourceVersions, compared
"""

from __future__ import annotations

from collections.abc import Mapping

from tulle_plugin_api.hookspecs import hookimpl
from tulle_plugin_api.protocols import Catalog, CatalogFactory


@hookimpl
def tulle_catalogs() -> Mapping[str, CatalogFactory]:
    """The catalog, by its name in TULLE_CATALOG."""
    return {"kubernetes": _make}


def _make(environment: Mapping[str, str]) -> Catalog:
    # the client takes a second and 35 MB: only where it is used
    from tulle_catalog_kubernetes.catalog import Kubernetes

    return Kubernetes.from_environment(environment)
