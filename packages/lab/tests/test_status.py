"""Pod phases and conditions from the states of containers."""

import pytest
from tulle_lab.kubelet.status import ContainerState, Role, phase, pod_status, role_of


def state(role, how, name="c"):
    found = ContainerState(name, "image", Role(role))
    if how == "running":
        found.run(1, "tulle://1")
        found.ready = found.started = True
    elif how == "starting":
        found.run(1, "tulle://1")
    elif how == "crashed":
        found.run(1, "x")
        found.terminate(1, 2)
        found.wait("CrashLoopBackOff")
    elif isinstance(how, int):
        found.run(1, "x")
        found.terminate(how, 2)
    return found


@pytest.mark.parametrize(
    ("states", "policy", "expected"),
    [
        ([("app", "waiting")], "Always", "Pending"),
        ([("init", "running"), ("app", "waiting")], "Always", "Pending"),
        ([("init", 0), ("app", "waiting")], "Always", "Pending"),
        ([("init", 0), ("app", "starting")], "Always", "Running"),
        ([("init", 1), ("app", "waiting")], "Always", "Pending"),
        ([("init", 1), ("app", "waiting")], "Never", "Failed"),
        ([("init", "crashed"), ("app", "waiting")], "OnFailure", "Pending"),
        ([("sidecar", "running"), ("app", "waiting")], "Always", "Pending"),
        ([("sidecar", "running"), ("app", "running")], "Always", "Running"),
        ([("app", 0)], "Always", "Running"),
        ([("app", "crashed")], "Always", "Running"),
        ([("app", 0)], "Never", "Succeeded"),
        ([("app", 0), ("app", 3)], "Never", "Failed"),
        ([("app", 0), ("app", "running")], "Never", "Running"),
        ([("app", 0)], "OnFailure", "Succeeded"),
        ([("app", 3)], "OnFailure", "Running"),
        ([("sidecar", "running"), ("app", 0)], "Never", "Succeeded"),
    ],
)
def test_phase(states, policy, expected):
    assert phase([state(*one) for one in states], policy) == expected


def conditions(status):
    return {item["type"]: item["status"] for item in status["conditions"]}


def test_a_sidecar_counts_for_readiness_and_an_init_container_does_not():
    states = [state("init", 0, "i"), state("sidecar", "starting", "s"), state("app", "running", "a")]
    status = pod_status(states, "Always", ("10.244.0.2", "fd00::2"), {}, 100)
    assert conditions(status)["Ready"] == "False"
    assert [c["message"] for c in status["conditions"] if c["type"] == "Ready"] == [
        "containers with unready status: [s]"
    ]
    states[1].ready = states[1].started = True
    status = pod_status(states, "Always", ("10.244.0.2", "fd00::2"), status, 105)
    assert conditions(status) == dict.fromkeys(
        ["PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"], "True"
    )
    assert status["podIP"] == "10.244.0.2"
    assert status["podIPs"] == [{"ip": "10.244.0.2"}, {"ip": "fd00::2"}]
    assert [item["name"] for item in status["initContainerStatuses"]] == ["i", "s"]
    assert status["startTime"] == "1970-01-01T00:01:40Z"


def test_a_condition_keeps_its_time_until_it_turns():
    running = state("app", "running")
    first = pod_status([running], "Always", ("10.0.0.1",), {}, 100)
    again = pod_status([running], "Always", ("10.0.0.1",), first, 200)
    running.ready = False
    turned = pod_status([running], "Always", ("10.0.0.1",), again, 300)
    times = [
        next(c["lastTransitionTime"][-6:] for c in status["conditions"] if c["type"] == "Ready")
        for status in (first, again, turned)
    ]
    assert times == ["01:40Z", "01:40Z", "05:00Z"]


def test_states_in_kubernetes_words():
    found = state("app", "running")
    found.terminate(137, 20)
    assert found.to_json()["state"] == {
        "terminated": {
            "exitCode": 137,
            "signal": 9,
            "reason": "Error",
            "startedAt": "1970-01-01T00:00:01Z",
            "finishedAt": "1970-01-01T00:00:20Z",
        }
    }
    found.run(30, "tulle://2")
    assert found.to_json()["lastState"]["terminated"]["exitCode"] == 137
    assert state("init", 0).to_json()["state"]["terminated"]["reason"] == "Completed"


def test_roles():
    assert role_of({"restartPolicy": "Always"}, True) is Role.SIDECAR
    assert role_of({}, True) is Role.INIT
    assert role_of({}, False) is Role.APP
