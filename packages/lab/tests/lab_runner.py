"""Runs a real lab for tests, by its commands, as a person would; and describes what pods it shall run."""

import json
import os
import subprocess
import sys
from pathlib import Path

SERVER = str(Path(__file__).parent / "programs" / "server.py")


class Lab:
    """A lab in `state`; `prefix` goes before every command (another user, another namespace)."""

    def __init__(self, state, prefix=()):
        self.state, self.prefix = Path(state), tuple(prefix)

    def run(self, *words, code=0, stdin="", **env):
        """`tulle lab WORDS`; its standard output. Fails when it does not exit with `code` (None: any)."""
        done = self.run_raw(*words, stdin=stdin, **env)
        if code is not None and done.returncode != code:
            raise AssertionError(f"tulle lab {' '.join(words)} -> {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def run_raw(self, *words, stdin="", **env):
        return subprocess.run(
            self.command(*words),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "TULLE_LAB_STATE": str(self.state), "NO_COLOR": "1", **env},
        )

    def command(self, *words):
        return [*self.prefix, sys.executable, "-m", "tulle_lab", *words]

    def fails(self, *words, code=1, stdin=""):
        """The message of a command that has to fail."""
        done = self.run_raw(*words, stdin=stdin)
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}{done.stderr}"
        return done.stderr

    def apply(self, *objects, wait=True):
        return self.run("apply", "-f", "-", *(["--wait"] if wait else []), stdin=manifest(*objects))

    def items(self, kind, namespace="default"):
        return json.loads(self.run("get", kind, "-n", namespace, "-o", "json"))["items"]

    def get(self, kind, name, namespace="default"):
        return json.loads(self.run("get", kind, name, "-n", namespace, "-o", "json"))

    def pods(self, namespace, **labels):
        found = self.items("pods", namespace)
        return [pod for pod in found if all(pod["metadata"].get("labels", {}).get(k) == v for k, v in labels.items())]

    def wait(self, what, target, namespace):
        self.run("wait", target, f"--for={what}", "-n", namespace, "--timeout", "60s")

    def curl(self, url, *more, source="node", namespace="default", code=0):
        """The body of a request from the node, or from a pod."""
        words = ("exec", source, "-n", namespace, "--", "curl", "-gsS", "--max-time", "10", *more, url)
        return self.run(*words, code=code)

    def ask(self, url, **where):
        return json.loads(self.curl(url, **where))

    @property
    def pid(self):
        return json.loads((self.state / "lab.json").read_text())["pid"]


def manifest(*objects):
    return json.dumps({"kind": "List", "items": list(objects)})


def namespace(name, **labels):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def container(name="app", *, probe=True, script=None, **more):
    """The server of programs/server.py, or an inline script."""
    args = ["-u", SERVER] if script is None else ["-u", "-c", script]
    found = {"name": name, "image": "python", "args": args}
    if probe and script is None:
        found["ports"] = [{"name": "http", "containerPort": 8080}]
        found["readinessProbe"] = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1}
    return {**found, **more}


def pod_spec(*containers, **more):
    return {"containers": list(containers) or [container()], "terminationGracePeriodSeconds": 5, **more}


def pod(name, namespace, *containers, labels=None, annotations=None, **spec):
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": labels or {"app": name},
        "annotations": annotations or {},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(*containers, **spec)}


def deployment(name, namespace, *containers, replicas=1, strategy=None, **spec):
    template = {"metadata": {"labels": {"app": name}}, "spec": pod_spec(*containers, **spec)}
    own = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    if strategy:
        own["strategy"] = strategy
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": own}


def service(name, namespace, **spec):
    own = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": own}


def config_map(name, namespace, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}
