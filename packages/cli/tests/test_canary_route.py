"""Weights and the annotation: what is moved is exactly the Service's part, and a rollback leaves nothing behind."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tulle_cli.canary import route
from tulle_cli.canary.machine import Progress
from tulle_cli.canary.plan import Plan
from tulle_cli.canary.weights import Move, TooFine, moved
from tulle_cli.errors import CliError

MOVE = Move("demo", "app-b", 80, "app-b2", 80)


def ref(name, weight=None, port=80, **more):
    return {"name": name, "port": port, **({} if weight is None else {"weight": weight}), **more}


def shares(refs):
    total = sum(one.get("weight", 1) for one in refs)
    return {(one["name"], one["port"]): one.get("weight", 1) / total for one in refs}


def weights(refs):
    return [(one["name"], one["weight"]) for one in refs]


def test_weights_are_as_people_write_them():
    assert weights(moved([ref("app-b")], MOVE, 25)) == [("app-b", 75), ("app-b2", 25)]
    assert weights(moved([ref("app-b", 90), ref("app-b2", 10)], MOVE, 50)) == [("app-b", 50), ("app-b2", 50)]
    assert weights(moved([ref("app-b", 7)], MOVE, 100)) == [("app-b", 0), ("app-b2", 100)]


def test_what_else_a_backend_has_stays_and_goes_along():
    filters = [{"type": "RequestHeaderModifier"}]
    old, new = moved([ref("app-b", 1, group="", kind="Service", filters=filters)], MOVE, 5)
    assert old == ref("app-b", 95, group="", kind="Service", filters=filters)
    assert new == ref("app-b2", 5, group="", kind="Service", filters=filters)


def test_rules_that_send_nothing_to_the_service_are_left_alone():
    for refs in (
        None, [],
        [ref("other")], [ref("app-b", 0), ref("other")], [ref("app-b", port=81)], [ref("app-b", kind="Bucket")],
        [ref("app-b", namespace="else")], [ref("app-b2", 100)], [ref("app-b", group="multicluster.x-k8s.io")],
    ):
        assert moved(refs, MOVE, 5) is None


def test_weights_too_fine_to_be_whole_are_refused():
    with pytest.raises(TooFine, match="999983, 1 cannot be split to 7%"):
        moved([ref("app-b", 999_983), ref("other", 1)], MOVE, 7)


WEIGHTS = st.integers(0, 100)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # others use this machine, too
@given(
    st.lists(st.tuples(st.sampled_from(["app-b", "app-b2", "x", "y"]), WEIGHTS), min_size=1, max_size=4,
             unique_by=lambda pair: pair[0]),
    st.integers(1, 100),
)
def test_only_the_services_part_is_divided_whatever_the_weights(pairs, percent):
    refs = [ref(name, weight) for name, weight in pairs]
    before = dict(pairs)
    after = moved(refs, MOVE, percent)
    if not before.get("app-b"):
        assert after is None
        return
    total = sum(before.values())
    part = (before["app-b"] + before.get("app-b2", 0)) / total
    got = shares(after)
    assert got["app-b2", 80] == pytest.approx(part * percent / 100)
    assert got["app-b", 80] == pytest.approx(part * (100 - percent) / 100)
    for name in {"x", "y"} & before.keys():
        assert got[name, 80] == pytest.approx(before[name] / total)
    assert refs == [ref(name, weight) for name, weight in pairs]  # not changed in place


def http_route(*rules, name="app-b", annotations=None, parent=None):
    metadata = {"name": name, "namespace": "demo", **({"annotations": annotations} if annotations else {})}
    parents = [parent or {"group": "", "kind": "Service", "name": "app-b", "port": 80}]
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata,
            "spec": {"parentRefs": parents, "rules": list(rules)}}


RULES = (
    {"matches": [{"path": {"value": "/cart"}}], "backendRefs": [ref("app-b", 3), ref("other", 1)]},
    {"matches": [{"path": {"value": "/old"}}], "filters": [{"type": "RequestRedirect"}]},
    {"matches": [{"path": {"value": "/x"}}], "backendRefs": [ref("other")]},
    {"backendRefs": [ref("app-b")]},
)


@pytest.mark.parametrize("annotations", [None, {"team": "shop"}])
def test_from_the_first_step_to_the_last_and_back(annotations):
    found = http_route(*RULES, annotations=annotations)
    before = copy.deepcopy(found)
    first = route.begun(found, MOVE, Plan(steps=(5, 100)), 1000.5, made=False)
    assert found == before
    state = route.read(first)
    assert [index for index, _ in state.before] == [0, 3]
    assert (state.percent, state.progress, state.made) == (5, Progress(0, 1000.5), False)
    assert route.is_untouched(first, state)
    assert shares(first["spec"]["rules"][0]["backendRefs"])["app-b2", 80] == pytest.approx(0.75 * 0.05)
    assert first["spec"]["rules"][1:3] == before["spec"]["rules"][1:3]
    assert weights(first["spec"]["rules"][3]["backendRefs"]) == [("app-b", 95), ("app-b2", 5)]
    last = route.written(first, state.at(1, 1030.0))
    state = route.read(last)
    assert state.percent == 100
    assert shares(last["spec"]["rules"][0]["backendRefs"]) == {
        ("app-b", 80): 0, ("app-b2", 80): 0.75, ("other", 80): 0.25,
    }  # fmt: skip
    assert route.restored(last, state) == before
    assert route.restored(first, route.read(first)) == before


def test_weights_that_somebody_else_has_changed_are_seen():
    first = route.begun(http_route(*RULES), MOVE, Plan(), 0.0, made=False)
    state = route.read(first)
    changed = copy.deepcopy(first)
    changed["spec"]["rules"][3]["backendRefs"][0]["weight"] = 96
    assert not route.is_untouched(changed, state)
    shorter = copy.deepcopy(first)
    del shorter["spec"]["rules"][3]
    assert not route.is_untouched(shorter, state)
    elsewhere = copy.deepcopy(first)
    elsewhere["spec"]["rules"][2]["backendRefs"][0]["weight"] = 7
    assert route.is_untouched(elsewhere, state)  # not the canary's business


def test_a_route_that_was_made_for_the_canary_goes_with_it():
    made = route.begun(route.fresh(MOVE), MOVE, Plan(), 0.0, made=True)
    assert weights(made["spec"]["rules"][0]["backendRefs"]) == [("app-b", 95), ("app-b2", 5)]
    assert route.attached([made], "demo", "app-b", 80) == [made]
    assert route.restored(made, route.read(made)) is None


def test_a_route_that_sends_nothing_to_the_service_is_refused():
    with pytest.raises(CliError, match="no rule of HTTPRoute demo/app-b sends requests to app-b:80"):
        route.begun(http_route(*RULES[1:3]), MOVE, Plan(), 0.0, made=False)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"move": {}}', "null", '{"move": {"a": 1}, "plan": {}}'])
def test_an_annotation_that_makes_no_sense_is_named(text):
    with pytest.raises(CliError, match=r"the annotation tulle\.dev/canary of HTTPRoute demo/app-b cannot be read"):
        route.read(http_route(annotations={route.ANNOTATION: text}))


def test_the_annotation_is_json():
    first = route.begun(http_route(*RULES), MOVE, Plan(), 5.0, made=False)
    data = json.loads(first["metadata"]["annotations"][route.ANNOTATION])
    assert (data["phase"], data["progress"], data["move"]["to"]) == ("running", {"step": 0, "since": 5.0}, "app-b2")


@pytest.mark.parametrize(
    ("parent", "is_ours"),
    [
        ({"kind": "Service", "name": "app-b"}, True),
        ({"kind": "Service", "name": "app-b", "group": "", "port": 80, "namespace": "demo"}, True),
        ({"kind": "Service", "name": "app-b", "port": 81}, False),
        ({"kind": "Service", "name": "app-c"}, False),
        ({"kind": "Service", "name": "app-b", "namespace": "else"}, False),
        ({"kind": "Gateway", "name": "app-b"}, False),
        ({"name": "app-b"}, False),  # a Gateway by default
    ],
)
def test_which_routes_are_the_services(parent, is_ours):
    one = http_route(parent=parent)
    assert route.attached([one], "demo", "app-b", 80) == ([one] if is_ours else [])
