"""What the control plane thinks of routes and policies, in their status; one replica writes it."""

import json

from tests.e2e.meshed import policy

CONTROLLER = "tulle.dev/control-plane"


def route(name, backend, *parents):
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": each} for each in parents],
            "rules": [{"backendRefs": [{"name": backend, "port": 80}]}],
        },
    }


def conditions(said):
    return {each["type"]: (each["status"], each["reason"]) for each in said.get("conditions", ())}


def parents(kubectl, name):
    """What each parent of a route is told: conditions by the parent's name."""
    found = kubectl.get("-n", "demo", "httproute", name).get("status", {}).get("parents", ())
    return {each["parentRef"]["name"]: conditions(each) for each in found if each["controllerName"] == CONTROLLER}


GOOD = {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}


def test_a_routes_parents_are_told_each_for_itself(demo, gateway_api):
    demo.apply(route("told", "app-b2", "app-b", "nobody"))
    try:
        lost = {"Accepted": ("False", "NoMatchingParent"), "ResolvedRefs": ("True", "ResolvedRefs")}
        demo.until(lambda: parents(demo, "told") == {"app-b": GOOD, "nobody": lost}, "both parents are told")
        demo("-n", "demo", "wait", "httproute/told", "--for=jsonpath={.status.parents[0].conditions[0].type}=Accepted")

        before = demo.get("-n", "demo", "httproute", "told")
        first = before["status"]["parents"][0]["conditions"][0]
        assert first["observedGeneration"] == before["metadata"]["generation"]
        demo.apply(route("told", "app-b9", "app-b"))
        broken = GOOD | {"ResolvedRefs": ("False", "BackendNotFound")}
        demo.until(lambda: parents(demo, "told") == {"app-b": broken}, "a backend that is not there")
        after = demo.get("-n", "demo", "httproute", "told")
        now = after["status"]["parents"][0]["conditions"][0]
        assert now["observedGeneration"] == after["metadata"]["generation"] > first["observedGeneration"]
        assert now["lastTransitionTime"] == first["lastTransitionTime"]  # it is accepted as before
    finally:
        demo("-n", "demo", "delete", "httproute", "told")


def test_what_other_controllers_said_stays(demo, gateway_api):
    said = [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "observedGeneration": 1,
             "lastTransitionTime": "2026-01-01T00:00:00Z"}]  # fmt: skip
    other = {"parentRef": {"name": "gate"}, "controllerName": "example.org/gateway", "conditions": said}
    demo.apply(route("shared", "app-b2", "app-b"))
    try:
        demo.until(lambda: parents(demo, "shared") == {"app-b": GOOD}, "ours is there")
        theirs = {"status": {"parents": [other]}}  # and they forget about ours
        demo(
            "-n",
            "demo",
            "patch",
            "httproute",
            "shared",
            "--subresource=status",
            "--type=merge",
            "-p",
            json.dumps(theirs),
        )
        demo.until(lambda: parents(demo, "shared") == {"app-b": GOOD}, "ours comes back")
        names = [each["controllerName"] for each in demo.get("-n", "demo", "httproute", "shared")["status"]["parents"]]
        assert sorted(names) == ["example.org/gateway", CONTROLLER]
    finally:
        demo("-n", "demo", "delete", "httproute", "shared")


def accepted(kubectl, name):
    return conditions(kubectl.get("-n", "demo", "mp", name).get("status", {})).get("Accepted")


def test_a_policy_is_told_whether_it_holds(demo):
    demo.apply(
        policy("holds", "timeout", {"request": "9s"}),
        policy("lost", "timeout", {"request": "9s"}, {"kind": "Service", "name": "nobody"}),
    )
    try:
        demo.until(lambda: accepted(demo, "holds") == ("True", "Accepted"), "it holds")
        demo.until(lambda: accepted(demo, "lost") == ("False", "TargetNotFound"), "there is no such Service")
        demo("-n", "demo", "wait", "--for=condition=Accepted", "mp/holds", "--timeout=300s")
        assert "TargetNotFound" in demo("-n", "demo", "get", "mp", "-o", "wide")
    finally:
        demo("-n", "demo", "delete", "mp", "holds", "lost")


def test_one_of_two_replicas_writes_and_the_other_takes_over(demo):
    def holder():
        return demo.get("-n", "tulle-system", "lease", "tulle-control-plane")["spec"]["holderIdentity"]

    demo("-n", "tulle-system", "scale", "deploy/tulle-control-plane", "--replicas=2")
    try:
        demo.rolled_out("tulle-system", "deploy/tulle-control-plane")
        writer = holder().rpartition("_")[0]
        pods = demo.get("-n", "tulle-system", "pods", "-l", "app=tulle-control-plane")["items"]
        assert writer in {each["metadata"]["name"] for each in pods}
        demo("-n", "tulle-system", "delete", "pod", writer, "--grace-period=0", "--force")
        demo.until(lambda: not holder().startswith(writer), "the lease goes to another", times=600)
        demo.apply(policy("after", "timeout", {"request": "9s"}))
        demo.until(lambda: accepted(demo, "after") == ("True", "Accepted"), "who writes now")
    finally:
        demo.run("-n", "demo", "delete", "mp", "after", "--ignore-not-found")
        demo("-n", "tulle-system", "scale", "deploy/tulle-control-plane", "--replicas=1")
        demo.rolled_out("tulle-system", "deploy/tulle-control-plane")
