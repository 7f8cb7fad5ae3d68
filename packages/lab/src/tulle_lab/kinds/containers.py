"""The container: its table, and the rules between its fields (core/v1 Container)."""

from __future__ import annotations

from typing import Any

from tulle_lab.kinds.common import FIELD_REF, NO_CGROUPS, NO_IMAGES, NO_SECRETS
from tulle_lab.kinds.schema import (
    DNS_LABEL,
    DNS_NAME,
    PATH,
    PORT,
    PORT_NAME,
    PORT_OR_NAME,
    STRINGS,
    Check,
    Inert,
    Integer,
    ListOf,
    Problems,
    Struct,
    Text,
    Unsupported,
    boolean,
    did_you_mean,
    join,
    text,
)
from tulle_lab.sandbox.spec import CAPABILITIES

_CAPABILITY = Text(("ALL", *CAPABILITIES))
_ENV_NAME = Text(pattern=r"[-._a-zA-Z][-._a-zA-Z0-9]*", means="a variable name")

_KEY_REF = Struct({"name": DNS_NAME, "key": text(), "optional": boolean}, required=("name", "key"))
_SOURCE_REF = Struct({"name": DNS_NAME, "optional": boolean}, required=("name",))

ENV = Struct(
    {
        "name": _ENV_NAME,
        "value": text(),
        "valueFrom": Struct(
            {
                "fieldRef": FIELD_REF,
                "configMapKeyRef": _KEY_REF,
                "secretKeyRef": NO_SECRETS,
                "resourceFieldRef": Unsupported(NO_CGROUPS),
            },
            one_of=("fieldRef", "configMapKeyRef", "secretKeyRef", "resourceFieldRef"),
        ),
    },
    required=("name",),
)

_EXEC = Struct({"command": ListOf(text(), at_least=1)}, required=("command",))
_HTTP_GET = Struct(
    {
        "path": text(),
        "port": PORT_OR_NAME,
        "host": text(),
        "scheme": text("HTTP", "HTTPS"),
        "httpHeaders": ListOf(Struct({"name": text(), "value": text()}, required=("name", "value"))),
    },
    required=("port",),
)
_TCP = Struct({"port": PORT_OR_NAME, "host": text()}, required=("port",))
_GRPC_PROBE = Unsupported("gRPC probes; use httpGet, tcpSocket or exec")

PROBE = Struct(
    {
        "httpGet": _HTTP_GET,
        "tcpSocket": _TCP,
        "exec": _EXEC,
        "grpc": _GRPC_PROBE,
        "initialDelaySeconds": Integer(0),
        "timeoutSeconds": Integer(1),
        "periodSeconds": Integer(1),
        "successThreshold": Integer(1),
        "failureThreshold": Integer(1),
        "terminationGracePeriodSeconds": Integer(1),
    },
    one_of=("httpGet", "tcpSocket", "exec", "grpc"),
)

_HANDLER = Struct(
    {
        "exec": _EXEC,
        "sleep": Struct({"seconds": Integer(0)}, required=("seconds",)),
        "httpGet": _HTTP_GET,
        "tcpSocket": Unsupported("Kubernetes never did it either (deprecated)"),
    },
    one_of=("exec", "sleep", "httpGet"),
)

