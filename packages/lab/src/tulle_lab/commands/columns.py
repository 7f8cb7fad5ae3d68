"""Which columns each kind has in a table, as kubectl shows them. Pure: an object and a time in, text out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tulle_lab.cluster.objects import annotations_of, is_true, seconds


def age(since: str, now: float) -> str:
    """How long ago: 5s, 3m10s, 2h5m, 4d (kubectl's duration.HumanDuration, roughly)."""
    past = max(0, int(now - seconds(since)))
    for limit, unit, letter, smaller, small in (
        (120, 1, "s", 0, ""),
        (600, 60, "m", 1, "s"),
        (7200, 60, "m", 0, ""),
        (28800, 3600, "h", 60, "m"),
        (172800, 3600, "h", 0, ""),
    ):
        if past < limit:
            rest = past % unit // smaller if smaller else 0
            return f"{past // unit}{letter}" + (f"{rest}{small}" if rest else "")
    return f"{past // 86400}d"


def _age(item: Any, now: float) -> str:
    return age(item["metadata"]["creationTimestamp"], now)


def pod_status(pod: Any) -> str:
    """What kubectl shows under STATUS: the phase, or the reason that is more telling."""
    status: dict[str, Any] = pod.get("status", {})
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    init = status.get("initContainerStatuses") or []
    sidecars = {c["name"] for c in pod["spec"].get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    for index, state in enumerate(init):
        done = state["started"] if state["name"] in sidecars else state["ready"]
        if done or status.get("phase") in ("Running", "Succeeded"):
            continue
        reason = _reason(state)
        return f"Init:{reason}" if reason and reason != "PodInitializing" else f"Init:{index}/{len(init)}"
    for state in status.get("containerStatuses") or []:
        if reason := _reason(state):
            return reason
    return str(status.get("phase", "Pending"))


def _reason(state: Any) -> str:
    kind, details = next(iter(state["state"].items()))
    return str(details.get("reason", "")) if kind in ("waiting", "terminated") else ""


def _lasting(pod: Any) -> list[Any]:
    status = pod.get("status", {})
    sidecars = {c["name"] for c in pod["spec"].get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    return [
        *(status.get("containerStatuses") or []),
        *(state for state in status.get("initContainerStatuses") or [] if state["name"] in sidecars),
    ]


def _pod_ready(pod: Any, _: float) -> str:
    states = _lasting(pod)
    total = len(pod["spec"]["containers"]) if not states else len(states)
    return f"{sum(state['ready'] for state in states)}/{total}"


def _ports(service: Any, _: float) -> str:
    return ",".join(f"{port['port']}/{port['protocol']}" for port in service["spec"].get("ports") or []) or "<none>"


def _deployment_ready(item: Any, _: float) -> str:
    return f"{item.get('status', {}).get('readyReplicas', 0)}/{item['spec']['replicas']}"


def _count(name: str) -> Callable[[Any, float], str]:
    return lambda item, _: str(item.get("status", {}).get(name, 0))


def _text(*path: str) -> Callable[[Any, float], str]:
    def read(item: Any, _: float) -> str:
        for name in path:
            item = (item or {}).get(name)
        return "<none>" if item in (None, "", []) else str(item)

    return read


def _joined(read: Callable[[Any], list[str]]) -> Callable[[Any, float], str]:
    return lambda item, _: ",".join(read(item)) or "<none>"


def _labels(labels: dict[str, str] | None) -> list[str]:
    return [f"{name}={value}" for name, value in (labels or {}).items()]


Column = tuple[str, Callable[[Any, float], str]]
_AGE: Column = ("AGE", _age)
_ROUTE: list[Column] = [
    (
        "PARENTS",
        _joined(
            lambda item: [f"{ref.get('kind', 'Gateway')}/{ref['name']}" for ref in item["spec"].get("parentRefs") or []]
        ),
    ),
    ("RULES", lambda item, _: str(len(item["spec"].get("rules") or []))),
    _AGE,
]
COLUMNS: dict[str, list[Column]] = {
    "Pod": [
        ("READY", _pod_ready),
        ("STATUS", lambda pod, _: pod_status(pod)),
        ("RESTARTS", lambda pod, _: str(sum(state["restartCount"] for state in _lasting(pod)))),
        _AGE,
    ],
    "Deployment": [
        ("READY", _deployment_ready),
        ("UP-TO-DATE", _count("updatedReplicas")),
        ("AVAILABLE", _count("availableReplicas")),
        _AGE,
    ],
    "Job": [
        (
            "STATUS",
            lambda job, _: (
                "Complete" if is_true(job, "Complete") else "Failed" if is_true(job, "Failed") else "Running"
            ),
        ),
        ("COMPLETIONS", lambda job, _: f"{job.get('status', {}).get('succeeded', 0)}/{job['spec']['completions']}"),
        _AGE,
    ],
    "Service": [("TYPE", _text("spec", "type")), ("CLUSTER-IP", _text("spec", "clusterIP")), ("PORT(S)", _ports), _AGE],
    "EndpointSlice": [
        ("ADDRESSTYPE", _text("addressType")),
        ("PORTS", _joined(lambda item: [str(port["port"]) for port in item.get("ports") or []])),
        (
            "ENDPOINTS",
            _joined(
                lambda item: [
                    endpoint["addresses"][0]
                    for endpoint in item.get("endpoints") or []
                    if (endpoint.get("conditions") or {}).get("ready", True)
                ]
            ),
        ),
        _AGE,
    ],
    "Namespace": [("STATUS", _text("status", "phase")), _AGE],
    "ServiceAccount": [_AGE],
    "ConfigMap": [("DATA", lambda item, _: str(len(item.get("data") or {}))), _AGE],
    "HTTPRoute": _ROUTE,
    "GRPCRoute": _ROUTE,
    "ReferenceGrant": [
        ("FROM", _joined(lambda item: [f"{each['kind']}/{each['namespace']}" for each in item["spec"]["from"]])),
        ("TO", _joined(lambda item: [f"{each['kind']}/{each.get('name', '*')}" for each in item["spec"]["to"]])),
        _AGE,
    ],
    "MeshPolicy": [
        ("TYPE", _text("spec", "type")),
        (
            "TARGET",
            lambda item, _: f"{item['spec']['targetRef']['kind']}/{item['spec']['targetRef'].get('name', '')}".rstrip(
                "/"
            ),
        ),
        _AGE,
    ],
    "Event": [
        ("LAST SEEN", lambda item, now: age(item["lastTimestamp"], now)),
        ("TYPE", _text("type")),
        ("REASON", _text("reason")),
        ("OBJECT", lambda item, _: f"{item['involvedObject']['kind'].lower()}/{item['involvedObject']['name']}"),
        (
            "MESSAGE",
            lambda item, _: " ".join(item["message"].split()) + (f" (x{item['count']})" if item["count"] > 1 else ""),
        ),
    ],
}
WIDE: dict[str, list[Column]] = {
    "Pod": [
        ("IP", _joined(lambda pod: [entry["ip"] for entry in pod.get("status", {}).get("podIPs") or []])),
        ("NODE", _text("spec", "nodeName")),
        ("INJECTED", lambda pod, _: annotations_of(pod).get("tulle.dev/injected", "<none>")),
    ],
    "Deployment": [
        ("CONTAINERS", _joined(lambda item: [c["name"] for c in item["spec"]["template"]["spec"]["containers"]])),
        ("SELECTOR", _joined(lambda item: _labels(item["spec"]["selector"].get("matchLabels")))),
    ],
    "Service": [
        ("CLUSTER-IPS", _joined(lambda item: item["spec"].get("clusterIPs") or [])),
        ("SELECTOR", _joined(lambda item: _labels(item["spec"].get("selector")))),
    ],
    "Namespace": [("LABELS", _joined(lambda item: _labels(item["metadata"].get("labels"))))],
}
