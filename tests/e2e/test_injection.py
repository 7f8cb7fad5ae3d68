"""Which pods get a proxy, which do not, and which are refused; and that the proxies are in the way."""

import json

from tests.e2e.meshed import load, pod, proxied


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
