"""The API server goes away and comes back; what the control plane knew stays, what it missed arrives."""

import json

import pytest

from tests.e2e.meshed import FULL, load, policy

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


def apiserver(kubectl):
    """Its container's status; None while nobody answers."""
    pods = ("-n", "kube-system", "get", "pods", "-l", "component=kube-apiserver", "-o", "json")
    status, output, _ = kubectl.said(*pods)  # it may complain on stderr, and succeed
    return json.loads(output)["items"][0]["status"]["containerStatuses"][0] if status == 0 else None


def restart(kubectl, docker, cluster, signal="TERM"):
    """Kill the API server, and wait until kubelet has started it again and says that it is ready."""
    before = apiserver(kubectl)["restartCount"]
    docker("exec", f"{cluster.name}-control-plane", "pkill", f"-{signal}", "-x", "kube-apiserver")

    def back():
        now = apiserver(kubectl)
        return now and now["restartCount"] > before and now["ready"]

    kubectl.until(back, "the API server is back", times=3000)


def compact(docker, cluster):
    """Have etcd forget all but what is now. Who would go on from before is told 410 Gone: "required revision has been
    compacted" (etcd's gRPC gateway, api-ref/v3 KV)."""
    pki = "/etc/kubernetes/pki"
    curl = ("exec", f"{cluster.name}-control-plane", "curl", "-sS", "--fail", "--cacert", f"{pki}/etcd/ca.crt",
            "--cert", f"{pki}/apiserver-etcd-client.crt", "--key", f"{pki}/apiserver-etcd-client.key")  # fmt: skip

    def asked(what, given):
        return json.loads(docker(*curl, f"https://127.0.0.1:2379/v3/kv/{what}", "-d", json.dumps(given)))

    revision = asked("range", {"key": "AA==", "limit": 1})["header"]["revision"]
    asked("compaction", {"revision": revision, "physical": True})


def seen(kubectl):
    """What app-a's own load came to, by outcome. It goes on while kubectl is cut off."""
    return knobs(kubectl, ("/stats", None))["upstream"]["by_outcome"]


@pytest.mark.skipif(not FULL, reason="FULL=1: the test after it restarts the API server, too, under harder terms")
def test_an_api_server_that_restarts_empties_nothing(demo, docker, cluster):
    """Traffic goes on, and what is changed afterwards arrives."""
    knobs(demo, ("/knobs", "load_rps=30"), ("/stats", "{}"))
    restart(demo, docker, cluster)
    demo.apply(policy("after", "fault", {"abort": {"status": 418}}))
    try:
        demo.until(lambda: "418" in seen(demo), "the policy arrives")
    finally:
        demo("-n", "demo", "delete", "mp", "after")
    knobs(demo, ("/knobs", "load_rps=0"))
    print(f"\nAPI server restarted: {seen(demo)}")
    assert set(seen(demo)) == {"200", "418"}
    demo.until(lambda: load(demo, 20)["statuses"] == {"200": 20}, "app-b answers again")


def test_what_was_missed_while_cut_off_arrives_and_nothing_between(demo, docker, cluster):
    """The control plane is cut off from the API server while a policy is exchanged and the server restarts, and etcd
    forgets what was: its watches are answered with 410 Gone. It lists anew, and tells the difference.
    """
    (own,) = demo.get("-n", "tulle-system", "pods", "-l", "app=tulle-control-plane")["items"]
    # both ways: what is on its way to it must not arrive either
    rules = (
        ("INPUT", "-s", own["status"]["podIP"], "-p", "tcp", "--dport", "6443", "-j", "DROP"),
        ("OUTPUT", "-d", own["status"]["podIP"], "-p", "tcp", "--sport", "6443", "-j", "DROP"),
    )
    node = ("exec", f"{cluster.name}-control-plane", "iptables")
    demo.apply(policy("old", "fault", {"abort": {"status": 418}}))
    try:
        demo.until(lambda: load(demo, 5)["statuses"] == {"418": 5}, "the old policy acts")
        for rule in rules:
            docker(*node, "-I", *rule)
        try:
            demo("-n", "demo", "delete", "mp", "old")
            demo.apply(policy("new", "fault", {"abort": {"status": 451}}))
            knobs(demo, ("/knobs", "load_rps=30"), ("/stats", "{}"))
            compact(docker, cluster)
            # not TERM: it would wait a minute for the watches of whom it cannot reach, who would not hear its goodbye
            restart(demo, docker, cluster, "KILL")
            assert set(seen(demo)) == {"418"}  # what it knows is in force, though it is not true any more
        finally:
            for rule in rules:
                docker(*node, "-D", *rule)
        demo.until(lambda: "451" in seen(demo), "what was missed arrives", times=900)
        assert set(seen(demo)) == {"418", "451"}  # and nothing between them: no moment without any policy
        (now,) = demo.get("-n", "tulle-system", "pods", "-l", "app=tulle-control-plane")["items"]
        assert now["metadata"]["uid"] == own["metadata"]["uid"]
        assert now["status"]["containerStatuses"][0]["restartCount"] == 0
        log = demo("-n", "tulle-system", "logs", "deploy/tulle-control-plane")
        told = [line for line in log.splitlines() if "the watch is too old to go on" in line]
        print(f"\n410 Gone: {told}")
        assert told
    finally:
        demo.run("-n", "demo", "delete", "mp", "old", "new", "--ignore-not-found")
        knobs(demo, ("/knobs", "load_rps=0"))
    demo.until(lambda: load(demo, 20)["statuses"] == {"200": 20}, "app-b answers again")
