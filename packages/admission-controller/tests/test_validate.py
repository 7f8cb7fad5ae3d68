"""/validate: policies by the plugins at hand, annotations of pods and namespaces, changes of what was wrong before."""

import pytest
from tulle_admission_controller.jsonpatch import apply_adds
from tulle_admission_controller.mutate import mutate
from tulle_admission_controller.namespaces import no_annotations
from tulle_admission_controller.review import AdmissionRequest
from tulle_admission_controller.settings import InjectSettings
from tulle_admission_controller.validate import policy_judge, validate
from tulle_plugin_api.protocols import Config, Policy


class LimitConfig(Config):
    requests: int


class Limit(Policy):
    config = LimitConfig

    def check(self, config):
        return ["requests: must be positive"] if config.requests < 1 else []

    def build(self, config, next, runtime):
        return next


class Raises(Limit):
    def check(self, config):
        raise ZeroDivisionError("a plugin's own fault")


def test_a_plugin_that_was_installed_meanwhile_is_asked_for():
    policies = {}

    def find(kind, name):
        if (kind, name) == ("policy", "limit"):
            policies[name] = Limit()

    judge = policy_judge(policies, {}, find)
    target = {"kind": "Service", "name": "a"}
    policy = {"apiVersion": "tulle.dev/v1alpha1", "kind": "MeshPolicy", "spec": {"targetRef": target, "type": "limit"}}
    assert not any("is installed" in problem for problem in judge(policy))
    policy["spec"] = {**policy["spec"], "type": "limt"}
    assert any("no policy plugin 'limt' is installed; did you mean 'limit'?" in problem for problem in judge(policy))


JUDGE = policy_judge({"limit": Limit(), "raises": Raises()}, {"round-robin": object})


def request(kind, obj, *, group="", operation="CREATE", old=None, subresource=""):
    return AdmissionRequest("u", group, kind, operation, "", "shop", subresource, obj, old, False, "someone")


def policy(**spec):
    good = {"targetRef": {"kind": "Service", "name": "web"}, "type": "limit", "config": {"requests": 5}}
    return {
        "apiVersion": "tulle.dev/v1alpha1",
        "kind": "MeshPolicy",
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": {**good, **spec},
    }


def judged(obj, judge=JUDGE, **more):
    return validate(request("MeshPolicy", obj, group="tulle.dev", **more), judge)


def test_a_good_policy():
    assert judged(policy()).allowed
    assert judged(policy(), operation="UPDATE", old=policy()).allowed


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"type": "limits"}, "did you mean 'limit'"),
        ({"config": {"requests": "many"}}, "spec.config.requests"),
        ({"config": {"requests": 0}}, "must be positive"),
        ({"config": {"request": 5}}, "request"),
        ({"targetRef": {"kind": "Pod", "name": "web"}}, "spec.targetRef.kind"),
        ({"targetRef": None}, "spec.targetRef"),
        ({"type": "balancer", "config": {"name": "round-robbin"}}, "did you mean 'round-robin'"),
        ({"type": "raises"}, "ZeroDivisionError: a plugin's own fault"),
    ],
)
def test_a_bad_policy_is_refused_with_what_would_be_right(spec, said):
    decision = judged(policy(**spec))
    assert (decision.allowed, decision.code) == (False, 422)
    assert said in decision.message


def test_what_cannot_be_judged_is_refused():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    decision = judged(policy(config=deep))
    assert (decision.allowed, decision.code) == (False, 422)
    assert "simplify spec.config" in decision.message


def test_what_was_wrong_before_only_warns():
    bad = policy(config={"requests": 0})
    decision = judged({**bad, "metadata": {"name": "p", "labels": {"new": "x"}}}, operation="UPDATE", old=bad)
    assert decision.allowed
    assert "must be positive" in decision.warnings[0]
    assert not judged(bad, operation="UPDATE", old=policy()).allowed


def test_what_is_being_deleted_is_not_held():
    bad = policy(type="gone-plugin")
    bad["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert judged(bad, operation="UPDATE", old=policy()).allowed


@pytest.mark.parametrize(
    ("annotations", "labels", "allowed"),
    [
        ({}, {}, True),
        ({"tulle.dev/inject": "enabled", "tulle.dev/opaque-ports": "25"}, {"tulle.dev/inject": "enabled"}, True),
        ({"tulle.dev/inject": "on"}, {}, False),
        ({"tulle.dev/opaque-ports": "smtp"}, {}, False),
        ({}, {"tulle.dev/inject": "on"}, False),
        ({"tulle.dev/opaque-ports": 25}, {}, False),
        ({"example.com/ports": "smtp"}, {"example.com": "x"}, True),
    ],
)
@pytest.mark.parametrize("kind", ["Pod", "Namespace"])
def test_annotations(kind, annotations, labels, allowed):
    metadata = {"name": "shop", "annotations": annotations, "labels": labels}
    obj = {"kind": kind, "metadata": metadata, "spec": {"containers": [{"name": "web"}]}}
    decision = validate(request(kind, obj), JUDGE)
    assert decision.allowed == allowed
    assert bool(decision.message) == (not allowed)


def test_a_slip_of_the_pen_warns():
    obj = {"metadata": {"annotations": {"tulle.dev/opaque-port": "25"}}}
    decision = validate(request("Namespace", obj), JUDGE)
    assert decision.allowed
    assert "did you mean tulle.dev/opaque-ports?" in decision.warnings[0]


@pytest.mark.parametrize("metadata", ["x", [], {"annotations": []}, {"labels": "x"}])
def test_metadata_of_a_wrong_shape(metadata):
    assert not validate(request("Namespace", {"metadata": metadata}), JUDGE).allowed


def test_a_debug_container_under_the_proxys_uid_is_refused_in_an_injected_pod():
    pod = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web"}]}}
    injected = mutate(request("Pod", pod), InjectSettings(), no_annotations)
    pod = apply_adds(pod, injected.patch)
    assert validate(request("Pod", pod), JUDGE).allowed
    debug = {"name": "debugger", "securityContext": {"runAsUser": 4140}}
    debugged = {**pod, "spec": {**pod["spec"], "ephemeralContainers": [debug]}}
    decision = validate(
        request("Pod", debugged, operation="UPDATE", old=pod, subresource="ephemeralcontainers"), JUDGE
    )
    assert not decision.allowed
    assert '"debugger" runs as uid 4140' in decision.message


@pytest.mark.parametrize(
    ("kind", "group", "operation"),
    [("Secret", "", "CREATE"), ("Pod", "apps", "CREATE"), ("Pod", "", "DELETE"), ("Namespace", "", "CONNECT")],
)
def test_what_it_is_not_for(kind, group, operation):
    decision = validate(request(kind, {"metadata": {}}, group=group, operation=operation), JUDGE)
    assert (decision.allowed, decision.outcome, decision.code) == (False, "malformed", 400)
    assert "correct rules" in decision.message
