"""How far apart versions may be: the rule, `tulle check`, and `tulle upgrade` with a kubectl that answers."""

import json

import pytest
import yaml
from click.testing import CliRunner
from tulle_cli import skew
from tulle_cli.api_client import ApiClient
from tulle_cli.check import control_plane
from tulle_cli.check.run import collect, run
from tulle_cli.cluster.apply import TOLD, Told
from tulle_cli.command import upgrade
from tulle_cli.main import root


@pytest.mark.parametrize(
    ("one", "other", "far"),
    [
        ("0.1.0", "0.1.0", False), ("0.1.0", "0.1.9", False), ("0.1.0", "0.2.0", False), ("0.2.3", "0.1.0", False),
        ("0.1.0", "0.3.0", True), ("0.3.0", "0.1.0", True), ("0.9.0", "1.0.0", True), ("1.1.0", "2.1.0", True),
        ("v0.1.0-rc.1", "0.2.0+build", False),
    ],
)  # fmt: skip
def test_one_minor_version(one, other, far):
    assert skew.too_far(skew.read(one), skew.read(other)) is far
    assert skew.too_far(skew.read(other), skew.read(one)) is far


@pytest.mark.parametrize("text", ["", "unknown", "1", "dev-0.1.0"])
def test_what_is_no_version(text):
    assert skew.read(text) is None


def test_judged():
    proxies = [("d/c", "0.3.0"), ("d/a", "0.1.4"), ("d/b", "0.2.0"), ("d/e", "?"), ("d/f", "")]
    assert skew.judge("0.1.0", proxies) == (
        [("d/b", "0.2.0")],
        [("d/c", "0.3.0")],
        [("d/e", "?"), ("d/f", "unknown")],
    )
    assert skew.judge("unknown", [("d/a", "unknown"), ("d/b", "0.1.0")]).unknown == [("d/b", "0.1.0")]


def test_a_long_list_is_counted():
    lines = skew.listed([(f"d/{number}", "0.1.0") for number in range(12)]).splitlines()
    assert (len(lines), lines[-1]) == (11, "and 2 more")


@pytest.mark.parametrize(
    ("version", "result", "said"),
    [
        ("0.1.0", "success", "0.1.0"),
        ("0.1.7", "success", "0.1.0"),
        ("0.2.0", "warning", "demo/app-b-1 is 0.2.0"),
        ("0.3.0", "error", "more than 1 minor version away:\ndemo/app-b-1 is 0.3.0"),
        ("", "warning", "demo/app-b-1 is unknown"),
    ],
)
def test_check_names_proxies_of_another_version(api, version, result, said):
    api.answers["/api/v1/proxies"]["proxies"][1]["version"] = version
    outcomes = collect(run(control_plane.sections(ApiClient(api.target))))
    _, line = next(each.lines for each in outcomes if each.name == "proxies")
    assert line.result == result
    assert said in line.detail


NAMESPACE = Told(ha=True, registry="registry.example/mine", settings={"TULLE_PROXY_CPU_REQUEST": "50m"}).objects()[0]


def there(version="0.1.0", labels=(), namespace=NAMESPACE):
    """What kubectl finds of an installation."""
    plane = {
        "kind": "Deployment",
        "metadata": {
            "name": "tulle-control-plane", "labels": {"app.kubernetes.io/version": version, **dict(labels)},
        },
    }  # fmt: skip
    return json.dumps({"items": [namespace, plane]})


def pods(*versions):
    return json.dumps({"items": [
        {"metadata": {"namespace": "shop", "name": f"web-{number}", "annotations": {"tulle.dev/injected": version}}}
        for number, version in enumerate(versions)
    ] + [{"metadata": {"namespace": "a", "name": "b"}}]})  # fmt: skip


@pytest.fixture
def of_version(monkeypatch):
    """Makes this command's manifests those of another version."""

    def become(version):
        real = upgrade.Told.objects

        def objects(self):
            found = real(self)
            for each in found:
                each["metadata"]["labels"] = {**each["metadata"].get("labels", {}), upgrade.VERSION_LABEL: version}
            return found

        monkeypatch.setattr(upgrade.Told, "objects", objects)

    return become


def tulle(*arguments):
    return CliRunner().invoke(root, arguments)


def words(kubectl):
    return [" ".join(arguments) for arguments, _ in kubectl.calls]


