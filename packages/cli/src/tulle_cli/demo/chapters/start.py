"""A mesh starts: ordinary manifests, and what the webhook added to each pod."""

from __future__ import annotations

from typing import Any

from tulle_cli.demo.scene import NAMESPACE, Scene, is_ready
from tulle_cli.terminal import columns

HEAD = ("POD", "READY", "FROM THE MANIFEST", "INJECTED", "ADDRESS")


def tell(scene: Scene) -> None:
    """Start the lab; claim that every pod is ready and has a proxy that no manifest names."""
    stage, lab = scene.stage, scene.lab
    stage.chapter("A mesh starts")
    stage.command(f"tulle lab up -f {scene.manifests}")
    lab.up(scene.manifests, stage.show)
    pods = stage.until(lambda: _all_ready(scene), "every pod of demo to be ready", hint="tulle lab get pods -A")
    stage.command(f"tulle lab get pods -n {NAMESPACE}")
    stage.show(columns(HEAD, [row(pod) for pod in pods]))
    stage.say(
        """A pod is a network namespace here, with its own address. The manifests name one container for each; the
        webhook was asked over TLS, as Kubernetes would, and added tulle-init, which writes the pod's firewall rules
        and ends, and tulle-proxy."""
    )
    injected = [pod for pod in pods if {"tulle-init", "tulle-proxy"} <= set(containers(pod)[1])]
    stage.claim(
        len(injected) == len(pods) > 0,
        f"{len(pods)} pods are ready, and each has a proxy",
        f"only {len(injected)} of {len(pods)} have one",
        "tulle lab get events -n demo",
    )
    scene.begin()


def _all_ready(scene: Scene) -> list[dict[str, Any]] | None:
    pods = scene.pods()
    return pods if pods and all(map(is_ready, pods)) else None


def containers(pod: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Names of the containers of the manifest, and of those that were injected."""
    spec = pod["spec"]
    names = [item["name"] for item in [*spec.get("initContainers", []), *spec["containers"]]]
    return [n for n in names if not n.startswith("tulle-")], [n for n in names if n.startswith("tulle-")]


def row(pod: dict[str, Any]) -> tuple[str, ...]:
    """Cells under HEAD."""
    own, injected = containers(pod)
    return (
        pod["metadata"]["name"],
        "yes" if is_ready(pod) else "no",
        ", ".join(own),
        ", ".join(injected),
        pod.get("status", {}).get("podIP", ""),
    )
