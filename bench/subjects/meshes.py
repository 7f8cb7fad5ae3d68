"""Two hops, as in a mesh: a client's proxy, and a proxy before the app, each in its pod. Both proxies' CPU counts.

    client -> proxy | pod NAME -- node -- pod NAME-app | proxy -> app (nginx)
"""

from __future__ import annotations

import json

from bench.services import APP, MESHED, Service
from bench.subjects import envoy, nginx, tulle
from bench.subjects.manifests import NAMESPACE, meshed
from bench.subjects.subject import Subject
from bench.world import Broken, Pod, World, run, wait_for


class TulleMesh(tulle.Tulle):
    """Outbound and inbound, with both access logs."""

    title = "Tulle, two hops"
    baseline = "envoy-mesh"
    serves = (APP,)

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.app = _app(world, name)
        tulle.redirect(self.app)
        tulle.tell(f"{name}.json", meshed(MESHED, self.app.ip))

    def start(self) -> None:
        pods = (self.app, self.pod)
        self.processes = [tulle.start_proxy(self.world, pod.name, pod, self.exporters) for pod in pods]
        wait_for("answer", self.reachable, self.processes[1], self.name)

    def address(self, service: Service) -> tuple[str, int]:
        """The meshed Service's."""
        return MESHED.vip, MESHED.port

    def backends(self) -> set[str]:
        """One."""
        return {f"{NAMESPACE}/{MESHED.name}:{MESHED.port}"}

    def confirm(self, requests: float) -> None:
        """Also that both proxies were on the way."""
        for pod, direction in ((self.pod, "outbound"), (self.app, "inbound")):
            if not tulle.requests_total(tulle.metrics(pod), direction):
                raise Broken(f"{pod.name} has counted no {direction} request: it was not on the way")


class EnvoyMesh(envoy.Envoy):
    """The same with two of them."""

    title = "Envoy, two hops"
    baseline = "envoy-mesh"
    serves = (APP,)

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.app = _app(world, name)

    def start(self) -> None:
        configs = (
            (self.app, envoy.config((APP,), logs=True, listen=self.app.ip, upstream=("127.0.0.1", APP.target))),
            (self.pod, envoy.config((APP,), logs=True, upstream=(self.app.ip, APP.local))),
        )
        for pod, config in configs:
            path = self.folder / f"{pod.name}.json"
            path.write_text(json.dumps(config))
            self.processes.append(envoy.start(self.world, pod, path))
        wait_for("answer", self.reachable, self.processes[1], self.name)


def _app(world: World, name: str) -> Pod:
    pod = world.pod(f"{name}-app")
    nginx.start_backend(world, f"{name}-backend", f"0.0.0.0:{APP.target}", pod=pod)
    return pod


class EnvoyRedirected(envoy.Envoy):
    """Envoy behind a REDIRECT rule, as Tulle is: what interception alone costs a proxy."""

    title = "Envoy, redirected"

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        for service in self.serves:
            run("nsenter", f"--net=/run/netns/{name}", "iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp",
                "-d", service.vip, "--dport", str(service.port), "-j", "REDIRECT", "--to-ports", str(service.local))

    def address(self, service: Service) -> tuple[str, int]:
        """The Service's own, as with Tulle."""
        return service.vip, service.port


class Direct(Subject):
    """No proxy: the client's and the backend's own part of a latency."""

    title = "no proxy"

    def start(self) -> None:
        """Nothing to start."""

    def address(self, service: Service) -> tuple[str, int]:
        """The backend's."""
        return service.stable[0], service.target
