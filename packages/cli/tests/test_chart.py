"""The Helm chart is what `tulle install` applies: what is rendered of it, with each of its values, is compared.

Rendered by `helm` where it is on PATH, and by Go's text/template, which is Helm's engine, where `go` is; each form
skips where its program is absent.
"""

import copy
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from tulle_cli.cluster import chart, manifests
from tulle_cli.main import root

FOR = ("--kube-version", "1.34.0")  # without a cluster, helm takes the one it was compiled for
GO = Path(__file__).parent / "helm" / "main.go"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The chart, as the command writes it."""
    where = tmp_path_factory.mktemp("chart") / "tulle"
    done = CliRunner().invoke(root, ["install", "--helm", str(where)])
    assert done.exit_code == 0, done.output
    return where


@pytest.fixture(scope="module")
def renderer(tmp_path_factory):
    """The Go program, compiled once."""
    if shutil.which("go") is None:
        pytest.skip("go is not on PATH")
    where = tmp_path_factory.mktemp("go")
    built = subprocess.run(
        ["go", "build", "-o", where / "render", GO], capture_output=True, text=True, check=False, cwd=where
    )
    assert built.returncode == 0, built.stderr
    return where / "render"


def merged(into, given):
    """Values over values, as Helm merges them."""
    into = copy.deepcopy(into)
    for key, value in given.items():
        into[key] = merged(into[key], value) if isinstance(value, dict) else value
    return into


def by_go(program, folder, values, namespace="tulle-system"):
    """What the chart's objects are with `values`, by Helm's engine."""
    about = yaml.safe_load((folder / "Chart.yaml").read_text())
    given = {
        "Values": merged(yaml.safe_load((folder / "values.yaml").read_text()), values),
        "Release": {"Service": "Helm", "Namespace": namespace, "Name": "tulle"},
        "Chart": {"AppVersion": about["appVersion"], "Version": about["version"], "Name": about["name"]},
    }
    done = subprocess.run(
        [program, folder / "templates"], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    texts = json.loads(done.stdout)
    return [each for name, text in texts.items() if name.endswith(".yaml") for each in yaml.safe_load_all(text) if each]


def by_helm(folder, values, namespace="tulle-system"):
    """As `by_go`, by helm."""
    done = helm("template", "tulle", folder, *FOR, "-n", namespace, "-f", "-", given=values)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def helm(*arguments, given=None):
    """helm's outcome."""
    if shutil.which("helm") is None:
        pytest.skip("helm is not on PATH")
    text = None if given is None else yaml.safe_dump(given)
    return subprocess.run(["helm", *map(str, arguments)], input=text, capture_output=True, text=True, check=False)


@pytest.fixture(params=["helm", "go"])
def rendered(request, folder):
    """Renders the chart with values."""
    if request.param == "helm":
        return lambda values, **more: by_helm(folder, values, **more)
    program = request.getfixturevalue("renderer")
    return lambda values, **more: by_go(program, folder, values, **more)


def as_set(objects):
    """Objects as texts that are equal when they mean the same: without the label that says who manages them."""
    found = set()
    for source in objects:
        each = copy.deepcopy(source)
        labels = each["metadata"].setdefault("labels", {})
        labels.pop("app.kubernetes.io/managed-by", None)
        if each["kind"] == "Deployment":
            each["spec"]["template"]["spec"]["containers"][0]["env"].sort(key=lambda variable: variable["name"])
        found.add(json.dumps(each, sort_keys=True))
    return found


CPU = {"TULLE_PROXY_CPU_REQUEST": "50m"}
IMAGE = {"TULLE_PROXY_IMAGE": "mine/proxy:7", "TULLE_WEBHOOK_CA_SECONDS": "86400"}
SAME = [
    ({}, "default", {}),
    ({"ha": True}, "ha", {}),
    ({"registry": "registry.example/mine"}, "default", {"registry": "registry.example/mine/"}),
    ({"ha": True, "admissionController": {"settings": CPU}}, "ha", {"settings": CPU}),
    ({"admissionController": {"settings": IMAGE}}, "default", {"settings": IMAGE}),
]


