"""Apply, delete, scale, restart: all of a file or nothing, what stays, what cannot change; and admission's rules."""

import base64
import copy
import json

import lab_samples as samples
import pytest
import trio
from lab_cluster import Cluster, plain
from tulle_lab.cluster import webhook
from tulle_lab.cluster.apply import LAST_APPLIED, RESTARTED_AT
from tulle_lab.cluster.objects import Key
from tulle_lab.errors import LabError, NotFound


@pytest.fixture
def cluster():
    return Cluster()


def test_created_unchanged_configured(cluster):
    web = samples.deployment()
    assert cluster.apply(web) == ["Deployment created"]
    assert cluster.apply(web) == ["Deployment unchanged"]
    assert cluster.get("Deployment", "web")["metadata"]["generation"] == 1
    web["spec"]["replicas"] = 5
    assert cluster.apply(web) == ["Deployment configured"]
    assert cluster.get("Deployment", "web")["metadata"]["generation"] == 2
    web["metadata"]["labels"] = {"a": "b"}
    assert cluster.apply(web) == ["Deployment configured"]
    assert cluster.get("Deployment", "web")["metadata"]["generation"] == 2, "labels are no new generation"


def test_apply_keeps_status(cluster):
    cluster.apply(samples.deployment())
    cluster.store.update(Key("Deployment", "default", "web"), lambda obj: obj.update(status={"replicas": 1}))
    cluster.apply(samples.deployment(replicas=9))
    assert cluster.get("Deployment", "web")["status"] == {"replicas": 1}


def test_what_scale_and_restart_did_stays_when_the_manifest_does_not_say(cluster):
    web = samples.deployment()
    cluster.apply(web)
    key = Key("Deployment", "default", "web")
    cluster.api.scale(key, 7)
    cluster.api.restart(key)
    del web["spec"]["replicas"]
    assert cluster.apply(web) == ["Deployment unchanged"]
    spec = cluster.get("Deployment", "web")["spec"]
    assert spec["replicas"] == 7
    assert spec["template"]["metadata"]["annotations"] == {RESTARTED_AT: "1000.000"}
    web["spec"]["replicas"] = 2
    cluster.apply(web)
    assert cluster.get("Deployment", "web")["spec"]["replicas"] == 2


def test_scale_raises_the_generation_only_when_it_changes_something(cluster):
    cluster.apply(samples.deployment(replicas=3))
    key = Key("Deployment", "default", "web")
    cluster.api.scale(key, 3)
    assert cluster.get("Deployment", "web")["metadata"]["generation"] == 1
    cluster.api.scale(key, 4)
    assert cluster.get("Deployment", "web")["metadata"]["generation"] == 2
    with pytest.raises(NotFound, match="no Deployment none in namespace default"):
        cluster.api.scale(Key("Deployment", "default", "none"), 1)


def test_a_namespace_must_exist_or_come_along(cluster):
    lost = samples.service(namespace="shop")
    assert cluster.refused(samples.deployment(), lost) == [
        "Service web: there is no namespace 'shop'; add a Namespace object for it"
    ]
    assert cluster.apply(samples.namespace("shop"), lost) == ["Namespace created", "Service created"]
    assert cluster.get("ServiceAccount", "default", "shop")
    assert cluster.get("Namespace", "shop", "")["metadata"]["labels"] == {"kubernetes.io/metadata.name": "shop"}


# --- Services ---------------------------------------------------------------------------------------------------


def ips(cluster, name="web"):
    spec = cluster.get("Service", name)["spec"]
    return spec["clusterIPs"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ["10.96.0.100"]),
        ({"ipFamilyPolicy": "PreferDualStack"}, ["10.96.0.100", "fd00:10:96::64"]),
        ({"ipFamilies": ["IPv6"]}, ["fd00:10:96::64"]),
        ({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}, ["fd00:10:96::64", "10.96.0.100"]),
        ({"clusterIP": "10.96.5.5", "ipFamilyPolicy": "PreferDualStack"}, ["10.96.5.5", "fd00:10:96::505"]),
        ({"clusterIP": "None"}, ["None"]),
    ],
)
def test_cluster_ips(cluster, spec, expected):
    cluster.apply(samples.service(**spec))
    assert ips(cluster) == expected
    assert cluster.apply(samples.service(**spec)) == ["Service unchanged"]
    assert cluster.get("Service", "web")["spec"]["clusterIP"] == expected[0]


