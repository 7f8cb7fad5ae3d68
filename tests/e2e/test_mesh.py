"""The mesh on a real cluster: what the lab shows, by kubectl alone."""

import json
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOAD = (ROOT / "tests/e2e/load.py").read_text()
APP_B = "http://app-b/"


def load(kubectl, requests, connections=8, url=APP_B):
    """Requests from app-a's own container: what it counts is what a client of the mesh sees."""
    return kubectl.python("demo", "deploy/app-a", "app", LOAD, url, str(requests), str(connections))


class Load:
    """Requests for as long as the block lasts; `counts` after it."""

    def __init__(self, kubectl, connections=4):
        command = ("-n", "demo", "exec", "-i", "deploy/app-a", "-c", "app", "--", "python", "-c", LOAD)
        self.process = kubectl.start(*command, APP_B, "0", str(connections))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        said, problems = self.process.communicate("stop\n", timeout=120)
        if kind is None:
            assert self.process.returncode == 0, problems
            self.counts = json.loads(said)


def sums(counts):
    return sum(counts["statuses"].values())


def policy(name, type_, config, target=None):
    return {
        "apiVersion": "tulle.dev/v1alpha1",
        "kind": "MeshPolicy",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {"targetRef": target or {"kind": "Service", "name": "app-b"}, "type": type_, "config": config},
    }


def pod(name, namespace, **labels):
    container = {"name": "app", "image": "tulle/sample-app:0.1.0", "imagePullPolicy": "Never"}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def proxied(made):
    return [each["name"] for each in made["spec"].get("initContainers", ())] == ["tulle-init", "tulle-proxy"]


def test_pods_are_injected_where_it_was_asked_and_nowhere_else(demo):
    for each in demo.get("-n", "demo", "pods")["items"]:
        if "deletionTimestamp" not in each["metadata"]:
            assert proxied(each), each["metadata"]["name"]
            assert each["spec"]["initContainers"][1]["restartPolicy"] == "Always"
            assert all(status["ready"] for status in each["status"]["initContainerStatuses"])

    def created(made):
        return json.loads(demo("create", "--dry-run=server", "-o", "json", "-f", "-", given=made))

    assert proxied(created(pod("x", "demo")))
    assert not proxied(created(pod("x", "demo", **{"tulle.dev/inject": "disabled"})))
    assert not proxied(created(pod("x", "default")))
    assert proxied(created(pod("x", "default", **{"tulle.dev/inject": "enabled"})))


def test_requests_are_balanced_one_by_one_and_none_fails(demo):
    counts = load(demo, 10_000)
    assert counts["errors"] == {}
    assert counts["statuses"] == {"200": 10_000}
    assert len(counts["pods"]) == 3
    assert min(counts["pods"].values()) > 2_500  # 8 connections alone would give 2, 3, 3 of 8
    one = load(demo, 300, connections=1)
    assert len(one["pods"]) == 3


def test_both_sides_are_intercepted(demo):
    load(demo, 50)
    read = "import json, urllib.request; print(json.dumps(urllib.request.urlopen('http://127.0.0.1:4191/metrics').read().decode()))"
    client = demo.python("demo", "deploy/app-a", "tulle-proxy", read)
    server = demo.python("demo", "deploy/app-b", "tulle-proxy", read)
    assert 'direction="outbound"' in client
    assert 'direction="inbound"' in server


def test_the_control_plane_knows_the_proxies(demo):
    read = (
        "import json, urllib.request;"
        "print(json.dumps(json.load(urllib.request.urlopen('http://127.0.0.1:8085/api/v1/proxies'))))"
    )
    pods = {each["metadata"]["name"] for each in demo.get("-n", "demo", "pods")["items"]}

    def synced():
        said = demo.python("tulle-system", "deploy/tulle-control-plane", "control-plane", read)
        rows = said["proxies"] if isinstance(said, dict) else said
        return pods <= {each["pod"] for each in rows if each["state"] == "SYNCED"}

    demo.until(synced, "each pod's proxy is SYNCED")


