"""Why something is not ready: the first container at fault, its reason, its last words.

Owns the text that a person reads when waiting failed.
"""

from __future__ import annotations

from pathlib import Path

from tulle_lab.cluster.objects import Key, Object, is_terminating, is_true, owner_uid
from tulle_lab.daemon.lab import Lab

_LOG_LINES = 5


def diagnose(lab: Lab, key: Key) -> list[str]:
    """Why something is not ready: the first container that is not, its reason, its last words."""
    lines = [f"{key.kind.lower()} {key.name}:"]
    obj = lab.store.get(*key)
    if obj is None:
        return [f"{key.kind.lower()} {key.name} is gone"]
    pods = [obj] if key.kind == "Pod" else _pods_of(lab, obj)
    lines += [f"  {note['reason']}: {note['message']}" for note in lab.events.list(about=key)[-1:]]
    for pod in pods:
        if not is_true(pod, "Ready") and not is_terminating(pod):
            lines += [f"  {text}" for text in _diagnose_pod(lab, pod)]
            break
    return lines


def _pods_of(lab: Lab, owner: Object) -> list[Object]:
    pods = lab.store.list("Pod", owner["metadata"]["namespace"])
    return [pod for pod in pods if owner_uid(pod) == owner["metadata"]["uid"]]


def _diagnose_pod(lab: Lab, pod: Object) -> list[str]:
    metadata, status = pod["metadata"], pod.get("status", {})
    lines = []
    for state in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        if state["ready"]:
            continue
        kind, details = next(iter(state["state"].items()))
        words = [details.get("reason", ""), details.get("message", "")]
        if kind == "terminated":
            words.append(f"exit code {details['exitCode']}")
        text = ": ".join(word for word in words if word)
        lines.append(
            f"pod {metadata['name']}, container {state['name']}: {kind}{': ' + text if text else ', not ready'}"
        )
        lines += [f"  | {text}" for text in _last_lines(lab, pod, state)]
        break
    notes = lab.events.list(about=Key("Pod", metadata["namespace"], metadata["name"]))
    warnings = [note for note in notes if note["type"] == "Warning"]
    return lines + [f"{note['reason']}: {note['message']}" for note in warnings[-2:]]


def _last_lines(lab: Lab, pod: Object, state: Object) -> list[str]:
    folder: Path = lab.state.logs / pod["metadata"]["namespace"] / pod["metadata"]["name"] / state["name"]
    for restart in (state["restartCount"], state["restartCount"] - 1):
        path = folder / f"{restart}.log"
        text = path.read_bytes()[-4096:].decode(errors="replace").strip() if path.exists() else ""
        if text:
            return text.splitlines()[-_LOG_LINES:]
    return []
