"""`tilt up` on a cluster of kind.yaml: Tilt itself where it is on PATH, and what it does (tilt_stand_in.py).

A cluster of its own and six minutes: only with FULL=1, or where there is a Tilt. Times are printed, and judged by
nobody.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import time

import pytest

from tests.e2e.conftest import GATEWAY_API, missing
from tests.e2e.kubectl import Kubectl
from tests.e2e.meshed import FULL, ROOT
from tests.e2e.tilt_stand_in import StandIn, copied

CLUSTER = "tulle-tilt"
PROXY = (
    "packages/data-plane/src/tulle_data_plane/shell/admin.py",
    '_text(200, "live\\n")',
    "http://127.0.0.1:4191/live",
)
SAMPLE = (
    "packages/sample-app/src/tulle_sample_app/app.py", '{"healthy": True}', "http://127.0.0.1:8080/healthz",
)  # fmt: skip
GET = "import json, sys, urllib.request as r; print(json.dumps(r.urlopen(sys.argv[1], timeout=5).read().decode()))"

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not (FULL or shutil.which("tilt")), reason="FULL=1, or tilt on PATH: it takes six minutes"),
]


@pytest.fixture(scope="module")
def empty(docker, tmp_path_factory):
    """kubectl for a cluster with nothing of ours in it."""
    if problem := missing("kind", "kubectl"):
        pytest.skip(f"NOT TESTED: {problem}; scripts/e2e says how to get them")
    made = tmp_path_factory.mktemp("tilt") / "kubeconfig"
    words = ("--name", CLUSTER, "--kubeconfig", str(made))
    subprocess.run(["kind", "create", "cluster", "--config", ROOT / "kind.yaml", "--wait=300s", *words], check=True)
    try:
        yield Kubectl(made)
    finally:
        subprocess.run(["kind", "delete", "cluster", *words], check=True)


def everything(kubectl):
    """The names of what a cluster has that is in no namespace, and of what is in those that `tilt down` leaves."""
    kinds = kubectl("api-resources", "--namespaced=false", "--verbs=list", "-o", "name").split()
    found = set(kubectl("get", ",".join(kinds), "-o", "name").split())
    kinds = kubectl("api-resources", "--namespaced=true", "--verbs=list", "-o", "name").split()
    kinds = [each for each in kinds if not each.startswith(("events", "leases", "endpointslices", "pods.metrics"))]
    return found | set(kubectl("get", ",".join(kinds), "-n", "default", "-o", "name").split())


@pytest.fixture(scope="module")
def wheels():
    """As the Tiltfile's local resource of that name; SKIP_WHEELS: they are there."""
    if not os.environ.get("SKIP_WHEELS"):
        subprocess.run([ROOT / "scripts/wheels"], check=True, capture_output=True)


