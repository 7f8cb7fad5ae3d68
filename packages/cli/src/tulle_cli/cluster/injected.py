"""Which pods of a cluster have a proxy, and of which version: asked of the pods, since a control plane may be away."""

from __future__ import annotations

from tulle_cli.cluster.kubectl import Kubectl

ANNOTATION = "tulle.dev/injected"


def injected(kubectl: Kubectl) -> list[tuple[str, str]]:
    """("namespace/pod", version) of each; pods that have ended are none. Raises KubectlFailed."""
    return [
        (f"{pod['metadata']['namespace']}/{pod['metadata']['name']}", pod["metadata"]["annotations"][ANNOTATION])
        for pod in kubectl.get("pods", "-A")["items"]
        if ANNOTATION in pod["metadata"].get("annotations", {})
        and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
    ]
