"""What Kubernetes fills in: one function a kind, applied to a copy after validation. Pure."""

from __future__ import annotations

import copy
from typing import Any

from tulle_lab.cluster.objects import Object

_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def with_defaults(obj: Object) -> Object:
    """A copy of `obj` with the defaults of its kind."""
    new = copy.deepcopy(obj)
    fill = _BY_KIND.get(obj["kind"])
    if fill:
        fill(new)
    return new


def pod_spec(spec: Object) -> None:
    """Fill in a PodSpec in place."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    if "serviceAccount" in spec:
        spec.setdefault("serviceAccountName", spec.pop("serviceAccount"))
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        _container(container)


def _container(container: Object) -> None:
    for port in container.get("ports") or []:
        port.setdefault("protocol", "TCP")
    for name in ("readinessProbe", "livenessProbe", "startupProbe"):
        if probe := container.get(name):
            for field, value in _PROBE.items():
                probe.setdefault(field, value)
            if get := probe.get("httpGet"):
                get.setdefault("path", "/")
                get.setdefault("scheme", "HTTP")


def _pod(obj: Object) -> None:
    pod_spec(obj["spec"])


def _deployment(obj: Object) -> None:
    spec = obj["spec"]
    spec.setdefault("replicas", 1)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxSurge", "25%")
        rolling.setdefault("maxUnavailable", "25%")
    pod_spec(spec["template"]["spec"])


def _job(obj: Object) -> None:
    spec = obj["spec"]
    for name, value in (("completions", 1), ("parallelism", 1), ("backoffLimit", 6)):
        spec.setdefault(name, value)
    pod_spec(spec["template"]["spec"])


def _service(obj: Object) -> None:
    spec: dict[str, Any] = obj["spec"]
    spec.setdefault("type", "ClusterIP")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])


def _endpoint_slice(obj: Object) -> None:
    for port in obj.get("ports") or []:
        port.setdefault("protocol", "TCP")


_BY_KIND = {
    "Pod": _pod,
    "Deployment": _deployment,
    "Job": _job,
    "Service": _service,
    "EndpointSlice": _endpoint_slice,
}
