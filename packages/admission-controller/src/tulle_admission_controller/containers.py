"""What is added to a pod: the init container, the proxy and two volumes, as plain Kubernetes objects.

Owns their every field and why it is there; does not know where in the pod they go (`inject.py`).
"""

from __future__ import annotations

from typing import Any

from . import names
from .annotations import ProxyOptions
from .limits import variables
from .settings import InjectSettings

_DOWNWARD = (
    ("TULLE_POD_NAME", "metadata.name"),
    ("TULLE_POD_NAMESPACE", "metadata.namespace"),
    ("TULLE_POD_IP", "status.podIP"),
    ("TULLE_POD_IPS", "status.podIPs"),
    ("TULLE_NODE_NAME", "spec.nodeName"),
    ("TULLE_SERVICE_ACCOUNT", "spec.serviceAccountName"),
)


def init_container(options: ProxyOptions, settings: InjectSettings) -> dict[str, Any]:
    """`tulle-init`: writes the firewall rules that send the pod's TCP through the proxy, checks them, exits."""
    inbound = ",".join(filter(None, (str(names.ADMIN_PORT), options.skip_inbound_ports)))
    arguments = [
        *("--outbound-port", str(names.OUTBOUND_PORT)),
        *("--inbound-port", str(names.INBOUND_PORT)),
        *("--proxy-uid", str(names.PROXY_ID)),
        *("--skip-inbound-ports", inbound),
    ]
    if options.skip_outbound_ports:
        arguments += ["--skip-outbound-ports", options.skip_outbound_ports]
    if settings.skip_outbound_subnets:
        arguments += ["--skip-outbound-subnets", settings.skip_outbound_subnets]
    if settings.iptables_mode != "auto":
        arguments += ["--iptables-mode", settings.iptables_mode]
    return {
        "name": names.INIT_CONTAINER,
        "image": settings.init_image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": arguments,
        **_resources(options),
        "securityContext": {
            # uid 0 because iptables asks for it; all that it may do with it is change this pod's firewall.
            # The root file system stays writable: legacy iptables takes its lock in /run.
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [_no_token_mount()],
    }


def proxy_container(options: ProxyOptions, settings: InjectSettings, workload: str) -> dict[str, Any]:
    """`tulle-proxy`, without the restart policy that makes it a native sidecar (`inject.py` knows the mode)."""
    return {
        "name": names.PROXY_CONTAINER,
        "image": options.image,
        "imagePullPolicy": settings.image_pull_policy,
        "env": [
            *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in _DOWNWARD),
            *({"name": name, "value": value} for name, value in _values(options, settings, workload)),
        ],
        "ports": [
            {"name": "tulle-inbound", "containerPort": names.INBOUND_PORT},
            {"name": "tulle-admin", "containerPort": names.ADMIN_PORT},
        ],
        # started when it has its configuration and the ports are open; only then do the app's containers start
        # A node that is short of CPU answers late; to take the proxies away there, or end them, would only harm more.
        "startupProbe": {**_probe("/ready"), "periodSeconds": 1, "failureThreshold": 120},
        "readinessProbe": {**_probe("/ready"), "periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**_probe("/live"), "periodSeconds": 10, "timeoutSeconds": 10, "failureThreshold": 3},
        **_resources(options),
        "securityContext": {
            "runAsUser": names.PROXY_ID,
            "runAsGroup": names.PROXY_ID,
            "runAsNonRoot": True,
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": names.TOKEN_VOLUME, "mountPath": names.TOKEN_DIRECTORY, "readOnly": True},
            _no_token_mount(),
        ],
    }


def volumes() -> list[dict[str, Any]]:
    """Our volumes, for `names.VOLUMES`.

    First a service account token for us alone: an audience of our own, an hour, mounted in the proxy only.
    Second what lies over the pod's own API token in our two containers. After a webhook changed a pod, the API
    server runs its ServiceAccount plugin again, which gives that token to every container that has nothing mounted
    there; the proxy reads strangers' bytes and has no use for it. (Not an emptyDir: `kubectl drain` asks about it.)
    """
    token = {"audience": names.TOKEN_AUDIENCE, "expirationSeconds": names.TOKEN_SECONDS, "path": names.TOKEN_FILE}
    namespace = {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
    return [
        {"name": names.TOKEN_VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": names.NO_TOKEN_VOLUME, "downwardAPI": {"items": [namespace]}},
    ]


def _no_token_mount() -> dict[str, Any]:
    return {"name": names.NO_TOKEN_VOLUME, "mountPath": names.API_TOKEN_DIRECTORY, "readOnly": True}


def _values(options: ProxyOptions, settings: InjectSettings, workload: str) -> tuple[tuple[str, str], ...]:
    return (
        ("TULLE_WORKLOAD", workload),
        ("TULLE_CONTROL_PLANE", settings.control_plane),
        ("TULLE_OUTBOUND_PORT", str(names.OUTBOUND_PORT)),
        ("TULLE_INBOUND_PORT", str(names.INBOUND_PORT)),
        ("TULLE_ADMIN_PORT", str(names.ADMIN_PORT)),
        ("TULLE_OPAQUE_PORTS", options.opaque_ports),
        ("TULLE_EXPORTERS", settings.exporters),
        ("TULLE_LOG_LEVEL", options.log_level),
        ("TULLE_DRAIN_SECONDS", str(settings.drain_seconds)),
        *variables(options.limits),
    )


def _probe(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": names.ADMIN_PORT}}


def _resources(options: ProxyOptions) -> dict[str, Any]:
    """The same for both containers, so that a namespace with a quota admits both; a new object each time."""
    parts = {part: dict(values) for part, values in options.resources.items()}
    return {"resources": parts} if parts else {}
