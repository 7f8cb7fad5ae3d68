"""kubernetes keeps the contract of catalogs."""

import pytest
from tulle_plugin_api.contract import CatalogContract

CORE = ("/api/v1/namespaces", "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices", "/api/v1/pods")


class TestContract(CatalogContract):
    plugin = "kubernetes"

    @pytest.fixture(autouse=True)
    def _server(self, server):
        server.serve(*CORE)
        server.put("/api/v1/services", {"metadata": {"name": "app-b", "namespace": "demo"}, "spec": {"ports": []}})
        self.server = server

    def environment(self, folder):
        return {"TULLE_KUBECONFIG": self.server.kubeconfig(folder)}
