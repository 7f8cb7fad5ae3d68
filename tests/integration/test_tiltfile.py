"""The Tiltfile, run by a Starlark interpreter, Tilt's functions recorded: a broken one fails here, not at `tilt up`."""

import re
import tomllib

import pytest
import yaml

from tests.tiltfile import ROOT, evaluate, ignored, within

OURS = {
    tomllib.loads(path.read_text())["project"]["name"]: path.parent
    for path in [*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("plugins/*/*/pyproject.toml")]
}
"""Distribution -> its folder."""
LOADS = {
    "tulle/proxy": {"balancers", "policies", "exporters"},
    "tulle/control-plane": {"balancers", "policies", "catalogs"},
    "tulle/admission-controller": {"balancers", "policies"},
}
"""The kinds of plugins in an image (Dockerfile)."""
PROGRAMS = {
    "tulle/init": "tulle-init-container",
    "tulle/proxy": "tulle-data-plane",
    "tulle/control-plane": "tulle-control-plane",
    "tulle/admission-controller": "tulle-admission-controller",
    "tulle/sample-app": "tulle-sample-app",
}


@pytest.fixture(scope="module")
def called():
    return evaluate()


def documents(folder):
    for path in sorted(folder.rglob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


def code_of(image):
    """The folders with code that runs in an image: its program, what that depends on, its plugins."""
    folders, wanted = set(), [PROGRAMS[image]]
    wanted += [name for name, folder in OURS.items() if folder.parent.name in LOADS.get(image, ())]
    while wanted:
        name = wanted.pop().partition("[")[0]
        folders.add(OURS[name].relative_to(ROOT))
        project = tomllib.loads((OURS[name] / "pyproject.toml").read_text())["project"]
        wanted += [each for each in project.get("dependencies", ()) if each.startswith("tulle-")]
    return folders


def test_each_image_that_is_run_is_built_by_a_target_of_the_dockerfile(called):
    built = called.named("docker_build")
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
        program = keywords["build_args"]["PROGRAM"]
        assert name == f"tulle/{program}"
        assert f" AS {program}\n" in dockerfile
        assert f" AS build-{program}\n" in dockerfile
        assert keywords["match_in_env_vars"] == (name in ("tulle/init", "tulle/proxy"))
        for path in keywords["only"]:
            assert path == "wheels" or (ROOT / path).exists()


def test_an_image_is_built_of_the_code_that_runs_in_it(called):
    for name, keywords in called.named("docker_build").items():
        for folder in code_of(name):
            assert within(folder, keywords["only"]), f"{name} runs {folder}"
            assert not ignored(folder / "src/module.py", keywords["ignore"])
        for each in keywords["only"]:
            there = [folder for folder in code_of(name) if within(folder, [each])]
            assert there or not each.startswith(("packages", "plugins")), f"{name} runs nothing of {each}"


def test_saved_code_reaches_each_program_and_starts_it_anew(called):
    local = called.named("local_resource")["proxies"]
    for name, keywords in called.named("docker_build").items():
        *copied, last = keywords["live_update"] or [None]
        if keywords["match_in_env_vars"]:  # in no manifest: Tilt finds no container of it
            assert last is None
            continue
        assert last == ["run", "kill -HUP 1"]
        program = name.partition("/")[2]
        for kind, source, there in copied:
            assert (kind, there) == ("sync", f"/dev/shm/live-{program}/{source}")
        assert {source for _, source, _ in copied} == {each for each in keywords["only"] if "/" in each} - {
            "scripts/sbom", "scripts/reload",
        }  # fmt: skip
    for folder in code_of("tulle/proxy"):
        assert within(folder, local["deps"])
    assert local["second"].split() == ["scripts/live", *local["deps"]]
    assert "trigger_mode" not in local
    assert not local["auto_init"], "there is nothing newer than the image when it starts"


def test_resources_are_deployments_that_exist(called):
    there = {each["metadata"]["name"] for each in documents(ROOT / "deploy") if each.get("kind") == "Deployment"}
    named, local = called.named("k8s_resource"), called.named("local_resource")
    assert named.keys() == there
    for keywords in named.values():
        assert set(keywords["resource_deps"]) <= there | local.keys()
        assert keywords["labels"]
    for keywords in local.values():
        assert set(keywords.get("resource_deps", ())) <= there | local.keys()
        assert keywords["labels"]


def test_names_are_such_that_tilt_can_keep_objects_of_them(called):
    """They become names in Tilt's API, which has Kubernetes' rules: no "/" and no "%"."""
    for name in called.named("local_resource"):
        assert re.fullmatch(r"[a-z0-9-]+", name), name


def test_forwarded_ports_are_ports_of_the_container(called):
    ports = {
        each["metadata"]["name"]: {
            port["containerPort"] for one in each["spec"]["template"]["spec"]["containers"] for port in one["ports"]
        }
        for folder in ("deploy/base", "deploy/sample-app")
        for each in documents(ROOT / folder)
        if each.get("kind") == "Deployment"
    }
    forwarded = [
        (name, each) for name, keywords in called.named("k8s_resource").items()
        for each in keywords.get("port_forwards", ())
    ]  # fmt: skip
    assert len({each.partition(":")[0] for _, each in forwarded}) == len(forwarded) == 3
    for name, each in forwarded:
        # 8085 listens on 127.0.0.1 alone, for this (deploy/base/control-plane)
        assert int(each.partition(":")[2]) in ports[name] | ({8085} if name == "tulle-control-plane" else set())


def test_paths_exist(called):
    (kustomization,) = [arguments[0] for arguments, _ in called["kustomize"]]
    assert (ROOT / kustomization / "kustomization.yaml").exists()
    for arguments, _ in called["k8s_yaml"]:
        for path in arguments[0] if isinstance(arguments[0], list) else ():
            assert (ROOT / path).exists()
    for keywords in called.named("local_resource").values():
        for path in keywords.get("deps", ()):
            assert (ROOT / path).exists()
        for word in keywords["second"].split():
            if word.startswith(("deploy/s", "scripts/", "tests/")):
                assert (ROOT / word).exists(), word


def test_what_changes_the_cluster_waits_for_a_click(called):
    for name, keywords in called.named("local_resource").items():
        assert name in ("wheels", "proxies") or keywords["trigger_mode"] == "manual", name


def test_wheels_are_not_built_anew_for_code_that_is_copied(called):
    ignore = called.named("local_resource")["wheels"]["ignore"]
    assert ignored("packages/data-plane/src/tulle_data_plane/main.py", ignore)
    assert not ignored("packages/data-plane/pyproject.toml", ignore)


def test_the_cluster_is_the_one_of_kind_yaml(called):
    kind = yaml.safe_load((ROOT / "kind.yaml").read_text())
    assert [arguments[0] for arguments, _ in called["allow_k8s_contexts"]] == [f"kind-{kind['name']}"]
