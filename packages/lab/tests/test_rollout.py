"""The Deployment's arithmetic: single steps, whole rollouts, and what holds at every moment of any rollout."""

import lab_samples as samples
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_lab.cluster.rollout import Plan, PodView, amounts, is_complete, plan, status, template_hash
from tulle_lab.kinds.defaults import with_defaults


def spec(replicas, surge="25%", unavailable="25%", kind="RollingUpdate"):
    strategy = {"type": kind}
    if kind == "RollingUpdate":
        strategy["rollingUpdate"] = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"replicas": replicas, "strategy": strategy}


def pods(text):
    """`old+ new- newx`: template and number; + available, r ready only, - not ready, x terminating."""
    found = []
    for number, word in enumerate(text.split()):
        mark = word[-1]
        found.append(
            PodView(
                f"{word[:-1]}{number}",
                word[:-1],
                ready=mark in "+r",
                available=mark == "+",
                terminating=mark == "x",
                age=-number,
            )
        )
    return found


@pytest.mark.parametrize(
    ("strategy", "replicas", "expected"),
    [
        ({}, 4, (1, 1)),
        ({}, 1, (1, 0)),
        ({}, 0, (0, 0)),
        ({"maxSurge": "30%", "maxUnavailable": "30%"}, 5, (2, 1)),
        ({"maxSurge": 0, "maxUnavailable": "10%"}, 5, (0, 1)),
        ({"maxSurge": 3, "maxUnavailable": 9}, 5, (3, 5)),
    ],
)
def test_amounts(strategy, replicas, expected):
    surge, unavailable = amounts({"rollingUpdate": strategy}, replicas)
    assert (surge, unavailable) == expected


@pytest.mark.parametrize(
    ("wanted", "now", "create", "delete"),
    [
        (spec(3), "", 3, []),
        (spec(3), "new- new-", 1, []),
        (spec(3), "new+ new+ new+", 0, []),
        (spec(1), "new+ new- new+", 0, ["new1", "new2"]),
        (spec(1), "new+ newx newx", 0, []),
        (spec(2), "new+ newx", 1, []),
        # 4 replicas: one more, one fewer
        (spec(4), "old+ old+ old+ old+", 1, ["old3"]),
        (spec(4), "old+ old+ old+ new- new-", 0, []),
        (spec(4), "old+ old+ old+ new+ new-", 0, ["old2"]),
        (spec(4), "new+ new+ new+ new+ old+", 0, ["old4"]),
        # pods of the old template that do not work go first, whatever they are
        (spec(4), "old- old+ old+ old+", 1, ["old0"]),
        # 1 replica: the new one must be there before the old one goes
        (spec(1), "old+", 1, []),
        (spec(1), "old+ new-", 0, []),
        (spec(1), "old+ newr", 0, []),
        (spec(1), "old+ new+", 0, ["old0"]),
        # no surge: the old one goes first
        (spec(1, 0, 1), "old+", 0, ["old0"]),
        (spec(1, 0, 1), "oldx", 1, []),
        # three templates
        (spec(2), "older+ old+ new+", 0, ["old1"]),
        (spec(2, kind="Recreate"), "old+ old+", 0, ["old0", "old1"]),
        (spec(2, kind="Recreate"), "oldx oldx", 0, []),
        (spec(2, kind="Recreate"), "", 2, []),
        (spec(0), "old+ new+", 0, ["new1", "old0"]),
    ],
)
def test_steps(wanted, now, create, delete):
    assert plan(wanted, "new", pods(now)) == Plan(create, tuple(delete))


