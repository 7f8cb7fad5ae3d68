"""Two versions of Tulle in one lab, the one before (proto/previous.commit) and this one: whoever is newer, it works.

The version before is taken out of git, called 0.0.9 so that it can be told, and run by programs "previous-proxy" and
"previous-control-plane" beside the lab's own: images "previous/proxy" and "previous/control-plane".
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from tulle_data_plane import __version__

from tests.acceptance.lab import Lab
from tests.previous import unpack

ROOT = Path(__file__).parents[2]
OWN_VERSION = "tulle_data_plane/__init__.py"
REQUESTS = 60
ASK = """
import json, urllib.request
seen = {}
for number in range(%d):
    said = json.load(urllib.request.urlopen("http://app-a.demo/", timeout=20))
    name = said["upstream"]["answer"]["version"]
    seen[name] = seen.get(name, 0) + 1
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def previous():
    """A folder with the two programs of the version before; in the repository, since pods have a /tmp of their own."""
    with tempfile.TemporaryDirectory(prefix=".previous-", dir=ROOT) as name:
        folder = Path(name)
        folder.chmod(0o755)
        unpack(folder, "packages", "plugins")
        (about,) = folder.glob(f"packages/*/src/{OWN_VERSION}")
        text = about.read_text()
        assert '__version__ = "' in text
        about.write_text(text[: text.index("__version__")] + '__version__ = "0.0.9"\n')
        paths = os.pathsep.join(map(str, [*folder.glob("packages/*/src"), *folder.glob("plugins/*/*/src")]))
        for program, module in (("proxy", "tulle_data_plane.__main__"), ("control-plane", "tulle_control_plane.main")):
            file = folder / f"previous-{program}"
            run = f"from {module} import main; main()"
            file.write_text(f'#!/bin/sh\nPYTHONPATH={paths} exec {sys.executable} -c "{run}" "$@"\n')
            file.chmod(0o755)
            package = module.partition(".")[0]
            where = [sys.executable, "-c", f"import {package}; print({package}.__file__)"]
            said = subprocess.run(where, env={"PYTHONPATH": paths}, capture_output=True, text=True, check=True).stdout
            assert all(each.startswith(name) for each in said.split()), said  # not this version's, installed here
        yield folder


@pytest.fixture(scope="module")
def lab(previous, tmp_path_factory):
    """A lab that finds the programs of both versions; without workloads."""
    made = Lab(tmp_path_factory.mktemp("skew") / "state")
    made.environment["PATH"] = os.pathsep.join([str(previous), made.environment["PATH"]])
    if problem := made.tulle("check", "--pre").code:
        pytest.skip(f"NOT TESTED: `tulle check --pre` exits with {problem}: no lab can run here")
    made.run("up", "-q")
    yield made
    made.down()


def sample(proxies):
    """The sample app, its pods with the proxies said: {"app-a": "previous" or ""}."""
    found = list(yaml.safe_load_all((ROOT / "deploy/sample-app/namespace.yaml").read_text()))
    for name, version in proxies.items():
        for each in yaml.safe_load_all((ROOT / f"deploy/sample-app/{name}.yaml").read_text()):
            if each["kind"] == "Deployment":
                template = each["spec"]["template"]
                image = "previous/proxy:0.0.9" if version else "tulle/proxy:0.1.0"
                template["metadata"].setdefault("annotations", {})["tulle.dev/proxy-image"] = image
                for variable in template["spec"]["containers"][0]["env"]:
                    if variable["name"] == "LOAD_RPS":
                        variable["value"] = "0"
            found.append(each)
    return yaml.safe_dump_all(found)


def served(lab):
    """The version of app-b that served app-a's calls -> how often; any that failed fails this."""
    return json.loads(lab.exec("node", sys.executable, "-c", ASK % REQUESTS))


def has_only(lab, app, version):
    """Whether the control plane knows proxies of `app`, all of them of that version and in sync: those before are gone
    once they have drained."""
    found = json.loads(lab.tulle("proxy", "status", "-A", "-o", "json").out)["proxies"]
    return {(each["version"], each["state"]) for each in found
            if each["pod"].rpartition("-")[0].rpartition("-")[0] == app} == {(version, "SYNCED")}


def converses(lab):
    """Traffic is balanced; a route is in force when it has been applied, and gone when it is deleted."""
    assert served(lab) == {"v1": REQUESTS}
    text = (ROOT / "deploy/sample-app/canary/httproute.yaml").read_text()
    lab.run("apply", "-f", "-", stdin=text.replace("weight: 90", "weight: 0").replace("weight: 10", "weight: 1"))
    until(lambda: served(lab) == {"v2": REQUESTS})
    lab.run("delete", "httproute", "app-b", "-n", "demo")
    until(lambda: served(lab) == {"v1": REQUESTS})


def until(holds, times=20):
    """Asked again a bounded number of times, each of which is many requests."""
    for _ in range(times):
        if holds():
            return
    pytest.fail(f"not within {times} looks")


@pytest.mark.root
@pytest.mark.timeout(900)
def test_proxies_and_control_planes_of_two_versions(lab):
    # proxies of the version before, a control plane of this one: what an upgrade leaves
    lab.run("apply", "-f", "-", "--wait", stdin=sample({"app-a": "previous", "app-b": "previous", "app-b2": ""}))
    until(lambda: has_only(lab, "app-a", "0.0.9"), 200)
    until(lambda: has_only(lab, "app-b2", __version__), 200)
    converses(lab)
    said = lab.tulle("check").out
    assert "app-a" in said
    assert "is 0.0.9" in said

    # proxies of this version, a control plane of the one before: what is rolled back, or not upgraded yet
    plane = lab.item("deployment", "tulle-control-plane", "tulle-system")
    (container,) = plane["spec"]["template"]["spec"]["containers"]
    container["image"] = "previous/control-plane:0.0.9"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):  # that version's manifests ask its API
        container[probe]["httpGet"]["port"] = 8085
    for server_side in ("resourceVersion", "uid", "creationTimestamp", "generation"):
        plane["metadata"].pop(server_side, None)
    plane.pop("status", None)
    lab.run("apply", "-f", "-", "--wait", stdin=yaml.safe_dump(plane))
    lab.run("apply", "-f", "-", "--wait", stdin=sample({"app-a": "", "app-b": "previous", "app-b2": ""}))
    until(lambda: has_only(lab, "app-a", __version__), 200)
    until(lambda: has_only(lab, "app-b", "0.0.9"), 200)
    converses(lab)
