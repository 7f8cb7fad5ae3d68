"""`tulle canary` on a real cluster: to the end with no more rights than docs/canary.md names, back, killed, refused."""

import contextlib
import copy
import json
import re
import subprocess
import sys

import pytest
import yaml

from tests.e2e.kubectl import Kubectl
from tests.e2e.meshed import ROOT, Load, load

COMMAND = (sys.executable, "-m", "tulle_cli.main", "canary", "app-b", "-n", "demo", "--control-plane", "kubernetes")
BEGIN = ("--to", "app-b2", "--steps", "20,50,100", "--every", "2s", "-o", "json")
ERRORS = 0.05
ENOUGH = ("--min-requests", "400")
"""99% of 400 allow 4 failures; of a version that fails 5%, 20 are expected, and so few once in 60,000 runs."""
KNOB = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1] + "knobs", sys.argv[2].encode(), 20).read().decode())
"""
ROUTE = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "shop", "namespace": "demo", "labels": {"team": "shop"}, "annotations": {"owner": "eve"}},
    "spec": {
        "parentRefs": [{"group": "", "kind": "Service", "name": "app-b", "port": 80}],
        "rules": [
            {"matches": [{"path": {"value": "/old"}}], "backendRefs": [{"name": "app-b2", "port": 80}]},
            {"backendRefs": [{"name": "app-b", "port": 80}]},
        ],
    },
}


def canary(kubectl, *words):
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, check=False, env=kubectl.environment, timeout=300
    )


def way(out):
    """ "20% 50% 100% done": the steps, and how it ended."""
    events = [json.loads(line) for line in out.splitlines()]
    steps = [f"{each['percent']}%" for each in events if each["event"] in ("step", "resumed")]
    return " ".join([*steps, *(each["event"] for each in events if each["event"] in ("done", "rolled-back"))])


def own(kubectl):
    """What of the route is its owner's; `kubectl apply`'s own annotation among it."""
    found = kubectl.get("-n", "demo", "httproute", "shop")
    return {"labels": found["metadata"].get("labels"), "annotations": found["metadata"].get("annotations"),
            "spec": found["spec"]}  # fmt: skip


def weights(kubectl, name="shop"):
    rules = kubectl.get("-n", "demo", "httproute", name)["spec"]["rules"]
    return [[(ref["name"], ref["weight"]) for ref in rule["backendRefs"]] for rule in rules]


@pytest.fixture
def before(demo, gateway_api):
    """A route of app-b, whose status is written; as it is before a canary."""
    demo.apply(ROUTE)
    demo("-n", "demo", "wait", "httproute/shop", "--timeout=300s",
         "--for=jsonpath={.status.parents[0].conditions[0].status}=True")  # fmt: skip
    yield own(demo)
    demo("-n", "demo", "delete", "httproute", "shop")


def roles():
    """The Roles of docs/canary.md, and who has them: the service account "releaser"."""
    text = (ROOT / "docs/canary.md").read_text()
    (found,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    subject = {"kind": "ServiceAccount", "name": "releaser", "namespace": "demo"}
    for role in yaml.safe_load_all(found):
        yield role
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]}
        yield role | {"kind": "RoleBinding", "roleRef": reference, "subjects": [subject], "rules": None}


@pytest.fixture
def releaser(demo, tmp_path):
    """kubectl of somebody who has the rights that docs/canary.md names, and no others."""
    made = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "releaser", "namespace": "demo"}}]
    made += [{name: value for name, value in each.items() if value is not None} for each in roles()]
    demo.apply(*made)
    config = json.loads(demo("config", "view", "--raw", "--minify", "-o", "json"))
    config["users"][0]["user"] = {"token": demo("-n", "demo", "create", "token", "releaser").strip()}
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    yield Kubectl(tmp_path / "kubeconfig")
    demo("delete", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": made})


@contextlib.contextmanager
def failing(kubectl, rate):
    """app-b2 fails so many of its requests."""
    knobs = "-n", "demo", "exec", "deploy/app-a", "-c", "app", "--", "python", "-c", KNOB, "http://app-b2/"
    kubectl(*knobs, f"failure_rate={rate}")
    try:
        yield
    finally:
        kubectl(*knobs, "failure_rate=0")


def test_a_good_version_reaches_all_with_the_rights_that_the_documentation_names(demo, releaser, before):
    requests = Load(demo)
    with requests:
        done = canary(releaser, *BEGIN)
    assert done.returncode == 0, done.stderr
    assert way(done.stdout) == "20% 50% 100% done"
    print(f"\ncanary: {requests.nothing_failed()} requests, 0 failed; {done.stdout.splitlines()[-1]}")
    assert set(load(demo, 200)["versions"]) == {"v2"}
    assert weights(demo) == [[("app-b2", 1)], [("app-b", 0), ("app-b2", 100)]]
    assert canary(releaser, "--abort").returncode == 0
    assert own(demo) == before


def test_a_version_with_5_percent_errors_is_rolled_back_at_the_first_step(demo, before):
    with failing(demo, ERRORS), Load(demo) as requests:
        done = canary(demo, *BEGIN, *ENOUGH)
    assert done.returncode == 1, done.stdout
    assert way(done.stdout) == "20% rolled-back"
    assert "was rolled back at 20%" in done.stderr
    assert own(demo) == before
    total, failed = sum(requests.counts["statuses"].values()), requests.counts["statuses"].get("503", 0)
    print(f"\ncanary: {failed} of {total} requests failed; {done.stdout.splitlines()[-1]}")
    assert failed > 0


def test_killed_in_the_middle_it_goes_on_when_it_is_started_again(demo, gateway_api):
    with Load(demo) as requests:
        with subprocess.Popen(
            [*COMMAND, *BEGIN], env=demo.environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                first = []
                for line in process.stdout:
                    first.append(line)
                    if json.loads(line)["percent"] == 50:
                        break
            finally:
                process.kill()
        assert way("".join(first)) == "20% 50%"
        assert weights(demo, "app-b-canary") == [[("app-b", 50), ("app-b2", 50)]]  # it had no route
        assert "50%" in canary(demo, "--status").stdout
        done = canary(demo, "-o", "json")
    assert done.returncode == 0, done.stderr
    assert way(done.stdout) == "50% 100% done"
    requests.nothing_failed()
    assert canary(demo, "--abort").returncode == 0
    assert demo.get("-n", "demo", "httproutes")["items"] == []


def test_without_a_right_it_says_which_one_is_missing_and_changes_nothing(demo, releaser, before):
    role = demo.get("-n", "demo", "role", "canary")
    less = copy.deepcopy(role)
    for rule in less["rules"]:
        rule["verbs"] = [verb for verb in rule["verbs"] if verb != "update"]
    demo.apply(less)
    asked = ("auth", "can-i", "update", "httproutes.gateway.networking.k8s.io", "-n", "demo")
    demo.until(lambda: releaser.run(*asked)[0] != 0, "the right is gone")
    done = canary(releaser, *BEGIN)
    assert done.returncode == 1
    assert "you have no right to update httproutes.gateway.networking.k8s.io in namespace demo" in done.stderr
    assert own(demo) == before
