"""The lab with Tulle in it: the real webhook, the real init container, the real proxies. Where they are installed."""

import json
import shutil
import socket
import sys
from pathlib import Path

import pytest
from lab_runner import Lab, container, deployment, manifest, namespace, pod, service

PROGRAMS = ("tulle-control-plane", "tulle-admission-controller", "tulle-init", "tulle-proxy")
MISSING = [name for name in PROGRAMS if not shutil.which(name, path=str(Path(sys.executable).parent))]
pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(MISSING), reason=f"not installed here: {', '.join(MISSING)}")]

CLIENT = container("app", probe=False, script="import signal; signal.pause()")


PLUGIN = """
from tulle_plugin_api import Config, Policy, Response, hookimpl

class Nothing(Config):
    "No settings."

class Teapot(Policy):
    config = Nothing
    direction = "inbound"

    def build(self, config, next, runtime):
        async def handle(exchange):
            return Response(418, body=b"short and stout") if exchange.path == "/teapot" else await next(exchange)
        return handle

@hookimpl
def tulle_policies():
    return {"teapot": Teapot()}
"""


def with_a_plugin(folder):
    """As `pip install --target` leaves it."""
    info = folder / "teapot-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: teapot\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tulle]\npolicy-teapot = teapot\n")
    (folder / "teapot.py").write_text(PLUGIN)
    return folder


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """web (2 replicas) and a client, both with a proxy."""
    folder = tmp_path_factory.mktemp("lab-mesh")
    extra = with_a_plugin(folder / "plugins")
    lab = Lab(folder / "state")
    (folder / "mesh.json").write_text(
        manifest(
            namespace("shop", **{"tulle.dev/inject": "enabled"}),
            deployment("web", "shop", container(), replicas=2),
            service("web", "shop"),
            pod("client", "shop", CLIENT, labels={"app": "client", "topology.kubernetes.io/zone": "west"}),
        )
    )
    lab.run("up", "-f", str(folder / "mesh.json"), "--plugins", str(extra))
    yield lab
    lab.run("down")


def test_every_pod_has_a_proxy_and_tulles_own_have_none(mesh):
    for found in mesh.pods("shop"):
        assert [c["name"] for c in found["spec"]["initContainers"]] == ["tulle-init", "tulle-proxy"]
        assert found["metadata"]["annotations"]["tulle.dev/injected"]
    assert not [found for found in mesh.pods("tulle-system") if "initContainers" in found["spec"]]
    assert len(mesh.pods("tulle-system")) == 2


def test_a_call_goes_through_both_proxies(mesh):
    before = {found["metadata"]["name"] for found in mesh.pods("shop", app="web")}
    seen = {mesh.ask("http://web/", source="client", namespace="shop")["host"] for _ in range(4)}
    assert seen == before, "requests are balanced, one by one"
    rules = mesh.run("exec", "client", "-n", "shop", "-c", "tulle-proxy", "--", "id", "-u")
    assert rules.strip() == "4140"
    proxy = mesh.run("logs", "client", "-n", "shop", "-c", "tulle-proxy")
    assert '"direction":"outbound"' in proxy.replace('": "', '":"')


def test_the_control_plane_answers_on_its_socket(mesh):
    """By the short name that the CLI uses."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(mesh.state / "control-plane.sock"))
        sock.sendall(b"GET /api/v1/proxies HTTP/1.0\r\n\r\n")
        text = b""
        while chunk := sock.recv(65536):
            text += chunk
    answer = json.loads(text.partition(b"\r\n\r\n")[2])
    assert {proxy["pod"] for proxy in answer["proxies"]} == {found["metadata"]["name"] for found in mesh.pods("shop")}


def test_a_pod_that_would_bypass_its_proxy_is_refused(mesh):
    bad = pod(
        "bypass", "shop", container(securityContext={"runAsUser": 4140}), annotations={"tulle.dev/inject": "enabled"}
    )
    done = mesh.run_raw("apply", "-f", "-", stdin=manifest(bad))
    assert (done.returncode, done.stdout) == (1, "pod/bypass refused\n")
    assert "4140" in done.stderr


def test_a_plugin_in_a_folder_is_found_by_webhook_control_plane_and_proxies(mesh):
    policy = {
        "apiVersion": "tulle.dev/v1alpha1",
        "kind": "MeshPolicy",
        "metadata": {"name": "teapot", "namespace": "shop"},
        "spec": {"targetRef": {"kind": "Service", "name": "web"}, "type": "teapot", "config": {}},
    }
    mesh.apply(policy)
    said = ""
    while said != "short and stout":  # until the proxies have it; pytest's own limit bounds it
        said = mesh.curl("http://web/teapot", source="client", namespace="shop")
    mesh.run("delete", "meshpolicy", "teapot", "-n", "shop")
    app = mesh.run("exec", "client", "-n", "shop", "-c", "app", "--", "sh", "-c", "echo ${PYTHONPATH:-none}")
    assert app.strip() == "none", "an application's Python is left alone"
    again = mesh.run_raw("up", "--plugins", str(with_a_plugin(mesh.state.parent / "others")))
    assert again.returncode == 1
    assert "the lab is running already, with other plugins" in again.stderr


def test_a_proxy_knows_its_pods_zone(mesh):
    zone = mesh.run("exec", "client", "-n", "shop", "-c", "tulle-proxy", "--", "sh", "-c", "echo $TULLE_ZONE")
    assert zone.strip() == "west"


def test_a_killed_control_plane_comes_back_and_calls_go_on(mesh):
    mesh.run("exec", "deploy/tulle-control-plane", "-n", "tulle-system", "--", "sh", "-c", "kill -KILL 2", code=None)
    assert mesh.ask("http://web/", source="client", namespace="shop")["host"].startswith("web-")
    restarts = 0
    while not restarts:
        [found] = mesh.pods("tulle-system", app="tulle-control-plane")
        restarts = found["status"]["containerStatuses"][0]["restartCount"]
    mesh.wait("condition=Ready", f"pod/{found['metadata']['name']}", "tulle-system")
    assert mesh.ask("http://web/", source="client", namespace="shop")["host"].startswith("web-")
