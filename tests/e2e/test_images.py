"""The images: what is in them, what is not, and that they run as they will in a restricted pod."""

import json

import pytest

TAG = "0.1.0"

LEFT_OUT = {"pip", "grpc", "kubernetes", "cryptography", "setuptools"}
USERS = {"init": "", "proxy": "4140:4140", "control-plane": "4141:4141", "admission-controller": "4142:4142",
         "sample-app": "1000:1000"}  # fmt: skip
MOST_MB = {"init": 130, "proxy": 150, "control-plane": 220, "admission-controller": 180, "sample-app": 140}


def python(docker, target, program):
    """What a Python program prints in the image, under the restrictions of a restricted pod."""
    restricted = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none")
    return docker("run", "--rm", *restricted, "--entrypoint=python", f"tulle/{target}:{TAG}", "-c", program)


@pytest.mark.parametrize("target", USERS)
def test_user_size_and_labels(docker, images, target):
    found = json.loads(docker("image", "inspect", f"tulle/{target}:{TAG}"))[0]
    assert found["Config"]["User"] == USERS[target]  # of tulle-init the injector says that it is 0
    assert found["Config"]["Labels"]["org.opencontainers.image.title"] == f"tulle-{target}"
    size = found["Size"] / 1e6
    print(f"\n{target}: {size:.0f} MB")
    assert size < MOST_MB[target]


@pytest.mark.parametrize("target", ["init", "proxy", "sample-app"])
def test_nothing_is_there_that_is_not_needed(docker, images, target):
    there = python(docker, target, "import pkgutil; print(*(m.name for m in pkgutil.iter_modules()))").split()
    assert "json" in there
    assert not LEFT_OUT & set(there)


def test_the_proxy_loads_all_its_plugins_from_a_read_only_root(docker, images):
    docker("run", "--rm", "--read-only", "--cap-drop=ALL", "--network=none", f"tulle/proxy:{TAG}", "--check")
    program = "from tulle_plugin_api import load; p = load(); print(p.failures, *p.policies, *p.exporters)"
    said = python(docker, "proxy", program)
    assert said.startswith("[]"), said
    for plugin in ("retry", "rate-limit", "prometheus", "access-log"):
        assert plugin in said.split()


def test_what_the_proxy_imports_is_compiled(docker, images):
    program = (
        "import pathlib, sys; p = pathlib.Path(sys.prefix, 'tulle-pycache');"
        "print(*(f.name for f in p.rglob('*.pyc') if 'opt-2' in f.name))"
    )
    compiled = python(docker, "proxy", program).split()
    assert {"driver.cpython-313.opt-2.pyc", "socket.cpython-313.opt-2.pyc"} <= set(compiled)


@pytest.mark.parametrize("target", USERS)
def test_bill_of_materials(docker, images, target):
    document = json.loads(python(docker, target, "print(open('/opt/tulle/sbom.json').read())"))
    names = {each["name"] for each in document["components"]}
    own = {"proxy": "tulle-data-plane", "init": "tulle-init-container"}.get(target, f"tulle-{target}")
    assert {"python", own} <= names