@pytest.mark.parametrize(("values", "overlay", "more"), SAME)
def test_the_chart_is_what_install_applies(rendered, values, overlay, more):
    objects = rendered(values, namespace="somewhere")
    assert as_set(objects) == as_set(manifests.rendered(overlay, **more))
    assert {each["metadata"]["labels"]["app.kubernetes.io/managed-by"] for each in objects} == {"Helm"}


def test_values_that_install_does_not_have(rendered):
    values = {
        "tag": "0.9.9", "pullPolicy": "Never",
        "controlPlane": {"replicas": 3, "settings": {"TULLE_LOG_LEVEL": "debug"}, "resources": {"limits": {"cpu": 1}}},
    }  # fmt: skip
    deployments = {each["metadata"]["name"]: each for each in rendered(values) if each["kind"] == "Deployment"}
    (plane,) = deployments["tulle-control-plane"]["spec"]["template"]["spec"]["containers"]
    (webhook,) = deployments["tulle-admission-controller"]["spec"]["template"]["spec"]["containers"]
    assert deployments["tulle-control-plane"]["spec"]["replicas"] == 3
    assert deployments["tulle-admission-controller"]["spec"]["replicas"] == 1
    assert {"name": "TULLE_LOG_LEVEL", "value": "debug"} in plane["env"]
    assert plane["resources"]["limits"]["cpu"] == 1
    assert plane["resources"]["requests"]
    assert plane["image"] == "tulle/control-plane:0.9.9"
    assert plane["imagePullPolicy"] == webhook["imagePullPolicy"] == "Never"
    assert {"name": "TULLE_PROXY_IMAGE", "value": "tulle/proxy:0.9.9"} in webhook["env"]


def test_its_own_namespace_is_helms_to_make(rendered):
    """`helm install -n tulle-system --create-namespace` makes it, and would refuse one of the chart."""
    kinds = [each["kind"] for each in rendered({}, namespace="tulle-system")]
    assert "Namespace" not in kinds
    assert len(kinds) == len(manifests.rendered("default")) - 1


def test_helm_finds_nothing_wrong(folder):
    done = helm("lint", "--strict", *FOR, folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("admissionController.settings.TULLE_NONSENSE=1", "TULLE_NONSENSE"),
        ("higher=1", "higher"),
        ("pullPolicy=Sometimes", "pullPolicy"),
    ],
)
def test_helm_refuses_values_that_nothing_reads(folder, value, said):
    done = helm("template", "tulle", folder, *FOR, "--set-string", value)
    assert done.returncode != 0
    assert said in done.stderr


def test_made_again_it_is_the_same_and_what_left_deploy_leaves_the_chart(folder):
    before = {path: path.read_text() for path in folder.rglob("*") if path.is_file()}
    (folder / "templates" / "configmap-former.yaml").write_text("kind: ConfigMap\n")
    assert {folder / name: text for name, text in chart.files().items()} == before
    chart.write(folder)
    assert {path: path.read_text() for path in folder.rglob("*") if path.is_file()} == before


def test_nothing_of_deploy_is_forgotten(folder):
    kinds = sorted(path.name for path in (folder / "templates").glob("*.yaml"))
    assert kinds == sorted(f"{e['kind'].lower()}-{e['metadata']['name']}.yaml" for e in manifests.rendered("ha"))


def test_braces_of_our_own_are_no_expressions():
    assert chart._escaped("a {{ b }}") == 'a {{ "{{" }} b }}'


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes").write_text("mine")
    done = CliRunner().invoke(root, ["install", "--helm", str(tmp_path)])
    assert done.exit_code == 1
    assert "holds something else" in done.output
    assert [each.name for each in tmp_path.iterdir()] == ["notes"]


def test_it_goes_with_no_other_option(tmp_path):
    done = CliRunner().invoke(root, ["install", "--helm", str(tmp_path / "x"), "--ha"])
    assert done.exit_code == 2
    assert "values of the chart" in done.output
