"""Pods that cannot work in the mesh, and pods that need not be in it. Each rule is one small function.

A refusal is for what would silently bypass the mesh or break the pod; its text says what would be right. A skip is
for what is better left alone. Pure; reads only fields that `shape.py` has checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from . import names

_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def is_ours(pod: Mapping[str, Any], container: Mapping[str, Any]) -> bool:
    """Whether the injector put the container there: by its name, in a pod that carries our mark."""
    marked = names.INJECTED in ((pod.get("metadata") or {}).get("annotations") or {})
    if not marked:
        return False
    if container["name"] == names.PROXY_CONTAINER:
        # a proxy under another uid would have its own connections captured, and call itself for ever
        return (container.get("securityContext") or {}).get("runAsUser") == names.PROXY_ID
    return bool(container["name"] == names.INIT_CONTAINER)


def containers_of(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All containers: init, ordinary and ephemeral ones."""
    for field in _CONTAINER_LISTS:
        yield from pod["spec"].get(field) or []


def uid_problems(pod: Mapping[str, Any]) -> list[str]:
    """The app as uid 4140: the firewall takes its connections for the proxy's own and lets them past the mesh.

    A uid that only the image states (USER in its Dockerfile) is not seen here; nothing at admission can see it.
    """
    wrong = (
        f"runs as uid {names.PROXY_ID}, which is the proxy's: its traffic would bypass the mesh; "
        "choose another runAsUser"
    )
    problems = []
    if (pod["spec"].get("securityContext") or {}).get("runAsUser") == names.PROXY_ID:
        problems.append(f"the pod {wrong}")
    for container in containers_of(pod):
        uid = (container.get("securityContext") or {}).get("runAsUser")
        if uid == names.PROXY_ID and not is_ours(pod, container):
            problems.append(f'container "{container["name"]}" {wrong}')
    return problems


def name_problems(pod: Mapping[str, Any]) -> list[str]:
    """Names of ours that somebody else uses."""
    problems = [
        f'a container is already named "{container["name"]}" and is not ours; rename it, since Tulle adds its own'
        for container in containers_of(pod)
        if container["name"] in (names.INIT_CONTAINER, names.PROXY_CONTAINER) and not is_ours(pod, container)
    ]
    marked = names.INJECTED in ((pod.get("metadata") or {}).get("annotations") or {})
    if not marked:
        problems += [
            f'a volume is already named "{volume["name"]}"; rename it, since Tulle adds its own'
            for volume in pod["spec"].get("volumes") or []
            if volume["name"] in names.VOLUMES
        ]
    return problems


def port_problems(pod: Mapping[str, Any]) -> list[str]:
    """Ports that the app and the proxy would both listen on: they share the pod's network namespace."""
    return [
        f'container "{container["name"]}" listens on port {port["containerPort"]}, which is the proxy\'s '
        f"{names.PROXY_PORTS[port['containerPort']]} port; choose another than {', '.join(map(str, names.PROXY_PORTS))}"
        for container in containers_of(pod)
        for port in container.get("ports") or []
        if port.get("containerPort") in names.PROXY_PORTS
        and port.get("protocol", "TCP") == "TCP"
        and not is_ours(pod, container)
    ]


def network_obstacle(pod: Mapping[str, Any]) -> str:
    """Why this pod's traffic cannot be redirected at all, or an empty string.

    Asked for by name such a pod is refused; caught by its namespace it is only skipped, so that node agents
    (hostNetwork DaemonSets) still run in a meshed namespace.
    """
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        return "it has hostNetwork: true, so its firewall rules would be the whole node's"
    if ((spec.get("os") or {}).get("name") or "linux") != "linux":
        return f"it runs on {spec['os']['name']}, where there is no iptables"
    for container in containers_of(pod):
        if container["name"] in names.OTHER_MESHES:
            mesh = names.OTHER_MESHES[container["name"]]
            return f'it has the proxy of {mesh} already ("{container["name"]}"), and two meshes work against each other'
    return ""
