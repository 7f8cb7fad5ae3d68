"""json-file keeps the contract of catalogs."""

import json

from tulle_catalog_json_file import VARIABLE
from tulle_plugin_api.contract import CatalogContract

SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "app-b", "namespace": "demo"},
    "spec": {"selector": {"app": "app-b"}, "ports": [{"port": 80}]},
}


class TestContract(CatalogContract):
    plugin = "json-file"

    def environment(self, folder):
        (folder / "objects.json").write_text(json.dumps([SERVICE]))
        return {VARIABLE: str(folder / "objects.json")}
