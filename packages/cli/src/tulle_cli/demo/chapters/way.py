"""One request's way, hop by hop: the rules that captured it, and what both proxies wrote down."""

from __future__ import annotations

import json
import secrets
from typing import Any

from tulle_cli.demo import hops
from tulle_cli.demo.scene import APP_A, NAMESPACE, Scene
from tulle_cli.terminal import columns

# the comments of the rules that carry the story (tulle_init_container.rules)
_TELLING = ("tulle:proxy", "tulle:redirect")


def tell(scene: Scene) -> None:
    """One request from outside the mesh; claim that all who saw it tell the same."""
    stage = scene.stage
    stage.chapter("One request's way")
    path = f"/hello-{secrets.token_hex(3)}"
    stage.command(f"tulle lab exec node -- curl {APP_A}{path}")
    answer = json.loads(scene.lab.curl(APP_A + path))
    journey = stage.until(lambda: _journey(scene, path, answer), "the access logs of both proxies to show the request")
    stage.show(columns(hops.HEAD, hops.table(journey, "the node"), {"STATUS", "TOOK"}))
    stage.say(
        """No program on this way was changed, or told of a proxy. The kernel sent their connections there; these are
        the rules in app-a's pod that did it:"""
    )
    telling = telling_rules(rules(scene, journey.pod_a))
    stage.show("\n".join(telling))
    stage.claim(
        journey.agreed,
        f"app-a's proxy, app-b's proxy and app-b itself agree: {journey.pod_b} served it",
        f"app-a's proxy sent it to {journey.outbound_a.get('pod')}, but {journey.pod_b} answered",
    )


def _journey(scene: Scene, path: str, answer: dict[str, Any]) -> hops.Journey | None:
    at_a = hops.lines(_log(scene, answer["pod"]), path)
    at_b = hops.lines(_log(scene, answer["upstream"]["answer"]["pod"]), path)
    inbound_a, outbound_a = hops.first(at_a, "inbound"), hops.first(at_a, "outbound")
    inbound_b = hops.first(at_b, "inbound")
    if inbound_a is None or outbound_a is None or inbound_b is None:
        return None
    return hops.Journey(inbound_a, outbound_a, inbound_b, answer)


def _log(scene: Scene, pod: str) -> str:
    return scene.lab.run("logs", pod, "-n", NAMESPACE, "-c", "tulle-proxy", "--tail", "50000")


def rules(scene: Scene, pod: str) -> str:
    """What the kernel has in the pod's network namespace: `iptables-save` there, by way of a process of the pod."""
    found = next(item for item in scene.pods() if item["metadata"]["name"] == pod)
    process = str(found["status"]["containerStatuses"][0]["containerID"]).removeprefix("tulle://")
    words = ("nsenter", "--target", process, "--net", "iptables-save", "-t", "nat")
    scene.stage.command(f"tulle lab exec node -- {' '.join(words)}")
    return scene.lab.run("exec", "node", "--", *words)


def telling_rules(saved: str) -> list[str]:
    """Of what `iptables-save` printed, the rules of ours that the story is about, without their comments."""
    found = []
    for line in saved.splitlines():
        if line.startswith("-A TULLE_") and any(name in line for name in _TELLING):
            words = line.split()
            for option in ("-m comment --comment", "-m tcp"):
                line = " ".join(words)
                at = line.find(option)
                if at >= 0:
                    rest = line[at + len(option) :].split()
                    words = (line[:at] + " ".join(rest[1:] if "comment" in option else rest)).split()
            found.append(" ".join(words))
    return found
