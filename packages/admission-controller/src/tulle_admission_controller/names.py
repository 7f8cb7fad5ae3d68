"""The names, ports and ids that the injector writes (ARCHITECTURE.md, "The seams"). Constants only.

Everything that another program must agree on is here and nowhere else in this package.
"""

from __future__ import annotations

VERSION = "0.1.0"

INIT_CONTAINER = "tulle-init"
PROXY_CONTAINER = "tulle-proxy"
TOKEN_VOLUME = "tulle-token"
TOKEN_DIRECTORY = "/var/run/secrets/tulle"
TOKEN_FILE = "token"
TOKEN_AUDIENCE = "tulle.dev"
TOKEN_SECONDS = 3600
NO_TOKEN_VOLUME = "tulle-no-token"
API_TOKEN_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUMES = (TOKEN_VOLUME, NO_TOKEN_VOLUME)

PROXY_ID = 4140
"""uid and gid of the proxy: the only uid whose connections the firewall rules let past."""
OUTBOUND_PORT = 4140
INBOUND_PORT = 4143
ADMIN_PORT = 4191
PROXY_PORTS = {OUTBOUND_PORT: "outbound", INBOUND_PORT: "inbound", ADMIN_PORT: "admin"}

OWN_NAMESPACE = "tulle-system"
KUBERNETES_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")

API_GROUP = "tulle.dev"
PREFIX = "tulle.dev/"
INJECT = "tulle.dev/inject"
INJECTED = "tulle.dev/injected"
OPAQUE_PORTS = "tulle.dev/opaque-ports"
SKIP_INBOUND_PORTS = "tulle.dev/skip-inbound-ports"
SKIP_OUTBOUND_PORTS = "tulle.dev/skip-outbound-ports"
PROXY_IMAGE = "tulle.dev/proxy-image"
PROXY_LOG_LEVEL = "tulle.dev/proxy-log-level"
PROXY_LIMITS = "tulle.dev/proxy-limits"
CPU_REQUEST = "tulle.dev/proxy-cpu-request"
CPU_LIMIT = "tulle.dev/proxy-cpu-limit"
MEMORY_REQUEST = "tulle.dev/proxy-memory-request"
MEMORY_LIMIT = "tulle.dev/proxy-memory-limit"

MIRROR_POD = "kubernetes.io/config.mirror"
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"

OTHER_MESHES = {
    "istio-proxy": "Istio",
    "linkerd-proxy": "Linkerd",
    "kuma-sidecar": "Kuma",
    "consul-dataplane": "Consul",
}
"""Sidecars that also redirect a pod's traffic; two of them in one pod send it in circles."""
