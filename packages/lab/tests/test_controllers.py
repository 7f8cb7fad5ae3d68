"""Controllers over a store, with pods that an imagined kubelet makes ready; trio's clock jumps."""

import itertools

import lab_samples as samples
import trio
import trio.testing
from lab_cluster import Cluster, plain
from tulle_lab.cluster.controllers import Controllers
from tulle_lab.cluster.jobs import Step, next_step
from tulle_lab.cluster.objects import Key, is_terminating
from tulle_lab.errors import LabError

DEPLOYMENT = Key("Deployment", "default", "web")


def pods(cluster):
    return cluster.store.list("Pod")


async def kubelet(cluster, phase="Running"):
    """Makes new pods ready and removes those that are to go, for ever."""
    number = 1
    while True:
        version = cluster.store.version
        for pod in pods(cluster):
            key = Key("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
            if is_terminating(pod):
                cluster.store.delete(key)
            elif "conditions" not in pod["status"]:
                number += 1
                ready = samples.ready_pod("x", f"10.244.0.{number}")["status"]
                ready["phase"] = phase
                ready["conditions"][0]["lastTransitionTime"] = "1970-01-01T00:00:00Z"
                cluster.store.update(key, lambda obj, ready=ready: obj.update(status=ready))
        await cluster.store.wait_change(version)


def run(cluster, body, *helpers):
    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Controllers(cluster.api, print).run)
            for helper in helpers:
                nursery.start_soon(helper, cluster)
            await body()
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


settled = trio.testing.wait_all_tasks_blocked


def test_a_deployment_makes_pods_that_are_its_own():
    cluster = Cluster()

    async def body():
        await cluster.api.apply([samples.deployment(replicas=3)])
        await settled()
        assert len(pods(cluster)) == 3
        for pod in pods(cluster):
            metadata = pod["metadata"]
            assert metadata["name"].startswith(f"web-{metadata['labels']['pod-template-hash']}-")
            assert metadata["ownerReferences"][0]["name"] == "web"
            assert "annotations" not in metadata, "a template without any makes pods without any, as on Kubernetes"
        assert cluster.store.get(*DEPLOYMENT)["status"]["replicas"] == 3
        cluster.api.delete_pod(Key("Pod", "default", pods(cluster)[0]["metadata"]["name"]))
        await settled()
        assert len(pods(cluster)) == 4, "one that goes is replaced at once"

    run(cluster, body)


def test_a_rollout_ends_with_new_pods_only_and_a_true_status():
    cluster = Cluster()

    async def body():
        await cluster.api.apply([samples.deployment(replicas=4)])
        await settled()
        before = {pod["metadata"]["labels"]["pod-template-hash"] for pod in pods(cluster)}
        cluster.api.restart(DEPLOYMENT)
        await settled()
        after = {pod["metadata"]["labels"]["pod-template-hash"] for pod in pods(cluster)}
        assert len(pods(cluster)) == 4
        assert before & after == set()
        status = cluster.store.get(*DEPLOYMENT)["status"]
        assert (status["observedGeneration"], status["updatedReplicas"], status["availableReplicas"]) == (2, 4, 4)
        cluster.api.scale(DEPLOYMENT, 1)
        await settled()
        assert len(pods(cluster)) == 1

    run(cluster, body, kubelet)


def test_pods_that_cannot_be_made_are_tried_again_later_and_say_why():
    cluster = Cluster()
    calls = []

    async def create(pod, about):
        calls.append(trio.current_time())
        raise LabError("no such account")

    cluster.api.admission.create = create

    async def body():
        await cluster.api.apply([samples.deployment(replicas=1)])
        with trio.move_on_after(20):
            await trio.sleep_forever()
        gaps = [round(later - earlier) for earlier, later in itertools.pairwise(calls)]
        assert gaps == [1, 2, 4, 8]
        failure = [c for c in cluster.store.get(*DEPLOYMENT)["status"]["conditions"] if c["type"] == "ReplicaFailure"]
        assert failure[0]["message"] == "no such account"

    run(cluster, body)


