"""A catalog: tells the control plane which instances a Service has, as a registry streams it.

The registry sends lines. First everything that it knows, then a dot, then changes, for as long as it lives:

    + server 10.244.0.5:8080        an instance is there
    + server 10.244.0.6:8080
    .                               that was all
    - server 10.244.0.5:8080        an instance has gone
"""

import asyncio
from collections.abc import AsyncIterator, Mapping

from tulle_plugin_api import Catalog, Upserted, hookimpl
from tulle_plugin_api.protocols import CatalogEvent, Synced

RETRY = 0.3
"""Seconds until the registry is tried again."""


class Registry(Catalog):
    """The registry at host:port. Runs in the control plane, under asyncio."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port

    async def lines(self) -> AsyncIterator[str]:
        """The registry's lines, until the connection ends. Raises OSError when there is none to be had."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            while line := await reader.readline():
                yield line.decode().strip()
        finally:
            writer.close()

    async def events(self) -> AsyncIterator[CatalogEvent]:
        """Everything that exists, then Synced, then each change, for ever. Survives the registry's death.

        Yield `Upserted(service("server"))` once, and `Upserted(instances("server", {...}))` with the *whole* set
        whenever it is another one than the control plane was told before.
        """
        yield Upserted(service("server"))
        # TODO: for ever: read self.lines(), keep the set, tell it.
        #   - Tell nothing before the dot: half a list is no list. The first time it is told, Synced follows.
        #   - After the dot, each change is told.
        #   - When the connection ends, or there is none (OSError): what was told stays true. Wait RETRY, connect again.
        #     The new list is complete again: what is not in it has gone meanwhile.
        yield Synced()
        while True:
            await asyncio.sleep(3600)


# --- the objects, Kubernetes-shaped ---------------------------------------------------------------------------------

ADDRESSES = {"server": "10.96.50.50"}  # what names resolve to


def service(name: str) -> dict[str, object]:
    """A Service."""
    spec = {"clusterIP": ADDRESSES[name], "clusterIPs": [ADDRESSES[name]], "ports": [{"name": "http", "port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "demo"}, "spec": spec}


def instances(name: str, where: set[str]) -> dict[str, object]:
    """The EndpointSlice with all instances of a Service; `where`: "IP:PORT" of each."""
    endpoints = [{"addresses": [one.split(":")[0]], "conditions": {"ready": True}} for one in sorted(where)]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "demo", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    }


def from_environment(environment: Mapping[str, str]) -> Registry:
    """The catalog `registry`: TULLE_REGISTRY says where it is."""
    host, _, port = environment["TULLE_REGISTRY"].partition(":")
    return Registry(host, int(port))


@hookimpl
def tulle_catalogs():
    """The catalog, by its name in TULLE_CATALOG."""
    return {"registry": from_environment}
