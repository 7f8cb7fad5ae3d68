"""Envoy, one worker, doing the same work: weighted clusters, round robin, timeout, retries, statistics, access log.

Its configuration is made by `config` (pure), as JSON, which Envoy reads as it reads YAML.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, ClassVar

from bench.services import CANARY_WEIGHT, RETRIES, SERVICES, STABLE_WEIGHT, TIMEOUT_SECONDS, Service
from bench.subjects.subject import Subject
from bench.world import ROOT, Broken, Pod, World, wait_for

TYPES = "type.googleapis.com/envoy.extensions"
MANAGER = f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = f"{TYPES}.filters.http.router.v3.Router"
TCP_PROXY = f"{TYPES}.filters.network.tcp_proxy.v3.TcpProxy"
FILE_LOG = f"{TYPES}.access_loggers.file.v3.FileAccessLog"

Json = dict[str, Any]


class Envoy(Subject):
    """With its access log."""

    title = "Envoy"
    logs: ClassVar[bool] = True

    def start(self) -> None:
        path = self.folder / "envoy.json"
        path.write_text(json.dumps(config(SERVICES, logs=self.logs)))
        self.processes = [start(self.world, self.pod, path)]
        wait_for("answer", self.reachable, self.processes[0], self.name)


class EnvoyQuiet(Envoy):
    """Without."""

    title = "Envoy, no access log"
    logs = False
    baseline = "envoy-quiet"


def start(world: World, pod: Pod, path: Path) -> subprocess.Popen[bytes]:
    """One Envoy in a pod."""
    found = next((ROOT / ".venv-bench" / "lib").glob("python*/site-packages/envoy/_bin/envoy"), None)
    if found is None:
        raise Broken("Envoy is not in .venv-bench; scripts/bench installs it")
    words = [str(found), "-c", str(path), "--concurrency", "1", "-l", "error", "--disable-hot-restart"]
    return world.start(pod.name, words, pod=pod, core=world.proxy_core)


def config(
    services: tuple[Service, ...], *, logs: bool, listen: str = "127.0.0.1", upstream: tuple[str, int] | None = None
) -> Json:
    """Envoy's bootstrap. `upstream`: the one endpoint of each service, instead of its own."""
    listeners, clusters = [], []
    for service in services:
        stable = [upstream] if upstream else [(ip, service.target) for ip in service.stable]
        canary = [] if upstream else [(ip, service.target) for ip in service.canary]
        clusters.append(_cluster(service.name, stable))
        if canary:
            clusters.append(_cluster(f"{service.name}-canary", canary))
        chain = _tcp(service, logs) if service.opaque else _http(service, logs, split=bool(canary))
        listeners.append({
            "name": service.name,
            "address": _address(listen, service.local),
            "filter_chains": [{"filters": [chain]}],
        })
    return {
        "admin": {"address": _address("127.0.0.1", 9901)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }


def _http(service: Service, logs: bool, *, split: bool) -> Json:
    to: Json = {"cluster": service.name}
    if split:
        weights = ((service.name, STABLE_WEIGHT), (f"{service.name}-canary", CANARY_WEIGHT))
        to = {"weighted_clusters": {"clusters": [{"name": name, "weight": weight} for name, weight in weights]}}
    route = {
        "match": {"prefix": "/"},
        "route": {
            **to,
            "timeout": f"{TIMEOUT_SECONDS}s",
            "retry_policy": {"retry_on": "connect-failure,refused-stream,5xx", "num_retries": RETRIES},
        },
    }
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": MANAGER,
            "stat_prefix": service.name,
            **_access_log(logs),
            "route_config": {"virtual_hosts": [{"name": service.name, "domains": ["*"], "routes": [route]}]},
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        },
    }


def _tcp(service: Service, logs: bool) -> Json:
    return {
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": TCP_PROXY, "stat_prefix": service.name, "cluster": service.name, **_access_log(logs),
        },
    }


def _access_log(logs: bool) -> Json:
    # to /dev/null, as for every proxy here: what the disk costs is not the proxy's doing
    log = {"name": "envoy.access_loggers.file", "typed_config": {"@type": FILE_LOG, "path": "/dev/null"}}
    return {"access_log": [log]} if logs else {}


def _cluster(name: str, endpoints: list[tuple[str, int]]) -> Json:
    return {
        "name": name,
        "type": "STATIC",
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(*at)}} for at in endpoints]}],
        },
    }


def _address(ip: str, port: int) -> Json:
    return {"socket_address": {"address": ip, "port_value": port}}
