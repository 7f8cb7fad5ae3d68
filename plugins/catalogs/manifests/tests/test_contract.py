"""manifests keeps the contract of catalogs."""

from tulle_plugin_api.contract import CatalogContract

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: app-b, namespace: demo}
spec: {selector: {app: app-b}, ports: [{port: 80}]}
"""


class TestContract(CatalogContract):
    plugin = "manifests"

    def environment(self, folder):
        (folder / "app-b.yaml").write_text(SERVICE)
        return {"TULLE_MANIFESTS": str(folder)}