@given(
    st.integers(0, 8),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 10),
    st.lists(st.integers(0, 99), max_size=60),
    st.booleans(),
)
def test_a_rollout_never_goes_outside_of_its_bounds_and_ends(replicas, surge, unavailable, old, events, recreate):
    """A little cluster: pods become available and die in any order; the plan is carried out after each event."""
    if surge == unavailable == 0:
        surge = 1
    wanted = spec(replicas, surge, unavailable, "Recreate" if recreate else "RollingUpdate")
    most_unavailable = amounts(wanted["strategy"], replicas)[1]
    cluster = [PodView(f"old{n}", "old", True, True, age=-n) for n in range(old)]
    serial = len(cluster)
    floor = min(old, replicas - most_unavailable)

    def step():
        nonlocal cluster, serial
        todo = plan(wanted, "new", cluster)
        cluster = [
            PodView(p.name, p.hash, p.ready, p.available, True, p.age) if p.name in todo.delete else p for p in cluster
        ]
        for _ in range(todo.create):
            cluster.append(PodView(f"new{serial}", "new", age=-serial))
            serial += 1
        living = [p for p in cluster if not p.terminating]
        assert len(living) <= max(replicas + surge, old) if not recreate else True
        if not recreate:
            assert sum(p.available for p in living) >= floor, "deleting took it below what may be unavailable"
        else:
            assert len({p.hash for p in cluster}) <= 1 or not any(p.hash == "new" for p in cluster)
        return todo

    for event in [*events, *range(100)]:
        step()
        if not cluster:
            continue
        chosen = event % len(cluster)
        pod = cluster[chosen]
        if pod.terminating:
            del cluster[chosen]
        else:
            cluster[chosen] = PodView(pod.name, pod.hash, True, True, False, pod.age)
    for _ in range(200):
        todo = step()
        cluster = [PodView(p.name, p.hash, True, True, False, p.age) for p in cluster if not p.terminating]
        if todo == Plan():
            break
    assert [p.hash for p in cluster] == ["new"] * replicas


def test_the_hash_is_of_the_template_alone():
    web = with_defaults(samples.deployment())
    other = with_defaults(samples.deployment(replicas=9))
    assert template_hash(web["spec"]["template"]) == template_hash(other["spec"]["template"])
    other["spec"]["template"]["spec"]["containers"][0]["args"] = ["x"]
    assert template_hash(web["spec"]["template"]) != template_hash(other["spec"]["template"])
    assert template_hash(web["spec"]["template"]).isalnum()


def conditions(found):
    return {item["type"]: (item["status"], item.get("reason")) for item in found["conditions"]}


def test_status_of_a_rollout_that_goes_on_and_one_that_stands_still():
    web = with_defaults(samples.deployment(replicas=4))
    web["metadata"]["generation"] = 7
    going = status(web, "new", pods("old+ old+ old+ new-"), 100, 90, "")
    assert {name: going[name] for name in going if name.endswith("eplicas")} == {
        "replicas": 4,
        "updatedReplicas": 1,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "unavailableReplicas": 1,
    }
    assert going["observedGeneration"] == 7
    assert conditions(going)["Available"] == ("True", "MinimumReplicasAvailable")
    assert conditions(going)["Progressing"] == ("True", "ReplicaSetUpdated")
    stuck = status({**web, "status": going}, "new", pods("old+ old- old- new-"), 1000, 90, "no such account")
    assert conditions(stuck)["Available"][0] == "False"
    assert conditions(stuck)["Progressing"] == ("False", "ProgressDeadlineExceeded")
    assert conditions(stuck)["ReplicaFailure"] == ("True", "FailedCreate")
    done = status({**web, "status": stuck}, "new", pods("new+ new+ new+ new+ oldx"), 1000, 90, "")
    assert conditions(done)["Progressing"] == ("True", "NewReplicaSetAvailable")
    assert "ReplicaFailure" not in conditions(done)


def test_complete_means_seen_updated_available_and_nothing_old():
    web = with_defaults(samples.deployment(replicas=2))
    web["metadata"]["generation"] = 2
    assert not is_complete(web)
    web["status"] = status(web, "new", pods("new+ new+ oldx"), 1, 1, "")
    assert is_complete(web)
    assert not is_complete({**web, "metadata": {**web["metadata"], "generation": 3}})
    for text in ("new+ newr", "new+ new+ old+", "new+ old+", "new+"):
        assert not is_complete({**web, "status": status(web, "new", pods(text), 1, 1, "")}), text


def test_pods_without_min_ready_seconds_are_available_at_once():
    from tulle_lab.cluster.deployments import _next_available, _view

    pod = samples.ready_pod("a", "10.0.0.1", {"pod-template-hash": "h"})
    pod["status"]["conditions"][0]["lastTransitionTime"] = "1970-01-01T00:01:40Z"
    assert _view(pod, 0, 0, 100).available
    assert not _view(pod, 0, 10, 105).available
    assert _view(pod, 0, 10, 110).available
    assert _next_available([pod], 10, 105) == pytest.approx(5.01)
    assert _next_available([pod], 10, 200) == float("inf")
