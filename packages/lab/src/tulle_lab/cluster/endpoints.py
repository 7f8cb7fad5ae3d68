"""Which pods stand behind a Service: EndpointSlices from a Service and pods. Pure (discovery.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tulle_lab.cluster.objects import ZONE, Object, is_terminating, is_true, labels_of, owner_reference
from tulle_lab.network.addresses import family_of

LABEL = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.tulle.dev"
MOST = 100
"""Endpoints in one slice, as Kubernetes has it."""

Ports = tuple[tuple[str, int, str, str], ...]


def slices(service: Object, pods: Iterable[Object]) -> list[Object]:
    """The Service's slices: of each address family, in lots of 100, grouped by what named ports mean to the pods.

    None for a Service without a selector: its slices are somebody else's to write.
    """
    spec = service["spec"]
    selector = spec.get("selector")
    if not selector:
        return []
    chosen = [
        pod
        for pod in pods
        if pod["metadata"]["namespace"] == service["metadata"]["namespace"]
        and all(labels_of(pod).get(name) == value for name, value in selector.items())
        and pod.get("status", {}).get("podIPs")
        and pod["status"].get("phase") not in ("Succeeded", "Failed")
    ]
    found = []
    for family in spec.get("ipFamilies") or ["IPv4"]:
        groups: dict[Ports, list[Object]] = {}
        for pod in chosen:
            for entry in pod["status"]["podIPs"]:
                if family_of(entry["ip"]) == family:
                    groups.setdefault(_ports(spec, pod), []).append(_endpoint(service, pod, entry["ip"]))
        lots = [
            (ports, group[i : i + MOST]) for ports, group in sorted(groups.items()) for i in range(0, len(group), MOST)
        ]
        found += [_slice(service, family, index, *lot) for index, lot in enumerate(lots or [((), [])])]
    return found


def _slice(service: Object, family: str, index: int, ports: Ports, endpoints: list[Object]) -> Object:
    metadata = service["metadata"]
    name = f"{metadata['name']}-{family.lower()}" + (f"-{index}" if index else "")
    labels: dict[str, str] = {LABEL: metadata["name"], MANAGED_BY: CONTROLLER}
    if service["spec"].get("clusterIP") == "None":
        labels["service.kubernetes.io/headless"] = ""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": family,
        "endpoints": sorted(endpoints, key=lambda endpoint: str(endpoint["targetRef"]["name"])),
        "ports": [
            {"name": name, "port": port, "protocol": protocol, **({"appProtocol": app} if app else {})}
            for name, port, protocol, app in ports
        ],
    }


def _ports(spec: Object, pod: Object) -> Ports:
    """The Service's ports as this pod has them; one that the pod does not have is left out."""
    found = []
    for port in spec.get("ports") or []:
        number = target_port(port, pod)
        if number is not None:
            found.append((port.get("name", ""), number, port["protocol"], port.get("appProtocol", "")))
    return tuple(found)


def target_port(port: Object, pod: Object) -> int | None:
    """The number that a Service port's targetPort means for a pod."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    for container in [*spec["containers"], *sidecars]:
        for declared in container.get("ports") or []:
            if declared.get("name") == target and declared.get("protocol", "TCP") == port["protocol"]:
                return int(declared["containerPort"])
    return None


def _endpoint(service: Object, pod: Object, ip: str) -> Object:
    ready, terminating = is_true(pod, "Ready"), is_terminating(pod)
    always = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: dict[str, Any] = {
        "addresses": [ip],
        "conditions": {"ready": always or (ready and not terminating), "serving": ready, "terminating": terminating},
        "nodeName": pod["spec"].get("nodeName", ""),
        "targetRef": {
            "kind": "Pod",
            "name": pod["metadata"]["name"],
            "namespace": pod["metadata"]["namespace"],
            "uid": pod["metadata"]["uid"],
        },
    }
    if zone := labels_of(pod).get(ZONE):
        endpoint["zone"] = zone
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = pod["spec"]["hostname"]
    return endpoint