def test_addresses_stay_and_come_back(cluster):
    cluster.apply(samples.service())
    cluster.apply(samples.service(ports=[{"port": 81}]))
    assert ips(cluster) == ["10.96.0.100"]
    cluster.apply(samples.service(ipFamilyPolicy="PreferDualStack"))
    assert ips(cluster) == ["10.96.0.100", "fd00:10:96::64"]
    cluster.api.delete(Key("Service", "default", "web"))
    cluster.apply(samples.service(clusterIP="10.96.0.100"))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"clusterIP": "192.0.2.1"}, "is outside of 10.96.0.0/16"),
        ({"clusterIP": "10.96.0.100"}, "the address 10.96.0.100 is in use"),
        ({"ipFamilies": ["IPv4", "IPv6"]}, "two families need ipFamilyPolicy"),
    ],
)
def test_addresses_that_cannot_be(cluster, spec, words):
    cluster.apply(samples.service("first"))
    [problem] = cluster.refused(samples.service("second", ports=[{"port": 1}]), samples.service(**spec))
    assert words in problem
    cluster.apply(samples.service("third"))
    assert ips(cluster, "third") == ["10.96.0.102"], "what a refused file had taken for a moment is free again"
    cluster.apply(samples.service("fourth", clusterIP="10.96.0.101"))


def test_what_cannot_change(cluster):
    cluster.apply(samples.service(), samples.deployment())
    assert "cannot change from 10.96.0.100" in cluster.refused(samples.service(clusterIP="10.96.0.9"))[0]
    assert "cannot become headless" in cluster.refused(samples.service(clusterIP="None"))[0]
    assert "spec.selector cannot be changed" in cluster.refused(samples.deployment(labels={"b": "c"}))[0]


def test_without_ipv6():
    cluster = Cluster(ipv6=False)
    cluster.apply(samples.service(ipFamilyPolicy="PreferDualStack"))
    assert ips(cluster) == ["10.96.0.100"]
    assert "IPv6 is switched off" in cluster.refused(samples.service("b", ipFamilyPolicy="RequireDualStack"))[0]


# --- pods and admission -----------------------------------------------------------------------------------------


def test_a_pod_gets_an_account_a_token_and_a_node(cluster):
    assert cluster.apply(plain(samples.pod())) == ["Pod created"]
    spec = cluster.get("Pod", "p")["spec"]
    assert (spec["serviceAccountName"], spec["nodeName"]) == ("default", "node")
    assert [v["name"] for v in spec["volumes"]] == ["kube-api-access"]
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
    ]
    assert cluster.get("Pod", "p")["status"] == {"phase": "Pending"}


def test_a_token_that_is_not_wanted_is_not_mounted(cluster):
    cluster.apply(plain(samples.pod(spec={**samples.POD_SPEC, "automountServiceAccountToken": False})))
    assert "volumes" not in cluster.get("Pod", "p")["spec"]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "quiet", "namespace": "default"}}
    cluster.apply({**account, "automountServiceAccountToken": False})
    cluster.apply(plain(samples.pod("q", spec={**samples.POD_SPEC, "serviceAccountName": "quiet"})))
    assert "volumes" not in cluster.get("Pod", "q")["spec"]


def test_an_account_must_exist(cluster):
    assert cluster.apply(plain(samples.pod(spec={**samples.POD_SPEC, "serviceAccountName": "none"}))) == ["Pod refused"]
    assert "no ServiceAccount none" in cluster.warnings[0]


def test_a_pods_spec_cannot_change_and_its_labels_can(cluster):
    pod = plain(samples.pod(labels={"a": "b"}))
    cluster.apply(pod)
    assert cluster.apply(pod) == ["Pod unchanged"]
    changed = copy.deepcopy(pod)
    changed["spec"]["containers"][0]["image"] = "other"
    assert "a pod's spec cannot be changed" in cluster.refused(changed)[0]
    pod["metadata"]["labels"] = {"a": "c"}
    assert cluster.apply(pod) == ["Pod configured"]
    stored = cluster.get("Pod", "p")
    assert stored["metadata"]["labels"] == {"a": "c"}
    assert stored["spec"]["nodeName"] == "node"
    assert LAST_APPLIED in stored["metadata"]["annotations"]


SIDECAR = [{"op": "add", "path": "/spec/containers/-", "value": {"name": "tulle-proxy", "image": "tulle/proxy"}}]


def meshed(cluster, **labels):
    cluster.hook.installed = True
    cluster.apply(samples.namespace("shop", {"tulle.dev/inject": "enabled", **labels}))
    cluster.hook.asked.clear()
    return plain(samples.pod(namespace="shop"))