def test_a_canary_by_http_route_that_came_after_the_control_plane(demo, gateway_api):
    demo("apply", "-f", ROOT / "deploy/sample-app/canary")
    try:
        demo.until(lambda: "v2" in load(demo, 100)["versions"], "the canary gets requests")
        counts = load(demo, 3_000)
        assert counts["errors"] == {}
        assert counts["statuses"] == {"200": 3_000}
        print(f"\ncanary: {counts['versions']}")
        assert 180 <= counts["versions"]["v2"] <= 430  # 300 expected; 7 standard deviations
    finally:
        demo("delete", "-f", ROOT / "deploy/sample-app/canary")
    demo.until(lambda: "v2" not in load(demo, 100)["versions"], "all requests are version 1's again")


REFUSED = {
    "unknown field": (
        policy("x", "rate-limit", {"request": 5, "per": "1s"}),
        "spec.config: unknown field 'request'; did you mean 'requests'?",
    ),
    "unknown plugin": (
        policy("x", "rate-limt", {"requests": 5, "per": "1s"}),
        "no policy plugin 'rate-limt' is installed; did you mean 'rate-limit'?",
    ),
    "bad value": (policy("x", "timeout", {"request": "soon"}), "spec.config"),
    "no target": (
        policy("x", "timeout", {"request": "1s"}, {"kind": "Service"}),
        "targetRef.name is missing: the name of the Service that the policy applies to",
    ),
    "named mesh": (
        policy("x", "timeout", {"request": "1s"}, {"kind": "Mesh", "name": "mine"}),
        "there is one Mesh, and it has no name; leave targetRef.name out",
    ),
    "foreign group": (
        policy("x", "timeout", {"request": "1s"}, {"kind": "Service", "name": "a", "group": "apps"}),
        "targetRef.group is not the group of targetRef.kind; leave it out",
    ),
    "section of a service": (
        policy("x", "timeout", {"request": "1s"}, {"kind": "Service", "name": "a", "sectionName": "b"}),
        "sectionName names a rule of a route",
    ),
    "kind": (
        policy("x", "timeout", {"request": "1s"}, {"kind": "Pod", "name": "a"}),
        'supported values: "Service", "HTTPRoute", "GRPCRoute", "Namespace", "Mesh"',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_policy_is_refused_with_what_would_be_right(mesh, demo, name):
    given, message = REFUSED[name]
    status, output = mesh.run("apply", "-f", "-", given=given)
    assert status != 0
    assert message in output
    assert mesh.run("-n", "demo", "get", "mp", "x")[0] != 0


def test_a_policy_is_accepted_shown_and_acts(demo):
    demo.apply(policy("broken", "fault", {"abort": {"status": 418}}))
    try:
        assert "fault" in demo("-n", "demo", "get", "mp")
        demo.until(lambda: load(demo, 20)["statuses"] == {"418": 20}, "app-b's clients get 418")
    finally:
        demo("-n", "demo", "delete", "mp", "broken")
    demo.until(lambda: load(demo, 20)["statuses"] == {"200": 20}, "app-b answers again")


def test_hot_reload_under_load_fails_nothing(demo):
    with Load(demo) as under:
        for round_ in range(5):
            demo.apply(policy("reload", "timeout", {"request": f"{20 + round_}s"}))
            demo.apply(policy("balance", "balancer", {"name": ("random", "round-robin")[round_ % 2]}))
        demo("-n", "demo", "delete", "mp", "reload", "balance")
    print(f"\nhot reload: {sums(under.counts)} requests")
    assert under.counts["errors"] == {}
    assert set(under.counts["statuses"]) == {"200"}
    assert sums(under.counts) > 100


def test_app_and_control_plane_restart_under_load_and_nothing_fails(demo):
    with Load(demo) as under:
        demo("-n", "demo", "rollout", "restart", "deploy/app-b")
        demo("-n", "demo", "rollout", "status", "deploy/app-b", "--timeout=180s")
        demo("-n", "tulle-system", "rollout", "restart", "deploy/tulle-control-plane")
        demo("-n", "tulle-system", "rollout", "status", "deploy/tulle-control-plane", "--timeout=120s")
    print(f"\nrestarts: {sums(under.counts)} requests, {len(under.counts['pods'])} pods")
    assert under.counts["errors"] == {}
    assert set(under.counts["statuses"]) == {"200"}
    assert len(under.counts["pods"]) >= 6  # three old, three new


def test_a_job_ends_though_it_has_a_proxy(demo):
    ask = "import urllib.request; print(urllib.request.urlopen('http://app-b/').status)"
    container = {
        "name": "ask", "image": "tulle/sample-app:0.1.0", "imagePullPolicy": "Never", "command": ["python", "-c", ask],
    }  # fmt: skip
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    metadata = {"name": "ask", "namespace": "demo"}
    demo.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}})
    try:
        demo("-n", "demo", "wait", "--for=condition=Complete", "job/ask", "--timeout=120s")
        assert "200" in demo("-n", "demo", "logs", "job/ask", "-c", "ask")
        assert proxied(demo.get("-n", "demo", "pods", "-l", "job-name=ask")["items"][0])
    finally:
        demo("-n", "demo", "delete", "job", "ask")


