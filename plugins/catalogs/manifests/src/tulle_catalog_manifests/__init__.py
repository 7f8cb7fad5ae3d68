"""Tulle catalog plugin "manifests": a watched folder of ordinary Kubernetes manifests (README.md).

documents.py  one file's text -> objects          folder.py  which files there are, and which changed
holdings.py   all files -> what is in force       catalog.py watches, and tells
"""

from __future__ import annotations

from collections.abc import Mapping

from tulle_plugin_api.hookspecs import hookimpl
from tulle_plugin_api.protocols import CatalogFactory

from tulle_catalog_manifests.catalog import Manifests


@hookimpl
def tulle_catalogs() -> Mapping[str, CatalogFactory]:
    """The catalog, by its name in TULLE_CATALOG."""
    return {"manifests": Manifests.from_environment}
