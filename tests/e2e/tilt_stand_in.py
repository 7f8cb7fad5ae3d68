"""What `tilt up` does with our Tiltfile, on a real cluster, by docker, kind and kubectl. It is not Tilt.

For machines where Tilt cannot be had. Follows Tilt's documents (Tiltfile API, live_update reference, custom resources):
images are built of nothing but their `only`, get a tag by content, are loaded into kind, and take the place of their
name in containers, and in variables with match_in_env_vars; workloads wait for their resource_deps; a saved file is
copied as live_update's steps say into containers (not init containers) of the image, else the image is built anew.
What it does not know: Tilt's web page, its watching of files (it is told, and does one thing after another).
"""

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import yaml

from tests.tiltfile import evaluate, ignored, within

APART = ("Deployment",)
"""What Tilt makes a resource of its own of; all else is "uncategorized", and applied first."""


class StandIn:
    """Works in `folder`, a copy of the repository, whose files may be changed."""

    def __init__(self, folder, kubectl, cluster):
        self.folder, self.kubectl, self.cluster = Path(folder), kubectl, cluster
        self.called = evaluate(self.folder)
        self.images = self.called.named("docker_build")
        self.local = self.called.named("local_resource")
        self.resources = self.called.named("k8s_resource")
        self.environment = kubectl.environment
        self.references = {}

    def run(self, *words, given=None):
        done = subprocess.run(
            words, input=given, capture_output=True, check=False, cwd=self.folder, env=self.environment, timeout=900
        )
        assert done.returncode == 0, f"{' '.join(words)[:200]}: {done.stdout.decode()}{done.stderr.decode()}"
        return done.stdout.decode()

    def act(self, name):
        """What a click on a local resource does."""
        return self.run("sh", "-c", self.local[name]["second"])

    # --- images
    def context(self, name):
        """What docker is given: the Dockerfile, .dockerignore and `only`."""
        keywords, made = self.images[name], io.BytesIO()

        def kept(each):
            return None if ignored(each.name, keywords["ignore"]) else each

        with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for path in ("Dockerfile", ".dockerignore", *keywords["only"]):
                tar.add(self.folder / path, path, filter=kept)
        return made.getvalue()

    def build(self, *names):
        """Build, tag, and load into the cluster."""
        for name in names:
            keywords = self.images[name]
            arguments = [f"--build-arg={key}={value}" for key, value in keywords["build_args"].items()]
            words = ("docker", "build", "-q", "--target", keywords["target"], *arguments, "-")
            found = self.run(*words, given=self.context(name)).strip()
            self.references[name] = f"docker.io/{name}:tilt-{found.removeprefix('sha256:')[:16]}"
            self.run("docker", "tag", found, self.references[name])
        self.run("kind", "load", "docker-image", "--name", self.cluster, *(self.references[each] for each in names))

    # --- objects
    def objects(self):
        """Those of the Tiltfile, as they are written."""
        found = []
        for arguments, _ in self.called["kustomize"]:
            found += yaml.safe_load_all(self.run("kubectl", "kustomize", arguments[0]))
        for arguments, _ in self.called["k8s_yaml"]:
            for path in arguments[0] if isinstance(arguments[0], list) else ():
                found += yaml.safe_load_all((self.folder / path).read_text())
        return [each for each in found if each]

    def with_images(self, made):
        """A Deployment with the references of what was built; and the names of those images."""
        used = set()
        for container in made["spec"]["template"]["spec"]["containers"]:
            name = container["image"].partition(":")[0]
            if name in self.references:
                used.add(name)
                container |= {"image": self.references[name], "imagePullPolicy": "Never"}
            for variable in container.get("env", ()):
                name = variable.get("value", "").partition(":")[0]
                if name in self.references and self.images[name]["match_in_env_vars"]:
                    used.add(name)
                    variable["value"] = self.references[name]
        return made, used

    def deploy(self, *names):
        """Apply these Deployments, and wait for them."""
        for each in self.objects():
            if each["kind"] in APART and each["metadata"]["name"] in names:
                made, _ = self.with_images(each)
                self.kubectl.apply(made)
                self.kubectl.rolled_out(made["metadata"]["namespace"], f"deploy/{made['metadata']['name']}")

    def up(self):
        """All that is not started by hand, in the order of resource_deps. Local resources run, but for `wheels`."""
        self.build(*self.images)
        first = [each for each in self.objects() if each["kind"] not in APART]
        self.kubectl.apply(*sorted(first, key=lambda each: each["kind"] != "Namespace"))
        todo = self.resources | {name: each for name, each in self.local.items() if each.get("auto_init", True)}
        done = {"wheels"}
        while rest := [name for name in todo if name not in done]:
            able = [name for name in rest if set(todo[name].get("resource_deps", ())) <= done]
            assert able, f"these wait for each other: {rest}"
            self.deploy(*(name for name in able if name in self.resources))
            for name in able:
                if name in self.local:
                    self.act(name)
            done |= set(able)

    def down(self):
        """`tilt down --delete-namespaces`."""
        given = {"apiVersion": "v1", "kind": "List", "items": self.objects()}
        self.kubectl("delete", "--ignore-not-found", "--wait=true", "-f", "-", given=given)

    # --- a file is saved
    def write(self, path, old, new):
        """Change a file of `folder`."""
        text = (self.folder / path).read_text()
        assert old in text, f"{path} has no {old!r} any more"
        (self.folder / path).write_text(text.replace(old, new))

    def after_local(self, path):
        """What becomes of a saved file in local resources: the names of those that ran."""
        done = []
        for name, each in self.local.items():
            by_hand = each.get("trigger_mode") == "manual"
            if not by_hand and within(path, each["deps"]) and not ignored(path, each["ignore"]):
                self.act(name)
                done.append(name)
        return done

    def after_images(self, path):
        """What becomes of it in images: the containers that it was copied to, the Deployments that are new."""
        done = []
        for name, each in self.images.items():
            if not within(path, each["only"]) or ignored(path, each["ignore"]):
                continue
            steps = [step for step in each["live_update"] if step[0] == "sync" and within(path, [step[1]])]
            if steps:
                done += self.copy(name, path, steps[0], [step[1] for step in each["live_update"] if step[0] == "run"])
            else:
                self.build(name)
                for made in self.objects():
                    if made["kind"] in APART and name in self.with_images(made)[1]:
                        self.deploy(made["metadata"]["name"])
                        done.append(made["metadata"]["name"])
        return done

    def copy(self, image, path, step, commands):
        """live_update, in each running container of the image."""
        made, done = io.BytesIO(), []
        target = f"{step[2]}/{Path(path).relative_to(step[1])}".lstrip("/")
        with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(self.folder / path, target)
        for pod in json.loads(self.kubectl("get", "pods", "-A", "-o", "json"))["items"]:
            for container in pod["spec"]["containers"]:
                if container["image"] == self.references[image] and not pod["metadata"].get("deletionTimestamp"):
                    there = (
                        "kubectl", "-n", pod["metadata"]["namespace"], "exec", "-i", pod["metadata"]["name"],
                        "-c", container["name"], "--",
                    )  # fmt: skip
                    self.run(*there, "tar", "-C", "/", "-x", "-v", "-f", "-", given=made.getvalue())
                    for command in commands:
                        self.run(*there, "sh", "-c", command)
                    done.append(f"{pod['metadata']['name']}/{container['name']}")
        return done


def copied(source, folder):
    """What the Tiltfile reads, in a folder where it may be changed."""
    for name in ("Dockerfile", ".dockerignore", "Tiltfile", "constraints.txt"):
        (folder / name).write_bytes((source / name).read_bytes())
    names = ["packages", "plugins", "deploy", "scripts", "wheels"]
    subprocess.run(["cp", "-a", *(os.fspath(source / each) for each in names), os.fspath(folder)], check=True)
    return folder