def test_the_webhook_is_asked_and_its_patch_applied(cluster):
    pod = meshed(cluster)
    cluster.hook.answers["/mutate"] = SIDECAR
    cluster.apply(pod)
    [(path, asked, _)] = cluster.hook.asked
    assert path == "/mutate"
    assert asked["spec"]["serviceAccountName"] == "default", "the account plug-in comes first"
    stored = cluster.get("Pod", "p", "shop")
    assert [c["name"] for c in stored["spec"]["containers"]] == ["app", "tulle-proxy"]
    assert stored["spec"]["containers"][1]["volumeMounts"], "and again, for what was added"
    assert cluster.warnings == ["Pod p: look here"]
    assert cluster.apply(pod) == ["Pod unchanged"]


@pytest.mark.parametrize(
    ("namespace", "labels", "annotations", "expected"),
    [
        ("enabled", {}, {}, True),
        ("disabled", {}, {}, False),
        ("", {}, {}, False),
        ("", {webhook.INJECT: "enabled"}, {}, True),
        ("", {}, {webhook.INJECT: "enabled"}, True),
        ("", {}, {webhook.INJECT: "disabled"}, False),
    ],
)
def test_who_is_asked_about(namespace, labels, annotations, expected):
    space = samples.namespace("shop", {webhook.INJECT: namespace} if namespace else {})
    pod = samples.pod(labels=labels, annotations=annotations)
    assert webhook.wants_injection(pod, space) is expected
    assert not webhook.wants_injection(pod, samples.namespace("tulle-system", {webhook.INJECT: "enabled"}))
    assert not webhook.wants_injection(pod, samples.namespace("kube-system", {webhook.INJECT: "enabled"}))


def test_a_refusal_is_told(cluster):
    pod = meshed(cluster)
    cluster.hook.answers["/mutate"] = webhook.Denied("the app runs as uid 4140")
    assert cluster.apply(pod) == ["Pod refused"]
    assert "the app runs as uid 4140" in cluster.warnings[0]
    assert cluster.get("Pod", "p", "shop") is None


@pytest.mark.parametrize("trouble", [webhook.Unreachable("no pod of it is ready"), [{"op": "remove", "path": "/none"}]])
def test_failure_policy_ignore_and_fail(cluster, trouble):
    pod = meshed(cluster)
    cluster.hook.answers["/mutate"] = trouble
    assert cluster.apply(pod) == ["Pod created"]
    assert "started without a proxy" in cluster.warnings[0]
    assert cluster.events.list("shop")[0]["reason"] == "FailedCallingWebhook"
    cluster.apply(samples.namespace("shop", {webhook.INJECT: "enabled", webhook.FAIL_LABEL: "fail"}))
    pod["metadata"]["name"] = "q"
    assert cluster.apply(pod) == ["Pod refused"]
    assert "cannot be asked" in cluster.warnings[0]


def test_what_the_webhook_makes_is_validated(cluster):
    pod = meshed(cluster)
    cluster.hook.answers["/mutate"] = [{"op": "add", "path": "/spec/hostNetwork", "value": True}]
    assert cluster.apply(pod) == ["Pod refused"]
    assert "spec.hostNetwork: the lab does not do this" in cluster.warnings[0]


def test_a_generated_name_is_made_after_admission(cluster):
    pod = meshed(cluster)
    del pod["metadata"]["name"]
    pod["metadata"]["generateName"] = "web-"
    stored, _ = trio.run(cluster.api.admission.create, pod, Key("Deployment", "shop", "web"))
    assert "name" not in cluster.hook.asked[0][1]["metadata"]
    assert stored["metadata"]["name"].startswith("web-")
    assert len(stored["metadata"]["name"]) == 9


def policy(**metadata):
    spec = {"targetRef": {"kind": "Service", "name": "web"}, "type": "timeout", "config": {}}
    return {
        "apiVersion": "tulle.dev/v1alpha1",
        "kind": "MeshPolicy",
        "metadata": {"name": "slow", "namespace": "shop", **metadata},
        "spec": spec,
    }


def test_policies_are_validated_before_anything_changes(cluster):
    meshed(cluster)
    cluster.hook.answers["/validate"] = webhook.Denied("spec.config.request: missing")
    assert cluster.refused(samples.deployment(namespace="shop"), policy()) == [
        "MeshPolicy slow: spec.config.request: missing"
    ]
    assert [(path, obj["kind"]) for path, obj, _ in cluster.hook.asked] == [("/validate", "MeshPolicy")]
    cluster.hook.answers["/validate"] = webhook.Unreachable("gone")
    assert cluster.apply(policy()) == ["MeshPolicy created"]
    assert cluster.warnings == ["MeshPolicy slow: not validated, the admission controller cannot be asked (gone)"]
    cluster.apply(samples.namespace("shop", {webhook.FAIL_LABEL: "fail"}))
    assert "cannot be asked (gone)" in cluster.refused(policy(labels={"a": "b"}))[0]