def test_endpoint_slices_follow_and_go_with_their_service():
    cluster = Cluster()

    async def body():
        await cluster.api.apply([samples.deployment(replicas=2), samples.service()])
        await settled()
        [piece] = cluster.store.list("EndpointSlice")
        assert len([e for e in piece["endpoints"] if e["conditions"]["ready"]]) == 2
        cluster.api.delete(Key("Service", "default", "web"))
        await settled()
        assert cluster.store.list("EndpointSlice") == []

    run(cluster, body, kubelet)


def test_slices_that_somebody_else_wrote_stay():
    cluster = Cluster()

    async def body():
        await cluster.api.apply(
            [
                {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "addressType": "IPv4",
                    "endpoints": [],
                    "metadata": {
                        "name": "mine",
                        "namespace": "default",
                        "labels": {"kubernetes.io/service-name": "web"},
                    },
                }
            ]
        )
        await settled()
        assert [piece["metadata"]["name"] for piece in cluster.store.list("EndpointSlice")] == ["mine"]

    run(cluster, body)


def test_a_namespace_goes_when_its_last_pod_has_gone():
    cluster = Cluster()

    async def body():
        await cluster.api.apply([samples.namespace("shop"), plain(samples.pod(namespace="shop"))])
        cluster.api.delete(Key("Namespace", "", "shop"))
        await settled()
        assert cluster.store.get("Namespace", "", "shop")
        cluster.store.delete(Key("Pod", "shop", "p"))
        await settled()
        assert cluster.store.get("Namespace", "", "shop") is None

    run(cluster, body)


def test_a_controller_that_fails_is_run_again_and_the_others_go_on(capsys):
    cluster = Cluster()
    store_list, broken = cluster.store.list, [True]

    def list_(kind, namespace=None, selector=None):
        if kind == "Pod" and namespace == "shop" and broken[0]:
            raise RuntimeError("a bug")
        return store_list(kind, namespace, selector)

    cluster.store.list = list_

    async def body():
        await cluster.api.apply([samples.namespace("shop"), samples.deployment(namespace="shop"), samples.deployment()])
        await settled()
        assert {pod["metadata"]["namespace"] for pod in store_list("Pod")} == {"default"}
        broken[0] = False
        await trio.sleep(10)
        assert {pod["metadata"]["namespace"] for pod in store_list("Pod")} == {"default", "shop"}

    run(cluster, body)
    assert "a controller failed" in capsys.readouterr().out


def job(**spec):
    template = {"spec": {**samples.POD_SPEC, "restartPolicy": "Never"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": "default"},
        "spec": {"template": template, **spec},
    }


def test_job_steps():
    spec = {"completions": 3, "parallelism": 2, "backoffLimit": 1}
    assert next_step(spec, 0, 0, 0) == Step(2, "")
    assert next_step(spec, 2, 0, 0) == Step(0, "")
    assert next_step(spec, 0, 2, 1) == Step(1, "")
    assert next_step(spec, 1, 2, 1) == Step(0, "")
    assert next_step(spec, 0, 3, 1) == Step(0, "Complete")
    assert next_step(spec, 0, 2, 2) == Step(0, "Failed")


def test_a_job_ends_and_its_pods_stay_to_be_looked_at():
    cluster = Cluster()

    async def succeed(cluster):
        await kubelet(cluster, "Succeeded")

    async def body():
        await cluster.api.apply([job(completions=3, parallelism=2)])
        await settled()
        status = cluster.store.get("Job", "default", "once")["status"]
        assert (status["succeeded"], status["conditions"][0]["type"]) == (3, "Complete")
        assert len(pods(cluster)) == 3
        assert pods(cluster)[0]["metadata"]["labels"]["job-name"] == "once"
        cluster.store.put(samples.ready_pod("unrelated", "10.244.9.9"))
        await settled()
        assert len([pod for pod in pods(cluster) if pod["metadata"]["name"].startswith("once")]) == 3, (
            "it is not run again"
        )

    run(cluster, body, succeed)


def test_a_job_gives_up():
    cluster = Cluster()

    async def fail(cluster):
        await kubelet(cluster, "Failed")

    async def body():
        await cluster.api.apply([job(backoffLimit=2)])
        await settled()
        status = cluster.store.get("Job", "default", "once")["status"]
        assert (status["failed"], status["conditions"][0]["type"]) == (3, "Failed")

    run(cluster, body, fail)
