"""Puts objects into a cluster in the order in which they can be there, and waits: what install and upgrade share.

Also what an installation was told (`Told`), kept in an annotation of the namespace, so that an upgrade need not be told
again. Everything through kubectl, server-side, as field manager "tulle-install".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import yaml

from tulle_cli.cluster import manifests
from tulle_cli.cluster.kubectl import Kubectl
from tulle_cli.cluster.manifests import Object

MANAGER = "tulle-install"
NAMESPACE = "tulle-system"
WEBHOOK = "tulle-admission-controller"
TOLD = "tulle.dev/installed-with"


@dataclass(frozen=True)
class Told:
    """What `tulle install` was told of; as its options are."""

    ha: bool = False
    registry: str = ""
    settings: dict[str, str] = field(default_factory=dict)

    def objects(self) -> list[Object]:
        """What follows from it, remembered in the namespace. Raises CliError for a setting that no program has."""
        found = manifests.rendered("ha" if self.ha else "default", registry=self.registry, settings=self.settings)
        for each in found:
            if each["kind"] == "Namespace":
                each["metadata"].setdefault("annotations", {})[TOLD] = json.dumps(asdict(self), sort_keys=True)
        return found

    @classmethod
    def of(cls, namespace: Object) -> Told | None:
        """What was remembered; None where nothing was (kubectl apply -k), or it is not ours to read."""
        try:
            said = json.loads(namespace["metadata"]["annotations"][TOLD])
            return cls(
                ha=bool(said["ha"]),
                registry=str(said["registry"]),
                settings={str(name): str(value) for name, value in said["settings"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


def put(kubectl: Kubectl, objects: list[Object], timeout: int, say: Callable[[str], None]) -> None:
    """Apply them, take away what an installation of another kind left, and wait. Raises KubectlFailed."""
    first = [each for each in objects if each["kind"] in ("Namespace", "CustomResourceDefinition")]
    rest = [each for each in objects if each not in first]
    apply = ("apply", "--server-side", f"--field-manager={MANAGER}", "-f", "-")
    for part in (first, rest):
        say(kubectl.run(*apply, given=yaml.safe_dump_all(part, sort_keys=False)).rstrip("\n"))
        if part is first:  # what rests on a namespace and a CRD cannot be applied before they are known
            kubectl.run("wait", "--for=condition=Established", "crd/meshpolicies.tulle.dev", f"--timeout={timeout}s")
    there = {(each["kind"], each["metadata"]["name"]) for each in objects}
    former = [each for each in manifests.rendered("ha") if (each["kind"], each["metadata"]["name"]) not in there]
    if former:  # it may have been installed with --ha before
        kubectl.run("delete", "--ignore-not-found", "-f", "-", given=yaml.safe_dump_all(former, sort_keys=False))
    for each in objects:
        if each["kind"] == "Deployment":
            name, namespace = each["metadata"]["name"], each["metadata"]["namespace"]
            kubectl.stream(["-n", namespace, "rollout", "status", f"deployment/{name}", f"--timeout={timeout}s"])
    _wait_for_the_last_word_of_former_webhooks(kubectl, timeout)


def _wait_for_the_last_word_of_former_webhooks(kubectl: Kubectl, timeout: int) -> None:
    """A rollout is complete while replicas that it replaced still drain, and reviews that they answer give pods the
    proxy of before: who is told "done" and restarts deployments would get a mix. Raises KubectlFailed."""
    pods = kubectl.get("pods", "-n", NAMESPACE, "-l", f"app={WEBHOOK}")["items"]
    going = [f"pod/{each['metadata']['name']}" for each in pods if "deletionTimestamp" in each["metadata"]]
    if going:
        kubectl.run("-n", NAMESPACE, "wait", "--for=delete", *going, f"--timeout={timeout}s")
