"""A cluster asked as a lab is: what kubectl is told, and what is made of its answers. kubectl is a program that notes
what it was told; the lessons themselves run on a real cluster (tests/e2e/test_lessons.py)."""

import json
import sys

import pytest
from click.testing import CliRunner
from tulle_lab.errors import LabError
from tulle_learn import cluster, commands, lesson
from tulle_learn import lesson as lessons
from tulle_learn.cluster import Cluster
from tulle_learn.mesh import Mesh

KUBECTL = """#!{python}
import json, sys
words = sys.argv[1:]
given = sys.stdin.read() if "-f" in words or "exec" in words else ""
with open({log!r}, "a") as log:
    log.write(json.dumps([words, given]) + "\\n")
answers = json.load(open({answers!r}))
for begin, (code, out, err) in answers.items():
    if " ".join(words).startswith(begin):
        sys.stdout.write(out)
        sys.stderr.write(err)
        sys.exit(code)
"""


class Told:
    """What kubectl was told; and `answer`, what it says from now on when its words begin so."""

    def __init__(self, folder):
        self.log, self.answers, self.known = folder / "log", folder / "answers", {}
        program = folder / "kubectl"
        program.write_text(KUBECTL.format(python=sys.executable, log=str(self.log), answers=str(self.answers)))
        program.chmod(0o755)
        self.answers.write_text("{}")

    def answer(self, begin, out="", *, code=0, err=""):
        self.known[begin] = (code, out if isinstance(out, str) else json.dumps(out), err)
        self.answers.write_text(json.dumps(self.known))

    @property
    def calls(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def kubectl(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    return Told(tmp_path)


@pytest.fixture
def mesh(kubectl, tmp_path):
    return Mesh(Cluster(), tmp_path)


def pod(name, **metadata):
    ready = {"podIP": "10.244.0.9", "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": name, "labels": {}, **metadata}, "status": ready}


def test_pods_that_are_on_their_way_out_are_left_out(kubectl, mesh):
    kubectl.answer("get pods -n demo -l app=server", {"items": [pod("a"), pod("b", deletionTimestamp="now")]})
    assert [(one.name, one.ip, one.ready) for one in mesh.pods("server")] == [("a", "10.244.0.9", True)]


def test_a_program_runs_in_a_pod_with_what_it_is_given(kubectl, mesh):
    kubectl.answer("exec", "heard", code=3, err="oops")
    ran = mesh.run("deploy/client", "cat", "-", stdin="hello", container="app")
    assert (ran.code, ran.out, ran.err) == (3, "heard", "oops")
    words = ["exec", "-i", "-n", "demo", "deploy/client", "-c", "app", "--", "timeout", "-k", "1", "15", "cat", "-"]
    assert kubectl.calls == [[words, "hello"]]


def test_the_node_is_a_pod_outside_of_the_mesh(kubectl, mesh):
    kubectl.answer("exec")
    mesh.run("node", "true")
    assert kubectl.calls[0][0][:5] == ["exec", "-i", "-n", "tulle-lessons", "deploy/tulle-lessons"]


def test_a_manifest_gets_its_namespace_and_any_python_is_the_sample_apps(kubectl, mesh):
    spec = {"template": {"spec": {"containers": [{"name": "app", "image": "python:3.12", "args": ["/x.py"]}]}}}
    mesh.apply(json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}))
    [[words, given]] = kubectl.calls
    assert words == ["apply", "-n", "demo", "-f", "-"]
    [found] = json.loads(given)["items"]
    assert found["metadata"]["namespace"] == "demo"
    assert found["spec"]["template"]["spec"]["containers"] == [
        {"name": "app", "image": "tulle/sample-app:0.1.0", "command": ["python3"], "args": ["/x.py"]}
    ]


def test_what_a_webhook_says_against_a_manifest_is_told(kubectl):
    kubectl.answer("apply", code=1, err="Error: admission webhook denied the request: tries: 1 to 10\n")
    source = json.dumps({"kind": "MeshPolicy", "metadata": {"name": "p"}})
    result = Cluster().ask("apply", {"sources": [{"text": source}], "namespace": "demo"})
    assert result["refused"]
    assert result["warnings"] == ["Error: admission webhook denied the request: tries: 1 to 10"]


def test_a_webhook_that_is_not_reached_yet_is_asked_again(kubectl, mesh, monkeypatch):
    monkeypatch.setattr(cluster, "_AGAIN", 0)
    refused = "Internal error occurred: failed calling webhook: connect: connection refused\n"
    kubectl.answer("apply", code=1, err=refused)
    assert mesh.apply("kind: MeshPolicy\nmetadata: {name: p}") == [refused.strip()]
    assert len(kubectl.calls) == cluster._TRIES


def test_after_a_config_map_pods_are_touched_so_that_the_kubelet_looks_at_once(kubectl, mesh):
    kubectl.answer("get pods -n demo", {"items": [pod("a"), pod("b")]})
    kubectl.answer("get configmaps", "41 42")
    mesh.config_map("settings", {"settings.json": "{}"})
    assert kubectl.calls[-1][0] == [
        *["annotate", "--overwrite", "-n", "demo", "pods", "a", "b"],
        "lessons.tulle.dev/seen=41-42",
    ]


def test_scaling_waits_until_those_that_are_too_many_have_gone(kubectl, mesh):
    kubectl.answer("get pods -n demo -l app=server", {"items": [pod("a"), pod("b", deletionTimestamp="now")]})
    mesh.scale("server", 1)
    assert ["wait", "--for=delete", "-n", "demo", "pod/b", "--timeout=120s"] in [words for words, _ in kubectl.calls]


def test_what_kubectl_says_when_it_fails_is_told(kubectl, mesh):
    kubectl.answer("rollout", code=1, err="error: timed out waiting for the condition")
    with pytest.raises(LabError, match="timed out waiting"):
        mesh.ready("server")


def test_what_is_missing_is_named(kubectl, tmp_path):
    assert cluster.missing() == "kind, docker not on PATH"
    for name in ("kind", "docker"):
        (tmp_path / name).symlink_to(tmp_path / "kubectl")
    kubectl.answer("config current-context", "prod\n")
    assert "prod, which is no kind cluster" in cluster.missing()
    kubectl.answer("config current-context", "kind-tulle\n")
    assert "tulle install" in cluster.missing()
    kubectl.answer("get deployment/tulle-admission-controller", "deployment.apps/tulle-admission-controller\n")
    assert "standard-install.yaml" in cluster.missing()
    kubectl.answer("get crd/httproutes", "customresourcedefinition/httproutes\n")
    assert cluster.missing() == ""


def test_a_lesson_that_makes_no_sense_on_a_cluster_is_refused_and_those_that_do_are_named():
    done = CliRunner().invoke(commands.lessons, ["verify", "--on", "kind", "3"])
    assert done.exit_code == 1
    assert "those that do: 8, 10, 11" in done.output


def test_lessons_for_a_cluster_put_nothing_into_tulles_own_namespace():
    """lab.yaml's parts of Tulle are the lab's: a cluster has its own."""
    found = [one for one in lessons.read_all(lesson.find_folder()) if one.settings.cluster]
    assert found
    for one in found:
        assert "namespace: tulle-system" not in (one.folder / "lab.yaml").read_text(), one.name
