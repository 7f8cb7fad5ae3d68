"""Where the large cluster's objects are: a folder of manifests, or a real API server."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.acceptance.scale import world


class Folder:
    """One file a Service, with its EndpointSlice and pods."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="tulle-scale-"))
        self.environment = {"TULLE_CATALOG": "manifests", "TULLE_MANIFESTS": str(self.path)}

    def __enter__(self) -> Self:
        self._write("namespace", [world.namespace()])
        for number in range(world.SERVICES):
            self._write(world.name(number), self._all_of(number, world.ENDPOINTS))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        shutil.rmtree(self.path)

    def address(self, number: int) -> str:
        """What an application dials."""
        return f"{world.cluster_ip(number)}:{world.PORT}"

    def change(self, number: int, ready: int) -> None:
        """So many of a Service's endpoints are ready from now on."""
        self._write(world.name(number), self._all_of(number, ready))

    def _all_of(self, number: int, ready: int) -> list[world.Object]:
        service = world.service(number, world.cluster_ip(number))
        return [service, world.slice_of(number, ready), *world.pods(number)]

    def _write(self, name: str, items: list[world.Object]) -> None:
        unfinished = self.path / f".{name}"
        unfinished.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        os.replace(unfinished, self.path / f"{name}.json")


class Cluster:
    """Through an API server, with nobody to run pods."""

    def __init__(self, kubeconfig: str) -> None:
        from kubernetes import client, config

        config.load_kube_config(kubeconfig)
        self.environment = {"TULLE_CATALOG": "kubernetes", "TULLE_KUBECONFIG": kubeconfig}
        self._core, self._discovery = client.CoreV1Api(), client.DiscoveryV1Api()
        self._refused = client.ApiException
        self._addresses: dict[int, str] = {}

    def __enter__(self) -> Self:
        with contextlib.suppress(self._refused):  # an earlier run's
            self._core.create_namespace(world.namespace())
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(self._make, range(world.SERVICES)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._core.delete_namespace(world.NAMESPACE)

    def _make(self, number: int) -> None:
        with contextlib.suppress(self._refused):
            self._core.create_namespaced_service(world.NAMESPACE, world.service(number))
        made: Any = self._core.read_namespaced_service(world.name(number), world.NAMESPACE)
        self._addresses[number] = made.spec.cluster_ip
        with contextlib.suppress(self._refused):
            self._discovery.create_namespaced_endpoint_slice(world.NAMESPACE, world.slice_of(number))

    def address(self, number: int) -> str:
        """What an application dials."""
        return f"{self._addresses[number]}:{world.PORT}"

    def change(self, number: int, ready: int) -> None:
        """So many of a Service's endpoints are ready from now on."""
        self._discovery.replace_namespaced_endpoint_slice(
            world.name(number), world.NAMESPACE, world.slice_of(number, ready)
        )