def test_our_annotations_are_validated(cluster):
    cluster.hook.installed = True
    cluster.apply(samples.namespace("a"))
    assert cluster.hook.asked == []
    marked = samples.namespace("b")
    marked["metadata"]["annotations"] = {"tulle.dev/opaque-ports": "x"}
    cluster.apply(marked)
    assert [path for path, _, _ in cluster.hook.asked] == ["/validate"]


# --- delete -----------------------------------------------------------------------------------------------------


def test_deleting_marks_pods_and_removes_the_rest(cluster):
    cluster.apply(samples.deployment(), samples.service(), plain(samples.pod()))
    owner = cluster.get("Deployment", "web")["metadata"]["uid"]
    owned = samples.pod(
        "web-1", ownerReferences=[{"uid": owner, "controller": True, "kind": "Deployment", "name": "web"}]
    )
    owned["spec"]["terminationGracePeriodSeconds"] = 12
    cluster.store.put(owned)
    cluster.api.delete(Key("Deployment", "default", "web"))
    assert cluster.get("Deployment", "web") is None
    assert cluster.get("Pod", "web-1")["metadata"]["deletionGracePeriodSeconds"] == 12
    cluster.api.delete(Key("Pod", "default", "p"), grace=1)
    cluster.api.delete(Key("Pod", "default", "p"), grace=9)
    assert cluster.get("Pod", "p")["metadata"]["deletionGracePeriodSeconds"] == 1
    with pytest.raises(NotFound, match="no Service none"):
        cluster.api.delete(Key("Service", "default", "none"))


def test_a_namespace_takes_everything_along(cluster):
    cluster.apply(samples.namespace("shop"), samples.deployment(namespace="shop"), samples.service(namespace="shop"))
    cluster.api.delete(Key("Namespace", "", "shop"))
    assert [obj["kind"] for obj in cluster.store.all() if obj["metadata"].get("namespace") == "shop"] == []
    assert cluster.get("Namespace", "shop", "")["status"]["phase"] == "Terminating"
    assert "there is no namespace 'shop'" in cluster.refused(samples.service(namespace="shop"))[0]
    cluster.apply(samples.namespace("tulle-system"))
    with pytest.raises(LabError, match="belongs to the lab"):
        cluster.api.delete(Key("Namespace", "", "tulle-system"))


def test_what_is_being_deleted_is_not_applied_to(cluster):
    pod = plain(samples.pod())
    cluster.apply(pod)
    cluster.api.delete(Key("Pod", "default", "p"))
    assert "it is being deleted" in cluster.refused(pod)[0]


# --- the webhook's wire format ---------------------------------------------------------------------------------------


def answer(asked, allowed=True, patch=None, **more):
    response = {"uid": asked["request"]["uid"], "allowed": allowed, **more}
    if patch is not None:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def test_a_review_is_an_api_servers():
    asked = webhook.review(samples.deployment())
    request = asked["request"]
    assert asked["apiVersion"] == "admission.k8s.io/v1"
    assert request["kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert request["resource"] == {"group": "apps", "version": "v1", "resource": "deployments"}
    assert (request["operation"], request["dryRun"], request["oldObject"]) == ("CREATE", False, None)
    assert webhook.review(samples.pod())["request"]["kind"]["group"] == ""
    assert webhook.review(samples.pod(), samples.pod())["request"]["operation"] == "UPDATE"
    assert webhook.review(samples.pod())["request"]["uid"] != request["uid"]


def test_answers():
    asked = webhook.review(samples.pod())
    assert webhook.read_answer(asked, answer(asked, warnings=["w"])).warnings == ["w"]
    assert webhook.read_answer(asked, answer(asked, patch=SIDECAR)).patch == SIDECAR
    with pytest.raises(webhook.Denied, match="no"):
        webhook.read_answer(asked, answer(asked, allowed=False, status={"message": "no"}))
    for wrong in (
        None,
        [],
        {},
        {"response": 1},
        answer(webhook.review(samples.pod())),
        answer(asked, patch=[])
        | {"response": {"uid": asked["request"]["uid"], "allowed": True, "patch": "!", "patchType": "JSONPatch"}},
        answer(asked) | {"response": {"uid": asked["request"]["uid"], "allowed": True, "patch": "W10="}},
    ):
        with pytest.raises(webhook.Unreachable):
            webhook.read_answer(asked, wrong)
