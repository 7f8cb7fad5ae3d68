"""Tulle as deployed: `tulle-proxy` as uid 4140, told by a real `tulle-control-plane`, reached through the rules of a
real `tulle-init`, with telemetry, the Prometheus exporter, the timeout policy, weights and balancing at work.

Owns the proof that all this was on: what the proxy itself counted, and the configuration it says it runs.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
from pathlib import Path
from typing import Any, ClassVar

from tulle_plugin_api import load

from bench.services import APP, SERVICES, Service
from bench.subjects.manifests import NAMESPACE, manifests
from bench.subjects.subject import Subject
from bench.world import CONTROL_PLANE_IP, RUN, Broken, Pod, World, run, wait_for

BIN = Path(sys.executable).parent
UID = 4140
ADMIN = 4191
GRPC = 8086
API = ("127.0.0.1", 8085)
"""Where the control plane answers, on the node."""
FOLDER = RUN / "manifests"


def tell(file: str, objects: list[dict[str, Any]]) -> None:
    """Put manifests into the folder, as `kubectl apply` would: whole, by a rename."""
    partial = FOLDER / f".{file}"
    partial.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    partial.rename(FOLDER / file)


def start_control_plane(world: World, objects: list[dict[str, Any]]) -> None:
    """On the node, on the client's core: what it costs is not the proxy's. Ready when this returns."""
    FOLDER.mkdir()
    tell("bench.json", objects)
    words = [str(BIN / "tulle-control-plane"), "--listen-host", CONTROL_PLANE_IP, "--log-level", "warning"]
    process = world.start("control-plane", words, pod=None, core=world.client_core,
                          env={"TULLE_CATALOG": "manifests", "TULLE_MANIFESTS": str(FOLDER)})
    wait_for("/ready", lambda: get(*API, "/ready")[0] == 200, process, "control-plane")
    catalog = json.loads(get(*API, "/api/v1/catalog")[1])
    if catalog.get("rejected"):
        raise Broken(f"the control plane rejected manifests: {catalog['rejected']}")


def objects() -> list[dict[str, Any]]:
    """The manifests, with those policies that are installed."""
    return manifests(SERVICES, load(kinds=("policy",)).policies)


def get(ip: str, port: int, path: str) -> tuple[int, str]:
    """An HTTP answer's status and body; (0, "") without one."""
    connection = http.client.HTTPConnection(ip, port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


class Tulle(Subject):
    """With its access log."""

    title = "Tulle"
    exporters: ClassVar[str] = "prometheus,access-log"

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        redirect(self.pod)

    def start(self) -> None:
        self.processes = [start_proxy(self.world, self.name, self.pod, self.exporters)]

    def address(self, service: Service) -> tuple[str, int]:
        """The Service's own; the kernel's rules lead to the proxy."""
        return service.vip, service.port

    def prove(self) -> dict[str, Any]:
        """Also that the answer came by way of the mesh's configuration."""
        found = super().prove()
        config = json.loads(get(self.pod.ip, ADMIN, "/config")[1])
        ip, port = self.address(APP)
        destination = config["destinations"].get(f"{ip}:{port}", {})
        if not destination.get("known") or set(destination["backends"]) != self.backends() or config.get("rejected"):
            raise Broken(f"{self.name} does not run the mesh's configuration: {config}")
        return {**found, "config": config}

    def backends(self) -> set[str]:
        """What the app's destination is to be split over."""
        return {f"{NAMESPACE}/{name}:{APP.port}" for name in (APP.name, f"{APP.name}-canary")}

    def confirm(self, requests: float) -> None:
        """That its telemetry was on: it has counted at least what was asked of it. Raises Broken."""
        counted = requests_total(metrics(self.pod), "outbound")
        if counted < requests:
            raise Broken(f"{self.name} has counted {counted} requests of {requests:g}: its telemetry was not at work")


class TulleQuiet(Tulle):
    """Without."""

    title = "Tulle, no access log"
    baseline = "envoy-quiet"
    exporters = "prometheus"


def redirect(pod: Pod) -> None:
    """The rules, as the init container of an injected pod puts them in. Raises Broken."""
    run("nsenter", f"--net=/run/netns/{pod.name}", str(BIN / "tulle-init"), "--skip-inbound-ports", str(ADMIN))


def start_proxy(world: World, name: str, pod: Pod, exporters: str) -> Any:
    """One `tulle-proxy`, with what the injector gives it; ready when this returns."""
    env = {
        "TULLE_POD_NAME": name, "TULLE_POD_NAMESPACE": NAMESPACE, "TULLE_POD_IP": pod.ip, "TULLE_POD_IPS": pod.ip,
        "TULLE_NODE_NAME": "node", "TULLE_SERVICE_ACCOUNT": "default", "TULLE_WORKLOAD": f"deployment/{name}",
        "TULLE_CONTROL_PLANE": f"{CONTROL_PLANE_IP}:{GRPC}", "TULLE_EXPORTERS": exporters,
    }
    process = world.start(name, [str(BIN / "tulle-proxy")], pod=pod, core=world.proxy_core, uid=UID, env=env)
    wait_for("/ready", lambda: get(pod.ip, ADMIN, "/ready")[0] == 200, process, name)
    return process


def metrics(pod: Pod) -> str:
    """What a scrape of its proxy answers."""
    return get(pod.ip, ADMIN, "/metrics")[1]


def requests_total(text: str, direction: str) -> int:
    """The sum of tulle_http_requests_total over all labels but one, of a Prometheus exposition."""
    found = re.findall(rf'^tulle_http_requests_total\{{.*direction="{direction}".*\}} (\S+)', text, re.MULTILINE)
    return int(sum(map(float, found)))
