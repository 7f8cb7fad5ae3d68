"""docs/install.md, followed word by word on a real cluster: every line of its shell blocks is given to a shell, as it
stands and in the order in which it stands; then it is looked at whether what the document says has come about.

What cannot be typed here as it stands is in INSTEAD, with its reason. By its name it comes after test_traffic.py, which
sees to it that the CRDs of Gateway API are put in while the control plane runs.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import blocks
from tests.e2e.meshed import ROOT, load, ours, pod, proxied, tulle

DOCUMENT = ROOT / "docs/install.md"
TULLE = Path(sys.executable).parent

INSTEAD = {
    # a line begins so: (what is replaced, by what); nothing: it is left out
    "scripts/wheels": None,  # needs an index; scripts/images has made them, where there is one
    "docker buildx bake --push": None,  # needs a registry; tests/integration/test_bake.py
    "kind load docker-image": ("--name kind", "--name {cluster}"),  # a reader's cluster has a name of their own
}
HELM = ("tulle install --helm", "helm install")
"""Another way to the same, on a cluster without Tulle: the test at the end."""


def statements():
    """What a reader types, one after the other; a here-document is one with its command."""
    found = []
    for block in blocks.blocks(DOCUMENT):
        until = None
        for line in block.text.splitlines():
            if until is not None:
                found[-1] += f"\n{line}"
                until = None if line == until else until
                continue
            found.append(line)
            until = line.partition("<<")[2].strip("-' ") or None
    return found


class Reader:
    """Somebody with a shell and the cluster's kubeconfig. What they `export` stays."""

    def __init__(self, cluster, folder=ROOT):
        self.name, self.folder, self.exported = cluster.name, folder, []
        self.environment = {
            **os.environ, "KUBECONFIG": str(Path(cluster.kubeconfig_path).absolute()), "SKIP_WHEELS": "1",
            "PATH": os.pathsep.join([str(TULLE), os.environ["PATH"]]),
        }  # fmt: skip
        self.environment.pop("TULLE_API", None)

    def types(self, statement):
        """Run it; what it said. Fails where it does."""
        for begins, change in INSTEAD.items():
            if statement.startswith(begins):
                if change is None:
                    return ""
                assert change[0] in statement, f"INSTEAD expects {change[0]!r} in: {statement}"
                statement = statement.replace(change[0], change[1].format(cluster=self.name))
                break
        if statement.startswith("export "):
            self.exported.append(statement)
        script = "\n".join(["set -euo pipefail", *self.exported, statement])
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environment,
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, f"{statement}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def shop(demo):
    """A namespace that has a program, and is not of the mesh: the document's."""
    demo.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    template = pod("shop", "shop", app="shop")
    spec = {"selector": {"matchLabels": {"app": "shop"}}, "replicas": 1,
            "template": {"metadata": {"labels": {"app": "shop"}}, "spec": template["spec"]}}  # fmt: skip
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop", "namespace": "shop"}}
    demo.apply(made | {"spec": spec})
    demo.rolled_out("shop")
    yield demo
    demo("delete", "namespace", "shop", "--wait=false")


def joined(kubectl):
    """shop's pods, made anew, where each has a proxy; else none."""
    kubectl.rolled_out("shop")
    pods = [each for each in kubectl.get("-n", "shop", "pods")["items"] if "deletionTimestamp" not in each["metadata"]]
    return pods if all(map(proxied, pods)) else []


def test_the_document_word_by_word(shop, gateway_api, cluster):
    kubectl, said, reader = shop, {}, Reader(cluster)
    kubectl("apply", "-f", ROOT / "deploy/sample-app/canary/httproute.yaml")  # the document asks for its status
    assert tulle(kubectl, "uninstall")[0] == 0
    assert ours(kubectl) == set()
    restarts = 0
    try:
        for statement in statements():
            if statement.startswith(HELM):
                continue
            typed = statement.partition(" #")[0].strip()
            if typed == "tulle uninstall":  # the policy goes with its kind
                assert '"limit"' in kubectl("-n", "demo", "get", "mp", "limit", "-o", "json")
            said[typed.splitlines()[0]] = reader.types(statement)
            if typed == "kubectl -n shop rollout restart deploy":
                restarts += 1
                assert joined(kubectl)
            elif typed == "kubectl apply -k deploy/overlays/default":
                kubectl.rolled_out("tulle-system")  # it does not wait, as `tulle install` does
        assert restarts == 2
        assert "Tulle is installed" in said["tulle install"]
        assert "app-b" in said["tulle stat -A"]
        assert "SYNCED" in said["tulle proxy status -A"]
        assert "limit" in said["kubectl get mp -A -o wide"]
        route = next(text for typed, text in said.items() if typed.startswith("kubectl get httproute"))
        assert '"Accepted"' in route
        assert "nothing was changed" in said["tulle upgrade --dry-run"]
        assert ours(kubectl) == set()  # the last word is `tulle uninstall`
        assert load(kubectl, 20)["statuses"] == {"200": 20}  # pods keep their proxies, which pass traffic on
    finally:
        kubectl("-n", "demo", "delete", "httproute", "app-b", "--ignore-not-found")
        kubectl("apply", "-k", ROOT / "deploy/overlays/dev")
        kubectl.rolled_out("tulle-system")


def test_the_chart_word_by_word(shop, cluster, tmp_path):
    """The same with Helm, to a pod with a proxy and the settings that the line says; and away with it."""
    if shutil.which("helm") is None:
        pytest.skip("NOT TESTED: helm is not on PATH")
    kubectl, reader = shop, Reader(cluster, tmp_path)
    assert tulle(kubectl, "uninstall")[0] == 0
    lines = [each for each in statements() if each.startswith(HELM)]
    assert len(lines) == 2
    try:
        for line in lines:
            reader.types(line)
        kubectl.rolled_out("tulle-system")
        assert [each["spec"]["replicas"] for each in kubectl.get("-n", "tulle-system", "deploy")["items"]] == [2, 2]
        kubectl("label", "namespace", "shop", "--overwrite", "tulle.dev/inject=enabled")
        made, *_ = kubectl.until(lambda: made_anew(kubectl), "shop's pod is injected")
        (proxy,) = [each for each in made["spec"]["initContainers"] if each["name"] == "tulle-proxy"]
        assert proxy["resources"]["requests"]["cpu"] == "50m"
        status, refusal = tulle(kubectl, "upgrade")
        assert status != 0
        assert "helm upgrade" in refusal
        reader.types("helm upgrade tulle ./tulle -n tulle-system --reset-then-reuse-values --set ha=false")
        kubectl.rolled_out("tulle-system")
        assert [each["spec"]["replicas"] for each in kubectl.get("-n", "tulle-system", "deploy")["items"]] == [1, 1]
        reader.types("helm uninstall tulle -n tulle-system --wait")
        kubectl.run("delete", "namespace", "tulle-system")  # --create-namespace made it, and helm leaves it
        assert ours(kubectl) == set()
    finally:
        reader.types("helm uninstall tulle -n tulle-system --wait --ignore-not-found")
        kubectl("apply", "-k", ROOT / "deploy/overlays/dev")
        kubectl.rolled_out("tulle-system")


def made_anew(kubectl):
    """Restart shop's deployment; its pods, where they have a proxy now (webhooks may be there a moment later)."""
    kubectl("-n", "shop", "rollout", "restart", "deploy")
    return joined(kubectl)


def test_every_line_that_is_changed_is_in_the_document():
    found = statements()
    for begins in (*INSTEAD, *HELM):
        assert any(each.startswith(begins) for each in found), begins


