"""A container's and a pod's status, in Kubernetes' words. Pure: states and a time in, status objects out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tulle_lab.cluster.objects import Object, set_condition, timestamp
from tulle_lab.network.addresses import NODE_ADDRESSES


class Role(StrEnum):
    """What a container is to its pod."""

    INIT = "init"
    SIDECAR = "sidecar"  # an init container with restartPolicy: Always
    APP = "app"


def role_of(container: Object, is_init: bool) -> Role:
    """The role that the manifest gives."""
    if not is_init:
        return Role.APP
    return Role.SIDECAR if container.get("restartPolicy") == "Always" else Role.INIT


@dataclass
class ContainerState:
    """What is known of one container; the kubelet changes it, `pod_status` reads it."""

    name: str
    image: str
    role: Role
    state: Object = field(default_factory=lambda: {"waiting": {"reason": "PodInitializing"}})
    last: Object = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        """Of the run that ended, while it is not running again."""
        terminated = self.state.get("terminated")
        return terminated["exitCode"] if terminated else None

    def wait(self, reason: str, message: str = "") -> None:
        """Not running, for that reason."""
        if "terminated" in self.state:
            self.last = self.state
        self.state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        self.ready = self.started = False

    def run(self, now: float, container_id: str) -> None:
        """Running since `now`."""
        if "terminated" in self.state:
            self.last = self.state
        self.state, self.container_id = {"running": {"startedAt": timestamp(now)}}, container_id

    def terminate(self, code: int, now: float, reason: str = "", message: str = "") -> None:
        """Ended with `code`."""
        began = self.state.get("running", {}).get("startedAt", timestamp(now))
        words = reason or ("Completed" if code == 0 else "Error")
        ended: dict[str, Any] = {"exitCode": code, "reason": words, "startedAt": began, "finishedAt": timestamp(now)}
        if code > 128:
            ended["signal"] = code - 128
        if message:
            ended["message"] = message
        self.state = {"terminated": ended}
        # an init container that completed counts as ready: it is what the next one waits for
        self.ready, self.started = self.role is Role.INIT and code == 0, False

    def to_json(self) -> Object:
        """A containerStatuses entry."""
        return {
            "name": self.name,
            "image": self.image,
            "imageID": "",
            "containerID": self.container_id,
            "state": self.state,
            "lastState": self.last,
            "restartCount": self.restarts,
            "ready": self.ready,
            "started": self.started,
        }


def phase(states: Sequence[ContainerState], restart_policy: str) -> str:
    """Pending, Running, Succeeded or Failed (Kubernetes: "Pod phase")."""
    init = [state for state in states if state.role is Role.INIT]
    apps = [state for state in states if state.role is Role.APP]
    if any(state.exit_code not in (None, 0) for state in init) and restart_policy == "Never":
        return "Failed"
    if any(not state.ready for state in init):
        return "Pending"
    codes = [state.exit_code for state in apps]
    over = restart_policy != "Always" and None not in codes
    if over and (restart_policy == "Never" or not any(codes)):
        return "Failed" if any(codes) else "Succeeded"
    if any(state.is_running or state.last or state.exit_code is not None for state in apps):
        return "Running"
    return "Pending"


def pod_status(
    states: Sequence[ContainerState], restart_policy: str, addresses: Sequence[str], old: Object, now: float
) -> Object:
    """The whole status. `addresses`: the pod's, first the primary; empty before it has a network."""
    current = phase(states, restart_policy)
    init = [state for state in states if state.role is not Role.APP]
    apps = [state for state in states if state.role is Role.APP]
    initialized = all(state.ready for state in init if state.role is Role.INIT) and all(
        state.started for state in init if state.role is Role.SIDECAR
    )
    lasting = [*apps, *(state for state in init if state.role is Role.SIDECAR)]
    not_ready = [state.name for state in lasting if not state.ready]
    stamp = timestamp(now)
    conditions = old.get("conditions") or []
    why = (
        {}
        if not not_ready
        else {
            "reason": "PodCompleted" if current == "Succeeded" else "ContainersNotReady",
            "message": f"containers with unready status: [{' '.join(not_ready)}]",
        }
    )
    for kind, true, more in (
        ("PodScheduled", True, {}),
        ("PodReadyToStartContainers", bool(addresses), {}),
        ("Initialized", initialized or current in ("Succeeded", "Running"), {}),
        ("ContainersReady", not not_ready, why),
        ("Ready", not not_ready, why),
    ):
        conditions = set_condition(conditions, {"type": kind, "status": "True" if true else "False", **more}, stamp)
    status: Object = {
        "phase": current,
        "conditions": conditions,
        "qosClass": "BestEffort",
        "hostIP": NODE_ADDRESSES[0],
        "hostIPs": [{"ip": ip} for ip in NODE_ADDRESSES],
        "startTime": old.get("startTime", stamp),
        "containerStatuses": [state.to_json() for state in apps],
    }
    if init:
        status["initContainerStatuses"] = [state.to_json() for state in init]
    if addresses:
        status["podIP"], status["podIPs"] = addresses[0], [{"ip": ip} for ip in addresses]
    return status
