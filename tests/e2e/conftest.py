"""What the end-to-end tests stand on: docker, kind and kubectl from PATH, a cluster of pytest-kind's, the mesh in it.

Where a program is absent, all skip, and say so. scripts/e2e calls pytest with what is needed.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e import diagnostics
from tests.e2e.kubectl import Kubectl
from tests.e2e.meshed import ROOT, make_demo

TARGETS = ("init", "proxy", "control-plane", "admission-controller", "sample-app")
TAG = "0.1.0"
THERE = bool(os.environ.get("TULLE_E2E_CLUSTER"))
"""The cluster was there before the tests."""
GATEWAY_API = os.environ.get("TULLE_GATEWAY_API", "")


def missing(*programs):
    """Why `programs` cannot be used; empty where they can."""
    absent = [each for each in programs if shutil.which(each) is None]
    if absent:
        return f"{', '.join(absent)} not on PATH"
    if "docker" in programs and subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        return "docker is on PATH, but no daemon answers it"
    return ""


@pytest.fixture(scope="session")
def docker():
    """Runs docker; returns what it printed."""
    if problem := missing("docker"):
        pytest.skip(f"NOT TESTED: {problem}; scripts/e2e says how to get it")

    def run(*arguments):
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    return run


@pytest.fixture(scope="session")
def build(docker):
    """The build of the images, begun; `images` waits for it. None: TULLE_E2E_IMAGES=built, they are there already."""
    if os.environ.get("TULLE_E2E_IMAGES") == "built":
        yield None
        return
    pipe = subprocess.PIPE
    with subprocess.Popen([ROOT / "scripts/images"], stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as process:
        yield process


@pytest.fixture(scope="session")
def images(build):
    """The images, built from this source."""
    if build is not None:
        said, problems = build.communicate()
        assert build.returncode == 0, problems
        print("\n" + said, end="")
    return [f"tulle/{target}:{TAG}" for target in TARGETS]


@pytest.fixture(scope="session")
def cluster(request, build):
    """A kind cluster with the images in it; it comes up while they are built."""
    if problem := missing("docker", "kind", "kubectl"):
        pytest.skip(f"NOT TESTED: {problem}; scripts/e2e says how to get them")
    made = request.getfixturevalue("kind_cluster")
    images = request.getfixturevalue("images")
    subprocess.run(["kind", "load", "docker-image", "--name", made.name, *images], check=True, capture_output=True)
    return made


@pytest.fixture(scope="session")
def kubectl(cluster):
    """kubectl for the cluster."""
    return Kubectl(Path(cluster.kubeconfig_path).absolute())


@pytest.fixture(scope="session")
def mesh(kubectl):
    """Tulle, installed with what is in deploy/."""
    kubectl("apply", "-k", ROOT / "deploy/overlays/dev")
    if THERE:  # it may have older images
        kubectl("-n", "tulle-system", "rollout", "restart", "deploy")
    kubectl.rolled_out("tulle-system")
    return kubectl


@pytest.fixture(scope="session")
def gateway_api(mesh):
    """Gateway API's CRDs, put in when the control plane runs already: it has to notice."""
    if mesh.run("get", "crd", "httproutes.gateway.networking.k8s.io")[0] != 0:
        if not GATEWAY_API:
            pytest.skip(
                "NOT TESTED: the cluster has no Gateway API; set TULLE_GATEWAY_API to its standard-install.yaml"
            )
        mesh("apply", "--server-side", "-f", GATEWAY_API)
    mesh("wait", "--for=condition=Established", "crd/httproutes.gateway.networking.k8s.io", "--timeout=300s")


@pytest.fixture(scope="session")
def demo(mesh):
    """The sample app, three replicas of app-b, in the namespace demo; it makes no load of its own."""
    make_demo(mesh, THERE)
    return mesh


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """After a failure: what a person would look at first, printed below it."""
    outcome = yield
    report = outcome.get_result()
    there = [each for each in item.funcargs.values() if isinstance(each, Kubectl)]
    if report.failed and there:
        report.sections += diagnostics.collected(there[0], item.nodeid.rpartition("/")[2])