def creates(kubectl, namespace, name):
    """(whether a pod of that namespace could be made, whether it had a proxy, what was said). Dry run."""
    made = pod(name, namespace)
    status, output = kubectl.run("create", "--dry-run=server", "-o", "json", "-f", "-", given=made)
    return status == 0, '"name": "tulle-proxy"' in output, output


def test_the_webhooks_certificate_changes_and_no_pod_misses_its_proxy(demo):
    send = f"import os; os.kill(1, {int(signal.SIGHUP)}); print(1)"

    def bundle():
        return demo.get("mutatingwebhookconfiguration", "tulle")["webhooks"][0]["clientConfig"]["caBundle"]

    # the first round brings a second authority; after it, only the certificate changes until that one has settled
    before = bundle()
    for round_ in range(3):
        demo.python("tulle-system", "deploy/tulle-admission-controller", "admission-controller", send)
        for number in range(8):
            assert creates(demo, "demo", f"r{round_}-{number}")[:2] == (True, True)
    assert bundle() != before


def test_a_ca_bundle_that_somebody_emptied_comes_back(demo):
    empty = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
    demo("patch", "mutatingwebhookconfiguration", "tulle", "--type=json", "-p", json.dumps(empty))
    demo.until(lambda: creates(demo, "demo", "x")[1], "pods are injected again", times=600)


