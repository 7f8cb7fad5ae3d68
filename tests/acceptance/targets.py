"""Services for figures about traffic: their endpoints are servers that do as they are told, their client is one's own.

Owns the pods of manifests/targets.yaml and what is made of them: a Service is a name, the numbers of its targets, and
policies. `asking` takes all of it down again. Refuses to judge anything.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.mesh import NAMESPACE, Mesh

ASKER = "deploy/asker"
FIRST = 9000
MOST = 40
"""Targets."""

Json = dict[str, Any]
Report = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """A Service to be made. `policies`: type -> config; `weights`: of other Services, behind an HTTPRoute."""

    name: str
    targets: Sequence[int] = ()
    policies: Mapping[str, Json] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)

    def objects(self, ip: str) -> list[Json]:
        """As a user would write them; a slice for each target, since each has a port of its own."""
        found: list[Json] = []
        for kind, config in self.policies.items():
            spec = {"targetRef": {"kind": "Service", "name": self.name}, "type": kind, "config": config}
            found.append({"apiVersion": "tulle.dev/v1alpha1", "kind": "MeshPolicy",
                          "metadata": _named(f"{self.name}-{kind}"), "spec": spec})
        if self.weights:
            parent = {"group": "", "kind": "Service", "name": self.name, "port": 80}
            backends = [{"name": name, "port": 80, "weight": weight} for name, weight in self.weights.items()]
            found.append({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
                          "metadata": _named(self.name),
                          "spec": {"parentRefs": [parent], "rules": [{"backendRefs": backends}]}})
        found += [self.slice(number, ip) for number in self.targets]
        # the Service comes last: when the proxy knows it, it knows what was there before
        port = {"name": "http", "port": 80, "targetPort": 80}
        return [*found, {"apiVersion": "v1", "kind": "Service", "metadata": _named(self.name),
                         "spec": {"ports": [port]}}]

    def slice(self, number: int, ip: str, *, there: bool = True) -> Json:
        """The EndpointSlice of one target; `there`: whether it has its endpoint."""
        return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {**_named(f"{self.name}-{number}"), "labels": {"kubernetes.io/service-name": self.name}},
                "ports": [{"name": "http", "port": FIRST + number}],
                "endpoints": [{"addresses": [ip], "conditions": {"ready": True}}] if there else []}


def _named(name: str) -> Json:
    return {"name": name, "namespace": NAMESPACE}


def _manifest(objects: list[Json]) -> str:
    return "".join(f"---\n{json.dumps(each)}\n" for each in objects)


class Targets:
    """The servers, and Services made of them."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self.ip = str(mesh.pod("targets")["status"]["podIP"])
        self._made: list[Made] = []

    def make(self, *services: Made) -> None:
        """Have these Services, and wait until the client's proxy knows each with its endpoints and policies."""
        self._made += services
        self._apply([each for service in services for each in service.objects(self.ip)])
        urls = [f"http://{service.name}/" for service in services]
        self.ask(*urls, requests=1, connections=1)  # a proxy learns of what is asked for
        for service in services:
            self._wait(service)
        self.told("reset")

    def take_away(self, service: Made, number: int) -> None:
        """One endpoint leaves; wait until the client's proxy knows."""
        self._apply([service.slice(number, self.ip, there=False)])
        self._wait(Made(service.name, [each for each in service.targets if each != number]))

    def remove(self) -> None:
        """All Services that were made."""
        objects = [each for made in self._made for each in made.objects(self.ip)]
        if objects:
            self._mesh.lab.run("delete", "-f", "-", stdin=_manifest(objects))
        self._made.clear()

    def be(self, number: int = 0, **said: float) -> None:
        """What target `number`, or all, are from now on: load/targets.py."""
        self.told("be", **({"target": number} if number else {}), **said)

    def told(self, path: str, **said: float) -> str:
        """Tell the servers."""
        query = "&".join(f"{name}={value:g}" for name, value in said.items())
        return self._mesh.lab.exec("node", "curl", "-sS", "--fail", f"http://{self.ip}:{FIRST}/{path}?{query}")

    def counts(self) -> dict[int, int]:
        """Requests that came to each target."""
        return {int(number): count for number, count in json.loads(self.told("counts")).items()}

    def settled(self) -> dict[int, int]:
        """The counts, once they are twice the same: what nobody waits for has come, too."""
        last = self.counts()
        while (now := self.counts()) != last:
            last = now
        return now

    def ask(self, *urls: str, keys: bool = False, **options: float) -> list[Report]:
        """load/ask.py's reports; `options` are its own."""
        words = [word for name, value in options.items() for word in (f"--{name}", f"{value:g}")]
        found: list[Report] = self._mesh.script("ask", *urls, *words, *(["--keys"] if keys else []), client=ASKER)
        return found

    def counted(self, name: str) -> float:
        """What the client's proxy has counted as `tulle_proxy_NAME`, whatever the labels."""
        return self._mesh.metrics(self._mesh.pod("asker")).total(f"tulle_proxy_{name}")

    def _apply(self, objects: list[Json]) -> None:
        self._mesh.apply_text(_manifest(objects))

    def _known(self, name: str) -> dict[str, set[str]]:
        """Backend -> its endpoints, as the client's proxy knows them; empty before it knows the Service."""
        config = json.loads(self._mesh.admin(self._mesh.pod("asker"), "/config"))
        for each in config["destinations"].values():
            if str(each.get("service", "")).startswith(f"{name}.{NAMESPACE}."):
                return {key.split("/")[-1].removesuffix(":80"): set(said.get("endpoints", {}))
                        for key, said in each["backends"].items()}
        return {}

    def _wait(self, made: Made) -> None:
        self._mesh.until(lambda: self._knows(made) or None, f"the client's proxy to know {made.name} as it is")

    def _knows(self, made: Made) -> bool:
        known = self._known(made.name)
        wanted = {f"{self.ip}:{FIRST + number}" for number in made.targets}
        return made.weights.keys() <= known.keys() if made.weights else known.get(made.name) == wanted


@contextlib.contextmanager
def asking(mesh: Mesh, *services: Made) -> Iterator[Targets]:
    """Servers, a client, and these Services, which are gone when the block is left. The pods stay (`leave`)."""
    mesh.up()
    mesh.apply("targets")
    targets = Targets(mesh)
    try:
        targets.make(*services)
        yield targets
    finally:
        targets.remove()


def leave(mesh: Mesh) -> None:
    """The pods go: no later figure is to measure a proxy that every policy has run in."""
    if mesh.pods("targets"):
        mesh.delete("targets")
