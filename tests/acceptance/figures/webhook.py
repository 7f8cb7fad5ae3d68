"""The webhook as it runs in the lab, asked over TLS: what it refuses, what it survives, what it leaves alone."""

from __future__ import annotations

import json
import re
import sys

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.mesh import NAMESPACE, SYSTEM, Mesh
from tests.acceptance.workspace import LOAD, REPOSITORY

APP = "tulle-admission-controller"
MALFORMED = REPOSITORY / "packages" / "admission-controller" / "tests" / "malformed.py"
GOLDEN = REPOSITORY / "packages" / "admission-controller" / "tests" / "golden"
REVIEWS = 200


def _uid(mesh: Mesh) -> Outcome:
    mesh.up()
    spec = {"containers": [{"name": "app", "image": "tulle/sample-app", "securityContext": {"runAsUser": 4140}}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "as-proxy", "namespace": NAMESPACE}, "spec": spec}
    done = mesh.tulle("lab", "apply", "-f", "-", stdin=json.dumps(pod))
    there = mesh.tulle("lab", "get", "pod", "as-proxy", "-n", NAMESPACE).code == 0
    reason = re.search(r"runs as uid 4140[^\n]*", done.said)
    return judged(
        f"refused: {reason[0].strip()}" if reason and done.code else "not refused",
        (done.code == 1, f"`tulle lab apply` exited with {done.code}"),
        (reason is not None and "bypass" in reason[0], f"it does not say why: {done.said[-200:]}"),
        (not there, "the pod was made all the same"),
    )


def _ask(mesh: Mesh, *argv: str) -> str:
    """Run a script on the node, with the webhook's address and authority appended to its arguments."""
    address = mesh.pod(APP, SYSTEM)["status"]["podIP"]
    bundle = str(mesh.lab.state / "run" / "admission" / "ca.pem")
    words = mesh.lab.exec_words("node", sys.executable, *argv, f"https://{address}:8443", "--ca", bundle)
    return mesh.tulle("lab", *words).said


def _process(mesh: Mesh) -> tuple[str, int]:
    status = mesh.pod(APP, SYSTEM)["status"]["containerStatuses"][0]
    return str(status["containerID"]), int(status["restartCount"])


def _malformed(mesh: Mesh) -> Outcome:
    mesh.up()
    before = _process(mesh)
    said = _ask(mesh, str(MALFORMED))
    found = re.search(r"(\d+) of (\d+) got a well-formed refusal", said)
    refused, sent = (int(found[1]), int(found[2])) if found else (0, 0)
    good = re.search(r"good reviews between them that failed: 0;", said)
    alive = _process(mesh) == before
    return judged(
        f"{refused} of {sent} got a well-formed refusal; process {'alive' if alive else 'DEAD'}",
        (sent >= REVIEWS, f"only {sent} were sent: {said[-300:]}"),
        (refused == sent, f"{sent - refused} did not: {said[-300:]}"),
        (good is not None, "good reviews between them failed"),
        (alive, "the webhook was restarted"),
    )


def _twice(mesh: Mesh) -> Outcome:
    mesh.up()
    said = _ask(mesh, str(LOAD / "golden.py"), str(GOLDEN))
    try:
        report = json.loads(said)
    except ValueError:
        return judged("no figure", (False, said[-300:]))
    same, patched = report["same"], report["patched"]
    return judged(
        f"{same} of {patched} patched pods stay the same the second time (of {report['pods']} golden pods)",
        (same == patched > 0, f"not the same: {report['different']}"),
        (report["pods"] >= 20, f"only {report['pods']} golden pods"),
    )


FIGURES = (
    Figure("proxy-uid", "an app as uid 4140 is refused by the webhook, with the reason", _uid),
    Figure("malformed-reviews", "200 or more: a well-formed refusal each, the process alive", _malformed),
    Figure("patch-twice", "applied twice equals once, for every golden pod", _twice),
)
