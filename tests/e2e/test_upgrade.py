"""`tulle upgrade` on a real cluster, from the version before (proto/previous.commit) and back, while requests go on.

FULL=1 only: it takes images of that version. They are today's images with that version's source before ours on the
path, called 0.0.9, since this one has the same number; as in tests/integration/test_skew.py.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.e2e.meshed import FULL, ROOT, Load, load, ours, tulle
from tests.previous import unpack

OLD, NEW = "0.0.9", "0.1.0"
PROGRAMS = ("init", "proxy", "control-plane", "admission-controller")

pytestmark = pytest.mark.skipif(not FULL, reason="FULL=1: it builds the images of the version before")


@pytest.fixture
def previous(docker, cluster, tmp_path):
    """Runs the version before's own `tulle`; its images are in the cluster."""
    source = tmp_path / "source"
    source.mkdir()
    unpack(source, "packages", "plugins", "deploy")
    renamed = [*source.glob("deploy/**/*.yaml"), *source.glob("packages/*/src/*/__init__.py"),
               *source.glob("packages/admission-controller/src/*/names.py")]  # fmt: skip
    assert sum(map(_renamed, renamed)) >= 5
    roots = sorted([*source.glob("packages/*/src"), *source.glob("plugins/*/*/src")])
    inside = ":".join(f"/previous/{path.relative_to(source)}" for path in roots)
    for program in PROGRAMS:
        text = f"FROM tulle/{program}:{NEW}\nCOPY packages /previous/packages\nCOPY plugins /previous/plugins\n"
        (tmp_path / program).write_text(text + f"ENV PYTHONPATH={inside}\n")
        docker("build", "-q", "-t", f"tulle/{program}:{OLD}", "-f", str(tmp_path / program), str(source))
    names = [f"tulle/{program}:{OLD}" for program in PROGRAMS]
    subprocess.run(["kind", "load", "docker-image", "--name", cluster.name, *names], check=True, capture_output=True)

    def run(kubectl, *arguments):
        environment = {**kubectl.environment, "PYTHONPATH": os.pathsep.join(map(str, roots))}
        done = subprocess.run(
            [sys.executable, "-m", "tulle_cli.main", *arguments],
            capture_output=True, text=True, check=False, env=environment, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def _renamed(path):
    """Whether the file named a version; now it names the old one."""
    before = path.read_text()
    after = before.replace(NEW, OLD)
    path.write_text(after)
    return after != before


def versions(kubectl):
    """Those of the proxies of app-a and app-b that are connected and have what they should have."""
    status, said = tulle(kubectl, "proxy", "status", "-A", "-o", "json", "--control-plane", "kubernetes")
    if status != 0:
        return {}
    pods = {each["metadata"]["name"] for each in kubectl.get("-n", "demo", "pods")["items"]}
    rows = [each for each in json.loads(said)["proxies"] if each["pod"] in pods]
    synced = {each["pod"]: each["version"] for each in rows if each["state"] == "SYNCED"}
    return synced if len(synced) == len(pods) else {}


def all_are(kubectl, *expected):
    kubectl.until(lambda: set(versions(kubectl).values()) == set(expected), f"proxies are {expected} and in sync")


def renew(kubectl, *what):
    for each in what:
        kubectl("-n", "demo", "rollout", "restart", f"deploy/{each}")
    kubectl.rolled_out("demo")


def back(kubectl, previous):
    """The version before is installed over this one. Its `install` does not wait, as ours does, until the webhook that
    it replaced has had its last word."""
    previous(kubectl, "install")

    def leaving():
        return ["deletionTimestamp" in each["metadata"] for each in kubectl.get("-n", "tulle-system", "pods")["items"]]

    kubectl.until(lambda: not any(leaving()), "the webhook of this version is gone")


def converses(kubectl):
    """A route is in force when it has been applied, and gone when it is deleted: the control plane is heard."""
    text = (ROOT / "deploy/sample-app/canary/httproute.yaml").read_text()
    kubectl("apply", "-f", "-", given=text.replace("weight: 90", "weight: 0").replace("weight: 10", "weight: 1"))
    kubectl.until(lambda: load(kubectl, 50)["versions"] == {"v2": 50}, "all requests are version 2's")
    kubectl("-n", "demo", "delete", "httproute", "app-b")
    kubectl.until(lambda: load(kubectl, 50)["versions"] == {"v1": 50}, "all requests are version 1's again")


def forth(kubectl):
    status, said = tulle(kubectl, "upgrade", "--dry-run")
    assert status == 0, said
    assert f"from {OLD} to {NEW}" in said
    status, said = tulle(kubectl, "upgrade")
    assert status == 0, said
    assert f"Tulle is {NEW} now" in said


def test_forth_and_back_with_proxies_of_both_versions_and_no_request_failed(demo, gateway_api, previous):
    assert tulle(demo, "uninstall")[0] == 0
    try:
        previous(demo, "install")
        renew(demo, "app-a", "app-b", "app-b2")
        all_are(demo, OLD)
        with Load(demo, at_least=500) as under:
            forth(demo)  # proxies of the version before, a control plane of this one
            all_are(demo, OLD)
            assert f"is {OLD}" in tulle(demo, "check", "--control-plane", "kubernetes")[1]
            converses(demo)
            renew(demo, "app-b")  # the client's proxy is old, the servers' are new
            all_are(demo, OLD, NEW)
            converses(demo)
        print(f"\nfrom {OLD} to {NEW}: {under.nothing_failed()} requests, 0 failed")
        renew(demo, "app-a", "app-b2")
        all_are(demo, NEW)
        with Load(demo, at_least=500) as under:
            back(demo, previous)  # proxies of this version, a control plane of the one before
            all_are(demo, NEW)
            converses(demo)
            renew(demo, "app-b")  # the client's proxy is new, the servers' are old
            all_are(demo, OLD, NEW)
            converses(demo)
            forth(demo)
        print(f"\nback to {OLD}, and forth again: {under.nothing_failed()} requests, 0 failed")
        renew(demo, "app-b", "app-b2")
        all_are(demo, NEW)
    finally:
        demo.run("-n", "demo", "delete", "httproute", "app-b", "--ignore-not-found")
        assert tulle(demo, "uninstall")[0] == 0
        assert ours(demo) == set()
        demo("apply", "-k", ROOT / "deploy/overlays/dev")
        demo.rolled_out("tulle-system")
        renew(demo, "app-a", "app-b", "app-b2")