def test_without_the_webhook_pods_start_unless_their_namespace_says_otherwise(demo):
    labels = {"tulle.dev/inject": "enabled", "tulle.dev/failure-policy": "fail"}
    demo.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": labels}})
    demo("-n", "strict", "wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    assert creates(demo, "strict", "x")[:2] == (True, True)
    demo("-n", "tulle-system", "scale", "deploy/tulle-admission-controller", "--replicas=0")
    demo("-n", "tulle-system", "wait", "--for=delete", "pod", "-l", "app=tulle-admission-controller", "--timeout=60s")
    try:
        made, injected, said = creates(demo, "demo", "x")
        assert (made, injected) == (True, False)
        assert "is in a namespace of the mesh and has no proxy" in said
        made, _, said = creates(demo, "strict", "x")
        assert not made
        assert 'failed calling webhook "inject-or-fail.tulle.dev"' in said
        status, said = demo.run("apply", "-f", "-", given=policy("x", "timeout", {"request": "1s"}))
        assert status != 0
        assert 'failed calling webhook "policies.tulle.dev"' in said
    finally:
        demo("-n", "tulle-system", "scale", "deploy/tulle-admission-controller", "--replicas=1")
        demo("-n", "tulle-system", "rollout", "status", "deploy/tulle-admission-controller", "--timeout=120s")
        demo("delete", "namespace", "strict", "--wait=false")


ALLOWED = {
    "tulle-control-plane": {
        "namespaces": "list,watch", "services": "list,watch", "pods": "list,watch",
        "endpointslices.discovery.k8s.io": "list,watch", "httproutes.gateway.networking.k8s.io": "list,watch",
        "grpcroutes.gateway.networking.k8s.io": "list,watch", "referencegrants.gateway.networking.k8s.io": "list,watch",
        "meshpolicies.tulle.dev": "list,watch",
    },
    "tulle-admission-controller": {
        "namespaces": "list,watch",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io": "get,patch",
        "validatingwebhookconfigurations.admissionregistration.k8s.io": "get,patch",
    },
}  # fmt: skip


@pytest.mark.parametrize("account", ALLOWED)
def test_rights_are_those_of_the_table_and_no_others(mesh, account):
    user = f"--as=system:serviceaccount:tulle-system:{account}"
    everyone = "--as=system:serviceaccount:tulle-system:default"
    group = "--as-group=system:serviceaccounts"
    signed_in = "--as-group=system:authenticated"

    def rights(who):
        found = set()
        for line in mesh("auth", "can-i", "--list", "-n", "tulle-system", who, group, signed_in).splitlines()[1:]:
            if line and not line.startswith(" "):
                found.add((line.split()[0], line[line.rindex("[") + 1 :].rstrip("]").replace(" ", ",")))
        return found

    extra = dict(rights(user) - rights(everyone))
    assert extra == ALLOWED[account]


def test_pods_that_could_not_work_are_refused_with_the_reason(demo):
    evil = pod("evil", "demo")
    evil["spec"]["securityContext"] = {"runAsUser": 4140}
    status, said = demo.run("create", "--dry-run=server", "-f", "-", given=evil)
    assert status != 0
    assert "4140" in said
    assert "bypass" in said
    agent = pod("agent", "demo", **{"tulle.dev/inject": "enabled"})
    agent["spec"]["hostNetwork"] = True
    status, said = demo.run("create", "--dry-run=server", "-f", "-", given=agent)
    assert status != 0
    assert "hostNetwork" in said


KNOB = """
import json, sys, urllib.request
for path, body in json.loads(sys.argv[1]):
    request = urllib.request.Request("http://127.0.0.1:8080" + path, body and body.encode())
    said = json.load(urllib.request.urlopen(request))
print(json.dumps(said))
"""


def knobs(kubectl, *calls):
    """Turn app-a's knobs; what its last answer was."""
    return kubectl.python("demo", "deploy/app-a", "app", KNOB, json.dumps(calls))


def test_an_api_server_that_restarts_empties_nothing(demo, docker, cluster):
    """Its process is killed; kubelet starts it again. Traffic goes on, and what is changed afterwards arrives."""

    def apiserver():
        arguments = ("-n", "kube-system", "get", "pods", "-l", "component=kube-apiserver", "-o", "json")
        status, output = demo.run(*arguments)
        return json.loads(output)["items"][0]["status"]["containerStatuses"][0] if status == 0 else None

    before = apiserver()["restartCount"]
    knobs(demo, ("/knobs", "load_rps=30"), ("/stats", "{}"))  # from app-a itself: kubectl is cut off meanwhile
    docker("exec", f"{cluster.name}-control-plane", "pkill", "-x", "kube-apiserver")
    demo.until(lambda: (now := apiserver()) and now["restartCount"] > before and now["ready"], "it is back", times=1500)
    demo.apply(policy("after", "fault", {"abort": {"status": 418}}))
    try:
        demo.until(lambda: "418" in knobs(demo, ("/stats", None))["upstream"]["by_outcome"], "the policy arrives")
    finally:
        demo("-n", "demo", "delete", "mp", "after")
    upstream = knobs(demo, ("/knobs", "load_rps=0"), ("/stats", None))["upstream"]
    print(f"\nAPI server restarted: {upstream['by_outcome']}")
    assert set(upstream["by_outcome"]) == {"200", "418"}
    demo.until(lambda: load(demo, 20)["statuses"] == {"200": 20}, "app-b answers again")
