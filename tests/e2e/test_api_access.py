"""The control plane's API: who may forward ports of its pod asks it, with their own credentials; no pod reaches it."""

import json

import pytest

from tests.e2e.kubectl import Kubectl
from tests.e2e.meshed import tulle

REACH = """
import json, socket, sys
found = {}
for port in sys.argv[2:]:
    try:
        socket.create_connection((sys.argv[1], int(port)), timeout=10).close()
        found[port] = "open"
    except OSError as error:
        found[port] = type(error).__name__
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    ("namespace", "deployment", "container"),
    [("demo", "app-a", "tulle-proxy"), ("tulle-system", "tulle-admission-controller", "admission-controller")],
)
def test_no_pod_reaches_the_api(demo, namespace, deployment, container):
    """From containers that no proxy stands before, so that it is the port itself that answers, or does not."""
    (own,) = demo.get("-n", "tulle-system", "pods", "-l", "app=tulle-control-plane")["items"]
    said = demo.python(namespace, f"deploy/{deployment}", container, REACH, own["status"]["podIP"], "8086", "8085")
    assert said.pop("8086") == "open"
    assert said["8085"] != "open"


def test_who_may_forward_ports_asks_the_api(demo):
    status, said = tulle(demo, "stat", "-n", "demo", "--control-plane", "kubernetes")
    assert status == 0, said
    assert "app-b" in said


def test_who_may_not_forward_ports_is_refused_by_the_cluster(demo, tmp_path):
    """A service account that may look at everything in tulle-system, and change nothing."""
    config = json.loads(demo("config", "view", "--raw", "--minify", "-o", "json"))
    config["users"][0]["user"] = {"token": demo("-n", "demo", "create", "token", "default").strip()}
    (tmp_path / "config").write_text(json.dumps(config))
    demo("-n", "tulle-system", "create", "rolebinding", "looker", "--clusterrole=view", "--serviceaccount=demo:default")
    try:
        status, said = tulle(Kubectl(tmp_path / "config"), "stat", "-n", "demo", "--control-plane", "kubernetes")
    finally:
        demo("-n", "tulle-system", "delete", "rolebinding", "looker")
    assert status != 0
    assert "pods/portforward" in said
