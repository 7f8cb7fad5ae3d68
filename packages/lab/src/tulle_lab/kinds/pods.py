"""The pod: its table, and the rules between its fields (core/v1 PodSpec)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tulle_lab.kinds.common import HEAD, NO_CGROUPS, NO_IMAGES, ONE_NODE, TEMPLATE_METADATA
from tulle_lab.kinds.containers import CONTAINER, SECURITY_SHARED, container_rules
from tulle_lab.kinds.schema import (
    DNS_LABEL,
    DNS_NAME,
    STRINGS,
    Inert,
    Integer,
    ListOf,
    Problems,
    Shape,
    Struct,
    Text,
    Unsupported,
    boolean,
    join,
    text,
)
from tulle_lab.kinds.volumes import VOLUME

POD_SECURITY_CONTEXT = Struct(
    {
        **SECURITY_SHARED,
        "fsGroup": Integer(0, 65535),
        "fsGroupChangePolicy": Inert("volumes are small: all files are changed"),
        "supplementalGroups": ListOf(Integer(0, 65535)),
        "supplementalGroupsPolicy": Inert("groups come from the manifest only"),
        "sysctls": ListOf(
            Struct(
                {"name": Text(pattern=r"net\..*", means="a sysctl of the network namespace (net.*)"), "value": text()},
                required=("name", "value"),
            )
        ),
    }
)

_HOST = "pods never share the machine's namespaces"
POD_SPEC = Struct(
    {
        "containers": ListOf(CONTAINER, unique="name", at_least=1),
        "initContainers": ListOf(CONTAINER, unique="name"),
        "volumes": ListOf(VOLUME, unique="name"),
        "restartPolicy": text("Always", "OnFailure", "Never"),
        "terminationGracePeriodSeconds": Integer(0),
        "activeDeadlineSeconds": Unsupported("pods run until they end or are deleted"),
        "serviceAccountName": DNS_NAME,
        "serviceAccount": DNS_NAME,
        "automountServiceAccountToken": boolean,
        "securityContext": POD_SECURITY_CONTEXT,
        "hostname": DNS_LABEL,
        "subdomain": DNS_LABEL,
        "setHostnameAsFQDN": boolean,
        "hostAliases": ListOf(Struct({"ip": text(), "hostnames": STRINGS}, required=("ip",))),
        "dnsPolicy": text("ClusterFirst", "Default", "None", "ClusterFirstWithHostNet"),
        "dnsConfig": Struct(
            {"nameservers": STRINGS, "searches": STRINGS, "options": ListOf(Struct({"name": text(), "value": text()}))}
        ),
        "shareProcessNamespace": Unsupported("each container has processes of its own"),
        "enableServiceLinks": Inert("no *_SERVICE_HOST variables; names resolve by DNS"),
        "nodeName": text("node"),
        "nodeSelector": Inert(ONE_NODE),
        "affinity": Inert(ONE_NODE),
        "tolerations": Inert(ONE_NODE),
        "topologySpreadConstraints": Inert(ONE_NODE),
        "schedulerName": Inert(ONE_NODE),
        "priority": Inert(ONE_NODE),
        "priorityClassName": Inert(ONE_NODE),
        "preemptionPolicy": Inert(ONE_NODE),
        "os": Inert("this is Linux"),
        "resources": Inert(NO_CGROUPS),
        "overhead": Inert(NO_CGROUPS),
        "imagePullSecrets": Inert(NO_IMAGES),
        "readinessGates": Unsupported("nobody here would ever set them"),
        "hostNetwork": Unsupported(_HOST),
        "hostPID": Unsupported(_HOST),
        "hostIPC": Unsupported(_HOST),
        "hostUsers": Inert("a pod's users are the lab's"),
        "runtimeClassName": Unsupported("there is one runtime: this machine's kernel"),
        "schedulingGates": Unsupported("there is no scheduler"),
        "ephemeralContainers": Unsupported("use `tulle lab exec`"),
    },
    required=("containers",),
)
TEMPLATE = Struct({"metadata": TEMPLATE_METADATA, "spec": POD_SPEC}, required=("spec",))


def pod_rules(spec: dict[str, Any], path: str, problems: Problems) -> None:
    """What a pod's fields must be to each other."""
    volumes = {volume["name"] for volume in spec.get("volumes") or []}
    names: set[str] = set()
    for here, container, is_init in _containers(spec, path):
        if container["name"] in names:
            problems.add(join(here, "name"), f"{container['name']!r} is there twice, counting init containers")
        names.add(container["name"])
        container_rules(container, here, is_init, volumes, problems)


def _containers(spec: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or []):
            yield f"{join(path, kind)}[{index}]", container, kind == "initContainers"


def _pod(obj: dict[str, Any], problems: Problems) -> None:
    pod_rules(obj["spec"], "spec", problems)


POD = Shape(Struct({**HEAD, "spec": POD_SPEC}, required=("metadata", "spec")), (_pod,))
