"""Service and EndpointSlice (core/v1, discovery.k8s.io/v1): tables and rules."""

from __future__ import annotations

from typing import Any

from tulle_lab.kinds.common import top
from tulle_lab.kinds.schema import (
    DNS_LABEL,
    DNS_NAME,
    LABEL_VALUE,
    PORT,
    PORT_OR_NAME,
    QUALIFIED,
    STRINGS,
    Inert,
    Integer,
    ListOf,
    MapOf,
    Problems,
    Shape,
    Struct,
    Text,
    Unsupported,
    anything,
    boolean,
    text,
)

_NO_WAY_IN = "nothing outside of the lab can reach it; use `tulle lab exec node -- curl ...`"
_PROTOCOL = text("TCP", "UDP", "SCTP")

_SERVICE = top(
    required=("spec",),
    spec=Struct(
        {
            "selector": MapOf(LABEL_VALUE, QUALIFIED),
            "ports": ListOf(
                Struct(
                    {
                        "name": DNS_LABEL,
                        "port": PORT,
                        "targetPort": PORT_OR_NAME,
                        "protocol": _PROTOCOL,
                        "appProtocol": QUALIFIED,
                        "nodePort": Unsupported(_NO_WAY_IN),
                    },
                    required=("port",),
                ),
                unique="name",
            ),
            "clusterIP": text(),
            "clusterIPs": ListOf(Text()),
            "ipFamilies": ListOf(text("IPv4", "IPv6")),
            "ipFamilyPolicy": text("SingleStack", "PreferDualStack", "RequireDualStack"),
            "type": text("ClusterIP"),
            "publishNotReadyAddresses": boolean,
            "sessionAffinity": text("None"),
            "internalTrafficPolicy": Inert("there is one node"),
            "trafficDistribution": Inert("there is one node"),
            "externalName": Unsupported("there are no names outside of the lab"),
            "externalIPs": Unsupported(_NO_WAY_IN),
            "loadBalancerIP": Unsupported(_NO_WAY_IN),
            "externalTrafficPolicy": Unsupported(_NO_WAY_IN),
            "loadBalancerClass": Unsupported(_NO_WAY_IN),
            "sessionAffinityConfig": Unsupported("sessions have no affinity here"),
        }
    ),
)

_ENDPOINT_SLICE = top(
    required=("addressType",),
    addressType=text("IPv4", "IPv6"),
    endpoints=ListOf(
        Struct(
            {
                "addresses": STRINGS,
                "conditions": Struct({"ready": boolean, "serving": boolean, "terminating": boolean}),
                "hostname": DNS_LABEL,
                "nodeName": text(),
                "targetRef": anything,
                "zone": text(),
                "hints": Inert("there is one node"),
            },
            required=("addresses",),
        )
    ),
    ports=ListOf(Struct({"name": text(), "port": Integer(1, 65535), "protocol": _PROTOCOL, "appProtocol": QUALIFIED})),
)


def _ports(obj: dict[str, Any], problems: Problems) -> None:
    spec = obj["spec"]
    ports = spec.get("ports") or []
    if not ports and spec.get("clusterIP") != "None":
        problems.add("spec.ports", "required, and missing (only a headless Service may have none)")
    if len(ports) > 1:
        for index, port in enumerate(ports):
            if not port.get("name"):
                problems.add(f"spec.ports[{index}].name", "required, since there is more than one port")
    seen: set[tuple[Any, str]] = set()
    for index, port in enumerate(ports):
        pair = (port["port"], port.get("protocol", "TCP"))
        if pair in seen:
            problems.add(f"spec.ports[{index}]", f"{pair[0]}/{pair[1]} is there twice")
        seen.add(pair)


def _name(obj: dict[str, Any], problems: Problems) -> None:
    DNS_LABEL(obj["metadata"].get("name", ""), "metadata.name", problems)


SERVICE = Shape(_SERVICE, (_ports, _name))
ENDPOINT_SLICE = Shape(_ENDPOINT_SLICE)
NAME = DNS_NAME
