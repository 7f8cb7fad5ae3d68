"""AdmissionReview v1: the protocol, without a server. Malformed ones are in test_malformed.py."""

import base64
import json

import pytest
from tulle_admission_controller.jsonpatch import apply_adds
from tulle_admission_controller.mutate import mutate
from tulle_admission_controller.namespaces import no_annotations
from tulle_admission_controller.review import MAX_BYTES, Decision, refusal, review
from tulle_admission_controller.settings import InjectSettings


def mutating(request):
    return mutate(request, InjectSettings(), no_annotations)


def answered(body, decide=mutating):
    result = review(body, decide)
    document = json.loads(result.body)
    assert (document["apiVersion"], document["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    return result, document["response"]


def test_a_pod_is_injected(malformed):
    good = malformed.pod_review()
    result, response = answered(malformed.encoded(good))
    assert (result.status, response["uid"], response["allowed"]) == (200, malformed.UID, True)
    assert response["patchType"] == "JSONPatch"
    patch = json.loads(base64.b64decode(response["patch"], validate=True))
    pod = apply_adds(good["request"]["object"], patch)
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["tulle-init", "tulle-proxy"]
    environment = {each["name"]: each.get("value") for each in pod["spec"]["initContainers"][1]["env"]}
    assert environment["TULLE_WORKLOAD"] == "deployment/web"  # generateName only, and no owner
    assert response["auditAnnotations"] == {"outcome": "injected"}
    assert "warnings" not in response
    assert "status" not in response


def test_twice_is_once(malformed):
    good = malformed.pod_review()
    _, first = answered(malformed.encoded(good))
    pod = apply_adds(good["request"]["object"], json.loads(base64.b64decode(first["patch"])))
    _, second = answered(malformed.encoded(malformed.pod_review(object=pod)))
    assert second["allowed"] is True
    assert "patch" not in second
    assert "patchType" not in second


def test_a_dry_run_gets_the_same_answer_and_is_marked(malformed):
    wet, wet_response = answered(malformed.encoded(malformed.pod_review()))
    dry, dry_response = answered(malformed.encoded(malformed.pod_review(dryRun=True)))
    assert dry_response == wet_response
    assert (wet.request.dry_run, dry.request.dry_run) == (False, True)


def test_a_refusal_says_why(malformed):
    spec = {"containers": [{"name": "web", "securityContext": {"runAsUser": 4140}}]}
    body = malformed.encoded(malformed.pod_review(object={"kind": "Pod", "spec": spec}))
    result, response = answered(body)
    assert result.status == 200
    assert response["allowed"] is False
    assert response["status"]["code"] == 422
    assert response["status"]["reason"] == "Invalid"
    assert 'container "web" runs as uid 4140' in response["status"]["message"]


def test_warnings_are_one_short_line_each(malformed):
    warnings = ("two\nlines\x00 and\tblanks", "long " * 100)
    _, response = answered(malformed.encoded(malformed.pod_review()), lambda _: Decision(True, "x", warnings=warnings))
    assert response["warnings"][0] == "two lines and blanks"
    assert len(response["warnings"][1]) == 250


def test_a_skip_that_may_surprise_warns(malformed):
    document = malformed.changed(malformed.pod_review(), "request.object.spec.hostNetwork", True)
    _, response = answered(malformed.encoded(document))
    assert response["allowed"] is True
    assert response["auditAnnotations"] == {"outcome": "skipped"}
    assert "hostNetwork" in response["warnings"][0]


def test_the_namespace_of_the_request_counts(malformed):
    body = malformed.encoded(malformed.pod_review(namespace="kube-system"))
    _, response = answered(body)
    assert (response["allowed"], "patch" in response) == (True, False)
    document = malformed.changed(malformed.pod_review(namespace=""), "request.object.metadata.namespace", "shop")
    _, response = answered(malformed.encoded(document))
    assert "patch" in response


def test_annotations_of_the_namespace(malformed):
    def decide(request):
        known = {"shop": {"tulle.dev/inject": "disabled"}}
        return mutate(request, InjectSettings(), lambda namespace: known.get(namespace, {}))

    _, response = answered(malformed.encoded(malformed.pod_review()), decide)
    assert "patch" not in response


@pytest.mark.parametrize("error", [RuntimeError("boom"), RecursionError(), KeyError("secret-value")])
def test_a_fault_of_ours_is_no_decision(malformed, error):
    def decide(request):
        raise error

    result, response = answered(malformed.encoded(malformed.pod_review()), decide)
    assert result.status == 500  # a failed call to the API server: failurePolicy decides
    assert response["allowed"] is False
    assert response["uid"] == malformed.UID
    assert response["status"]["reason"] == "InternalError"
    assert "secret-value" not in response["status"]["message"]
    assert result.error is error


def test_the_limit(malformed):
    good = malformed.encoded(malformed.pod_review())
    result, _ = answered(good + b" " * (MAX_BYTES - len(good)))
    assert result.decision.outcome == "injected"
    result, response = answered(good + b" " * (MAX_BYTES - len(good) + 1))
    assert (result.status, response["allowed"]) == (400, False)


def test_the_depth_guard_is_what_refuses_deep_json(malformed):
    _, response = answered(b"[" * 100_000)
    assert "nested too deeply" in response["status"]["message"]


def test_long_messages_are_cut():
    result = refusal(400, "x" * 10_000)
    assert len(json.loads(result.body)["response"]["status"]["message"]) <= 4096


def test_every_case_is_refused_without_a_server_too(malformed):
    def reviewed(case):
        if case.content_type != "application/json":
            return refusal(415, "content-type")
        return review(case.body, mutating)

    cases = [case for case in malformed.cases() if case.path == "/mutate"]
    faults = {}
    for case in cases:
        result = reviewed(case)
        reason = malformed.fault(case, result.status, "application/json", result.body)
        if reason:
            faults[case.name] = reason
    assert faults == {}
