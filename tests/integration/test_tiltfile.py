"""The Tiltfile, run by a Starlark interpreter, Tilt's functions recorded: a broken one fails here, not at `tilt up`."""

from pathlib import Path

import pytest
import starlark
import yaml

ROOT = Path(__file__).parents[2]
FUNCTIONS = (
    "allow_k8s_contexts", "docker_build", "k8s_resource", "k8s_yaml", "kustomize", "local_resource",
)  # fmt: skip


@pytest.fixture(scope="module")
def calls():
    """function -> [(arguments, keywords), ...]."""
    recorded = {name: [] for name in FUNCTIONS}
    module = starlark.Module()

    def recorder(name):
        def called(*arguments, **keywords):
            recorded[name].append((arguments, keywords))
            return f"{name}({arguments[0]})"

        return called

    for name in FUNCTIONS:
        module.add_callable(name, recorder(name))
    module["TRIGGER_MODE_MANUAL"] = "manual"
    # Tilt's dialect has `for` at the top level
    dialect = starlark.Dialect.extended()
    dialect.enable_top_level_stmt = True
    tree = starlark.parse("Tiltfile", (ROOT / "Tiltfile").read_text(), dialect=dialect)
    starlark.eval(module, tree, starlark.Globals.extended_by([]))
    return recorded


def documents(folder):
    for path in sorted(folder.rglob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


def test_each_image_that_is_run_is_built_by_a_target_of_the_dockerfile(calls):
    built = {arguments[0]: keywords for arguments, keywords in calls["docker_build"]}
    used = {
        container["image"].partition(":")[0]
        for document in documents(ROOT / "deploy")
        if document.get("kind") == "Deployment"
        for container in document["spec"]["template"]["spec"].get("containers", ())
    }
    assert used | {"tulle/init", "tulle/proxy"} == built.keys()
    dockerfile = (ROOT / "Dockerfile").read_text()
    for name, keywords in built.items():
        assert f" AS {keywords['target']}\n" in dockerfile
        assert name == f"tulle/{keywords['target']}"
        assert keywords["match_in_env_vars"] == (name in ("tulle/init", "tulle/proxy"))
        for path in keywords["only"]:
            assert path == "wheels" or (ROOT / path).exists()


def test_resources_are_deployments_that_exist(calls):
    there = {each["metadata"]["name"] for each in documents(ROOT / "deploy") if each.get("kind") == "Deployment"}
    named = {arguments[0]: keywords for arguments, keywords in calls["k8s_resource"]}
    assert named.keys() == there
    local = {arguments[0] for arguments, _ in calls["local_resource"]}
    for keywords in named.values():
        assert set(keywords["resource_deps"]) <= there | local
        assert keywords["labels"]


def test_paths_exist(calls):
    (kustomization,) = [arguments[0] for arguments, _ in calls["kustomize"]]
    assert (ROOT / kustomization / "kustomization.yaml").exists()
    for arguments, _ in calls["k8s_yaml"]:
        for path in arguments[0] if isinstance(arguments[0], list) else ():
            assert (ROOT / path).exists()
    for arguments, keywords in calls["local_resource"]:
        for path in keywords.get("deps", ()):
            assert (ROOT / path).exists()
        for word in arguments[1].split():
            if word.startswith(("deploy/s", "scripts/", "tests/")):
                assert (ROOT / word).exists(), word


def test_what_changes_the_cluster_waits_for_a_click(calls):
    for arguments, keywords in calls["local_resource"]:
        assert arguments[0] == "wheels" or keywords["trigger_mode"] == "manual", arguments[0]


def test_the_cluster_is_the_one_of_kind_yaml(calls):
    kind = yaml.safe_load((ROOT / "kind.yaml").read_text())
    assert [arguments[0] for arguments, _ in calls["allow_k8s_contexts"]] == [f"kind-{kind['name']}"]