def test_upgrade_keeps_what_install_was_told(kubectl, of_version):
    of_version("0.2.0")
    kubectl.answer(["get namespace,deployment", 0, there()], ["get pods", 0, pods("0.1.0", "0.2.0")])
    done = tulle("upgrade", "--set", "TULLE_PROXY_MEMORY_REQUEST=32Mi")
    assert done.exit_code == 0, done.output
    assert "from 0.1.0 to 0.2.0, two of each program" in done.output
    assert "1 pods keep the proxy that they have" in done.output
    assert "shop/web-0 is 0.1.0" in done.output
    assert "web-1" not in done.output
    applied = [each for _, given in kubectl.calls if given for each in yaml.safe_load_all(given)]
    (webhook,) = (each for each in applied if each["metadata"]["name"] == "tulle-admission-controller"
                  and each["kind"] == "Deployment")  # fmt: skip
    assert webhook["spec"]["replicas"] == 2
    (container,) = webhook["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("registry.example/mine/tulle/")
    environment = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    assert environment["TULLE_PROXY_CPU_REQUEST"] == "50m"
    assert environment["TULLE_PROXY_MEMORY_REQUEST"] == "32Mi"
    (namespace,) = (each for each in applied if each["kind"] == "Namespace")
    assert Told.of(namespace).settings == {"TULLE_PROXY_CPU_REQUEST": "50m", "TULLE_PROXY_MEMORY_REQUEST": "32Mi"}


@pytest.mark.parametrize("wanted", ["0.1.0", "0.0.9"])
def test_the_same_version_and_one_back_may_be(kubectl, of_version, wanted):
    of_version(wanted)
    kubectl.answer(["get namespace,deployment", 0, there()], ["get pods", 0, pods()])
    done = tulle("upgrade", "--dry-run")
    assert done.exit_code == 0, done.output
    assert f"from 0.1.0 to {wanted}" in done.output
    assert not [each for each in words(kubectl) if "apply" in each]


@pytest.mark.parametrize(
    ("wanted", "installed", "proxies", "said"),
    [
        ("0.4.0", "0.2.0", (), "from 0.2.0 to 0.4.0 is too far for one step"),
        ("0.4.0", "0.2.0", (), "first upgrade to 0.3 with"),
        ("0.1.0", "0.3.0", (), "first upgrade to 0.2 with"),
        ("1.0.0", "0.9.0", (), "the last minor version of 0"),
        ("0.3.0", "0.2.0", ("0.1.0", "0.2.0"), "shop/web-0 is 0.1.0"),
        ("0.3.0", "0.2.0", ("0.1.0", "0.2.0"), "1 pods have a proxy"),
    ],
)
def test_too_far_is_refused_before_anything_is_changed(kubectl, of_version, wanted, installed, proxies, said):
    of_version(wanted)
    kubectl.answer(["get namespace,deployment", 0, there(installed)], ["get pods", 0, pods(*proxies)])
    done = tulle("upgrade")
    assert done.exit_code == 1
    assert said in done.output
    assert not [each for each in words(kubectl) if "apply" in each]


def test_what_is_not_ours_to_upgrade(kubectl):
    kubectl.answer(["get namespace,deployment", 0, json.dumps({"items": []})])
    assert "there is no Tulle in this cluster" in tulle("upgrade").output
    kubectl.answer(["get namespace,deployment", 0, there(labels={upgrade.MANAGED_BY: "Helm"})])
    done = tulle("upgrade")
    assert done.exit_code == 1
    assert "helm upgrade" in done.output
    kubectl.answer(["get namespace,deployment", 0, there(version="main")])
    assert "which version is installed is not known" in tulle("upgrade").output


def test_an_installation_of_kubectl_apply_is_told_of(kubectl):
    plain = {"kind": "Namespace", "metadata": {"name": "tulle-system"}}
    kubectl.answer(["get namespace,deployment", 0, there(namespace=plain)], ["get pods", 0, pods()])
    done = tulle("upgrade", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "how it was installed is not written" in done.output


@pytest.mark.parametrize("text", ["", "[]", "{", '{"ha": true}', '{"ha": true, "registry": "", "settings": []}'])
def test_what_was_not_remembered_so_is_not_believed(text):
    assert Told.of({"metadata": {"annotations": {TOLD: text}}}) is None
    assert Told.of({"metadata": {}}) is None
