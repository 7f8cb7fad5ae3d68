"""What an operator decides for every injected pod; annotations override some of it for one pod.

A plain value with the defaults of ARCHITECTURE.md. It is made from the environment in `config.py` (webhook) or
by hand (`tulle inject`, the lab); nothing here reads anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from . import names

LOG_LEVELS = ("debug", "info", "warning", "error")
IPTABLES_MODES = ("auto", "nft", "legacy")
SIDECAR_MODES = ("native", "classic")
PULL_POLICIES = ("IfNotPresent", "Always", "Never")


@dataclass(frozen=True, kw_only=True, slots=True)
class InjectSettings:
    """Settings of the injection, all with working defaults.

    Ports are comma lists with ranges (`25,8000-8100`), resources are Kubernetes quantities (`20m`, `48Mi`; empty
    means that the field is left out), `drain_seconds` is the longest drain on SIGTERM.
    """

    version: str = names.VERSION
    init_image: str = f"tulle/init:{names.VERSION}"
    proxy_image: str = f"tulle/proxy:{names.VERSION}"
    image_pull_policy: str = "IfNotPresent"
    mode: Literal["native", "classic"] = "native"
    """native: init container with restartPolicy Always (Kubernetes 1.29+); classic: an ordinary container."""
    control_plane: str = "tulle-control-plane.tulle-system.svc.cluster.local:8086"
    exporters: str = "prometheus,access-log"
    log_level: str = "info"
    drain_seconds: int = 120
    opaque_ports: str = "25,587,3306,4444,5432,6379,9300,11211"
    skip_inbound_ports: str = ""
    skip_outbound_ports: str = ""
    skip_outbound_subnets: str = ""
    iptables_mode: str = "auto"
    cpu_request: str = "20m"
    cpu_limit: str = ""
    memory_request: str = "48Mi"
    memory_limit: str = ""
    own_namespace: str = names.OWN_NAMESPACE
    excluded_namespaces: tuple[str, ...] = names.KUBERNETES_NAMESPACES
    """Never injected, besides `own_namespace`: without them a broken webhook could stop the cluster itself."""