def test_tilt_ci_runs_it_and_tilt_down_leaves_nothing(empty, wheels):
    if shutil.which("tilt") is None:
        pytest.skip("NOT TESTED: tilt is not on PATH; the tests below do what it does, and are not it")
    before = everything(empty)
    environment = {**empty.environment, "TILT_DISABLE_ANALYTICS": "1"}
    for words in (("ci", "--timeout=20m"), ("down", "--delete-namespaces")):
        done = subprocess.run(
            ["tilt", *words], env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1500
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert everything(empty) - before == set()


@pytest.fixture(scope="module")
def before(empty):
    return everything(empty)


@pytest.fixture(scope="module")
def tilt(empty, before, wheels, tmp_path_factory):
    """A stand-in, after `tilt up`."""
    made = StandIn(copied(ROOT, tmp_path_factory.mktemp("tulle")), empty, CLUSTER)
    if GATEWAY_API:
        empty("apply", "--server-side", "-f", GATEWAY_API)
        before |= everything(empty)
    began = time.monotonic()
    made.up()
    print(f"\ntilt: up in {time.monotonic() - began:.0f} s")
    return made


def pods(kubectl, namespace, **labels):
    """Pods that stay."""
    chosen = ",".join(f"{key}={value}" for key, value in labels.items())
    found = kubectl.get("-n", namespace, "pods", *(("-l", chosen) if chosen else ()))["items"]
    return {each["metadata"]["name"]: each for each in found if not each["metadata"].get("deletionTimestamp")}


def says(kubectl, namespace, pod, container, url):
    """What a page of a container's program says; empty while it is not there."""
    words = ("-n", namespace, "exec", pod, "-c", container, "--", "python", "-c", GET, url)
    status, output, _ = kubectl.said(*words)
    return json.loads(output) if status == 0 else ""


def test_the_images_that_were_built_are_what_runs_the_injected_ones_too(empty, tilt):
    assert set(tilt.references) == set(tilt.images)
    for each in pods(empty, "demo").values():
        images = {one["name"]: one["image"] for one in [*each["spec"]["initContainers"], *each["spec"]["containers"]]}
        assert images == {
            "tulle-init": tilt.references["tulle/init"],
            "tulle-proxy": tilt.references["tulle/proxy"],
            "app": tilt.references["tulle/sample-app"],
        }
    for name in ("control-plane", "admission-controller"):
        (found,) = pods(empty, "tulle-system", app=f"tulle-{name}").values()
        assert found["spec"]["containers"][0]["image"] == tilt.references[f"tulle/{name}"]


def test_app_a_reaches_app_b_through_the_proxies(empty, tilt):
    (name,) = pods(empty, "demo", app="app-a")

    def reached():
        stats = json.loads(says(empty, "demo", name, "app", "http://127.0.0.1:8080/stats") or "{}")
        return len(stats.get("upstream", {}).get("answered_by", ())) == 3

    empty.until(reached, "app-a's calls to be answered by three pods")
    metrics = says(empty, "demo", name, "tulle-proxy", "http://127.0.0.1:4191/metrics")
    assert re.search(r'direction="outbound"', metrics)


@pytest.mark.parametrize(
    ("path", "old", "new", "namespace", "app", "container", "url"),
    [
        (
            "packages/control-plane/src/tulle_control_plane/web/app.py", '{"status": "ok"}', '{"status": "edited"}',
            "tulle-system", "tulle-control-plane", "control-plane", "http://127.0.0.1:8085/live",
        ),
        (
            "packages/admission-controller/src/tulle_admission_controller/app.py", 'PlainTextResponse("live\\n")',
            'PlainTextResponse("edited\\n")',
            "tulle-system", "tulle-admission-controller", "admission-controller", "http://127.0.0.1:8444/live",
        ),
        (*SAMPLE[:2], '{"healthy": "edited"}', "demo", "app-b", "app", SAMPLE[2]),
    ],
    ids=["control-plane", "admission-controller", "sample-app"],
)  # fmt: skip
def test_saved_code_runs_in_the_containers_that_are_there(empty, tilt, path, old, new, namespace, app, container, url):
    there = pods(empty, namespace, app=app)
    began = time.monotonic()
    tilt.write(path, old, new)
    assert tilt.after_local(path) == []
    done = tilt.after_images(path)
    for name in there:
        assert f"{name}/{container}" in done
        empty.until(lambda name=name: "edited" in says(empty, namespace, name, container, url), f"new code in {name}")
    print(f"\ntilt: {container}: from saved to running in {len(there)} pods in {time.monotonic() - began:.1f} s")
    now = pods(empty, namespace, app=app)
    assert now.keys() == there.keys()
    for each in now.values():
        assert [one["restartCount"] for one in each["status"]["containerStatuses"]] == [0]


def test_what_is_no_python_does_not_stop_what_runs(empty, tilt):
    path = SAMPLE[0]
    (name,) = pods(empty, "demo", app="app-a")
    tilt.write(path, '{"healthy": "edited"}', '{"healthy": "edited"')
    try:
        assert f"{name}/app" in tilt.after_images(path)

        def named():
            lines = empty("-n", "demo", "logs", name, "-c", "app").splitlines()
            return [line for line in lines if "not Python" in line]

        said = empty.until(named, "the mistake to be named")
        assert "sample-app/src/tulle_sample_app/app.py, line " in said[0]
        assert "edited" in says(empty, "demo", name, "app", SAMPLE[2])
    finally:
        tilt.write(path, '{"healthy": "edited"', '{"healthy": "again"}')
    tilt.after_images(path)
    empty.until(lambda: "again" in says(empty, "demo", name, "app", SAMPLE[2]), "the mended code")


def test_saved_code_runs_in_the_proxies_that_are_there_and_in_those_to_come(empty, tilt):
    path, old, url = PROXY
    there = pods(empty, "demo")

    def new_in(name):
        return "edited" in says(empty, "demo", name, "tulle-proxy", url)

    began = time.monotonic()
    tilt.write(path, old, old.replace("live", "edited"))
    assert tilt.after_local(path) == ["proxies"]
    for name in there:
        empty.until(lambda name=name: new_in(name), f"new code in the proxy of {name}")
    print(f"\ntilt: proxies: from saved to running in {len(there)} pods in {time.monotonic() - began:.1f} s")
    now = pods(empty, "demo")
    assert now.keys() == there.keys()
    for each in now.values():
        assert [one["restartCount"] for one in each["status"]["initContainerStatuses"]] == [0, 0]
    assert tilt.after_images(path) == ["tulle-admission-controller"]
    tilt.act("scale-to-5")
    empty.rolled_out("demo")
    made = pods(empty, "demo").keys() - there.keys()
    assert len(made) == 2
    for name in made:
        empty.until(lambda name=name: new_in(name), f"new code in the proxy of {name}")
    print(f"tilt: proxies: and in pods made later after {time.monotonic() - began:.1f} s")


def test_the_acts(empty, tilt):
    def of_app(name, variable):
        (container,) = empty.get("-n", "demo", "deploy", name)["spec"]["template"]["spec"]["containers"]
        return {each["name"]: each.get("value") for each in container["env"]}.get(variable)

    tilt.act("load-off")
    assert of_app("app-a", "LOAD_RPS") == "0"
    tilt.act("load-100")
    assert of_app("app-a", "LOAD_RPS") == "100"
    tilt.act("fail-a-fifth")
    assert of_app("app-b", "APP_FAILURE_RATE") == "20%"
    tilt.act("scale-to-3")
    empty.rolled_out("demo")
    (name,) = pods(empty, "demo", app="app-a")

    def outcomes():
        return json.loads(says(empty, "demo", name, "app", "http://127.0.0.1:8080/stats") or "{}").get("upstream", {})

    empty.until(lambda: "503" in outcomes().get("by_outcome", {}), "calls that fail")
    tilt.act("fail-off")
    empty.rolled_out("demo")
    assert of_app("app-b", "APP_FAILURE_RATE") is None
    empty.until(lambda: len(empty.get("-n", "demo", "pods", "-l", "app=app-b")["items"]) == 3, "old pods to be gone")
    there = pods(empty, "demo", app="app-b").keys()
    tilt.act("kill-one")
    empty.until(lambda: len(pods(empty, "demo", app="app-b").keys() & there) == 2, "a pod to be gone")
    empty.rolled_out("demo")
    if not GATEWAY_API:
        pytest.skip("NOT TESTED: the canary; the cluster has no Gateway API, set TULLE_GATEWAY_API")
    tilt.act("canary-on")
    v2 = "app-b v2 "
    empty.until(lambda: any(each.startswith(v2) for each in outcomes().get("answered_by", ())), "calls to the canary")
    tilt.act("canary-off")
    assert empty.get("-n", "demo", "httproutes")["items"] == []


def answers(port, page):
    """Whether a port speaks: HTTP/1.1 with 200 for a page; without one HTTP/2, whose server begins with SETTINGS."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        if page:
            connection.sendall(f"GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return connection.recv(12) == b"HTTP/1.1 200"
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        return connection.recv(9)[3:4] == b"\x04"


def test_ports_are_forwarded_to_what_answers_there(empty, tilt):
    pages = {8085: "/live", 8080: "/healthz", 8086: ""}
    for name, keywords in tilt.resources.items():
        namespace = "tulle-system" if name.startswith("tulle-") else "demo"
        for each in keywords.get("port_forwards", ()):
            here, there = map(int, each.split(":"))
            assert here == there
            forward = empty.start("-n", namespace, "port-forward", f"deploy/{name}", f":{there}")
            try:
                port = int(re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())[1])
                assert answers(port, pages[there]), each
            finally:
                forward.terminate()
                forward.communicate()


def test_tilt_down_leaves_nothing(empty, tilt, before):
    tilt.down()
    left = set()

    def gone():
        left.clear()
        left.update(everything(empty) - before)
        return not left

    empty.until(gone, f"nothing to be left of {left}")
