"""What exists in every cluster: namespaces, and the DNS server's Service, whose endpoint is the node. Pure."""

from __future__ import annotations

from tulle_lab.cluster.endpoints import LABEL
from tulle_lab.cluster.objects import Object
from tulle_lab.cluster.webhook import SYSTEM_NAMESPACES
from tulle_lab.launch.machine import NODE
from tulle_lab.network.addresses import DNS_ADDRESSES, FAMILIES, NODE_ADDRESSES
from tulle_lab.network.name_server import PORT

_NAME, _NAMESPACE = "kube-dns", "kube-system"
_PORTS = [{"name": "dns", "port": PORT, "protocol": "UDP"}, {"name": "dns-tcp", "port": PORT, "protocol": "TCP"}]


def own_objects(ipv6: bool) -> list[Object]:
    """In the order in which they can be applied."""
    count = 2 if ipv6 else 1
    names = ("default", *SYSTEM_NAMESPACES)
    slices = [_slice(*pair) for pair in list(zip(FAMILIES, NODE_ADDRESSES, strict=True))[:count]]
    return [
        *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names),
        _service(list(DNS_ADDRESSES[:count])),
        *slices,
    ]


def _service(addresses: list[str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _NAME, "namespace": _NAMESPACE, "labels": {"k8s-app": _NAME}},
        "spec": {"clusterIPs": addresses, "ipFamilyPolicy": "PreferDualStack", "ports": _PORTS},
    }


def _slice(family: str, address: str) -> Object:
    ready = {"ready": True, "serving": True, "terminating": False}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{_NAME}-{family.lower()}", "namespace": _NAMESPACE, "labels": {LABEL: _NAME}},
        "addressType": family,
        "endpoints": [{"addresses": [address], "nodeName": NODE, "conditions": ready}],
        "ports": _PORTS,
    }