SECURITY_SHARED: dict[str, Check] = {
    "runAsUser": Integer(0, 65535),
    "runAsGroup": Integer(0, 65535),
    "runAsNonRoot": boolean,
    "seccompProfile": Inert("no seccomp filter is loaded"),
    "seLinuxOptions": Inert("no SELinux labels"),
    "appArmorProfile": Inert("no AppArmor profile is loaded"),
    "windowsOptions": Unsupported("this is Linux"),
}
SECURITY_CONTEXT = Struct(
    {
        **SECURITY_SHARED,
        "capabilities": Struct({"add": ListOf(_CAPABILITY), "drop": ListOf(_CAPABILITY)}),
        "allowPrivilegeEscalation": boolean,
        "readOnlyRootFilesystem": Inert("a container's files are this machine's, read-only, in any case"),
        "privileged": Unsupported("privileged containers could reach the machine; add the capability that is needed"),
        "procMount": Inert("/proc is always the container's own"),
    }
)
CONTAINER = Struct(
    {
        "name": DNS_LABEL,
        "image": text(),
        "command": STRINGS,
        "args": STRINGS,
        "workingDir": PATH,
        "env": ListOf(ENV),
        "envFrom": ListOf(
            Struct(
                {"prefix": text(), "configMapRef": _SOURCE_REF, "secretRef": NO_SECRETS},
                one_of=("configMapRef", "secretRef"),
            )
        ),
        "ports": ListOf(
            Struct(
                {
                    "name": PORT_NAME,
                    "containerPort": PORT,
                    "protocol": text("TCP", "UDP", "SCTP"),
                    "hostPort": Unsupported("the lab has no way to or from the machine's network"),
                    "hostIP": Inert("there are no host ports"),
                },
                required=("containerPort",),
            ),
            unique="name",
        ),
        "volumeMounts": ListOf(
            Struct(
                {
                    "name": DNS_LABEL,
                    "mountPath": PATH,
                    "subPath": text(),
                    "readOnly": boolean,
                    "recursiveReadOnly": Inert("read-only mounts are so all the way down"),
                    "mountPropagation": Inert("mounts never propagate"),
                    "subPathExpr": Unsupported("use subPath"),
                },
                required=("name", "mountPath"),
            ),
            unique="mountPath",
        ),
        "readinessProbe": PROBE,
        "livenessProbe": PROBE,
        "startupProbe": PROBE,
        "lifecycle": Struct(
            {"preStop": _HANDLER, "postStart": _HANDLER, "stopSignal": Unsupported("a container is stopped by SIGTERM")}
        ),
        "securityContext": SECURITY_CONTEXT,
        "restartPolicy": text("Always"),
        "resources": Inert(NO_CGROUPS),
        "resizePolicy": Inert(NO_CGROUPS),
        "imagePullPolicy": Inert(NO_IMAGES),
        "terminationMessagePath": Inert("no termination messages are read"),
        "terminationMessagePolicy": Inert("no termination messages are read"),
        "stdin": Inert("containers read an empty standard input"),
        "stdinOnce": Inert("as stdin"),
        "tty": Inert("containers have no terminal; `tulle lab exec -t` does"),
        "volumeDevices": Unsupported("it has no block devices"),
    },
    required=("name",),
)


def container_rules(container: dict[str, Any], here: str, is_init: bool, volumes: set[str], problems: Problems) -> None:
    """What a container's fields must be to each other. `volumes`: the names of its pod's."""
    if not container.get("image") and not container.get("command"):
        problems.add(here, "needs an image (a program's name) or a command")
    if container.get("restartPolicy") and not is_init:
        problems.add(join(here, "restartPolicy"), "only an init container may have one: Always makes it a sidecar")
    if is_init and not container.get("restartPolicy"):
        for name in ("readinessProbe", "livenessProbe", "startupProbe", "lifecycle"):
            if container.get(name):
                problems.add(
                    join(here, name), "an init container that ends has none; restartPolicy: Always makes it a sidecar"
                )
    for index, mount in enumerate(container.get("volumeMounts") or []):
        if mount["name"] not in volumes:
            hint = did_you_mean(mount["name"], volumes) if volumes else "; the pod has no volumes"
            problems.add(f"{here}.volumeMounts[{index}].name", f"there is no volume {mount['name']!r}{hint}")
    ports = {port["name"] for port in container.get("ports") or [] if port.get("name")}
    for name in ("readinessProbe", "livenessProbe", "startupProbe"):
        probe = container.get(name) or {}
        for handler in ("httpGet", "tcpSocket"):
            port = (probe.get(handler) or {}).get("port")
            if isinstance(port, str) and port not in ports:
                problems.add(
                    f"{here}.{name}.{handler}.port", f"the container has no port {port!r}{did_you_mean(port, ports)}"
                )
        if name != "readinessProbe" and probe.get("successThreshold", 1) != 1:
            problems.add(f"{here}.{name}.successThreshold", "must be 1 for this probe")
