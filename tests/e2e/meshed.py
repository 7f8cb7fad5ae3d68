"""What the tests do in a mesh: objects to apply, and requests from an app's own container."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOAD = (ROOT / "tests/e2e/load.py").read_text()
APP_B = "http://app-b/"
FULL = bool(os.environ.get("FULL"))
"""The long variants: 20 restarts, 1,000 pods under a rotation."""
# of these a cluster that is itself called tulle has some, or their names are of what they are about
NOT_LOOKED_AT = ("nodes", "csinodes", "leases", "events", "pods", "componentstatuses", "ciliumnodes")


def make_demo(kubectl, restart=True):
    """The namespace demo with the sample app, anew or as it was; `restart`: its pods may have older images."""
    for kind in ("httproutes", "meshpolicies"):
        kubectl.run("-n", "demo", "delete", kind, "--all")
    kubectl("apply", "-f", ROOT / "deploy/sample-app/namespace.yaml")
    for name in ("app-a", "app-b", "app-b2"):
        text = (ROOT / f"deploy/sample-app/{name}.yaml").read_text()
        kubectl(
            "apply", "-f", "-", given=text.replace('{name: LOAD_RPS, value: "100"}', '{name: LOAD_RPS, value: "0"}')
        )
    if restart:
        kubectl("-n", "demo", "rollout", "restart", "deploy")
    kubectl.rolled_out("demo")


def load(kubectl, requests, connections=8, url=APP_B):
    """Requests from app-a's own container: what it counts is what a client of the mesh sees."""
    return kubectl.python("demo", "deploy/app-a", "app", LOAD, url, str(requests), str(connections))


class Load:
    """Requests for as long as the block lasts, and until there were `at_least`; `counts` after it."""

    def __init__(self, kubectl, connections=4, at_least=0):
        command = ("-n", "demo", "exec", "-i", "deploy/app-a", "-c", "app", "--", "python", "-c", LOAD)
        self.process = kubectl.start(*command, APP_B, "0", str(connections), str(at_least))
        self.counts = {}

    def __enter__(self):
        assert self.process.stdout.readline() == "asking\n", self.process.stderr.read()
        return self

    def __exit__(self, kind, error, trace):
        said, problems = self.process.communicate("stop\n", timeout=900)
        if kind is None:
            assert self.process.returncode == 0, problems
            self.counts = json.loads(said)

    def nothing_failed(self):
        """The number of requests, all of which were answered with 200."""
        assert self.counts["errors"] == {}, self.counts
        assert set(self.counts["statuses"]) == {"200"}, self.counts
        return self.counts["statuses"]["200"]


def policy(name, type_, config, target=None):
    """A MeshPolicy in demo; on app-b, unless said otherwise."""
    return {
        "apiVersion": "tulle.dev/v1alpha1",
        "kind": "MeshPolicy",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {"targetRef": target or {"kind": "Service", "name": "app-b"}, "type": type_, "config": config},
    }


def container(name, *command, **more):
    """A container of the sample app's image; with a command, it is Python's."""
    made = {"name": name, "image": "tulle/sample-app:0.1.0", "imagePullPolicy": "Never", **more}
    return made | ({"command": ["python", "-c", *command]} if command else {})


def pod(name, namespace, **labels):
    """A pod with the sample app."""
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container("app")]}}


def proxied(made):
    """Whether a pod has our two containers, first, and no other init containers."""
    return [each["name"] for each in made["spec"].get("initContainers", ())] == ["tulle-init", "tulle-proxy"]


def creates(kubectl, namespace, name):
    """(whether a pod of that namespace could be made, whether it had a proxy, what was said). Dry run."""
    made = pod(name, namespace)
    status, output = kubectl.run("create", "--dry-run=server", "-o", "json", "-f", "-", given=made)
    return status == 0, '"name": "tulle-proxy"' in output, output


def tulle(kubectl, *arguments):
    """(exit status, all that it said) of our own command, for the cluster of `kubectl`."""
    done = subprocess.run(
        [sys.executable, "-m", "tulle_cli.main", *map(str, arguments)],
        capture_output=True, text=True, check=False, env=kubectl.environment, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def ours(kubectl):
    """Everything in the cluster that is named after Tulle, of every kind that can be listed."""

    def everything():
        kinds = kubectl("api-resources", "--verbs=list", "-o", "name").split()
        looked_at = ",".join(kind for kind in kinds if kind.partition(".")[0] not in NOT_LOOKED_AT)
        found = kubectl.said("get", looked_at, "-A", "-o", "name")[1].split()  # some may be named, and not be listed
        return found if "namespace/default" in found else []

    found = kubectl.until(everything, "all that the cluster has is listed", times=30)
    return {each for each in found if "/" in each and "tulle" in each}


def documents(text):
    """The objects that kubectl printed one after the other, with warnings between them; lists are taken apart."""
    found, decoder, at = [], json.JSONDecoder(), text.find("{")
    while at >= 0:
        document, end = decoder.raw_decode(text, at)
        found += document["items"] if document["kind"] == "List" else [document]
        at = text.find("\n{", end)
        at = at + 1 if at >= 0 else -1
    return found
