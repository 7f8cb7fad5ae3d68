"""A thousand pods of every shape through the real API server, by dry run: taken, and injected once.

The bar, 50 ms at p99, is for the webhook's own work (CPU time of its thread): it waits for nothing within a review, and
what other processes take of the machine meanwhile is not its doing. Both times are printed.
"""

import json
import random

from tests.e2e.meshed import documents

PODS = 1000
P99_MS = 50.0


def container(chance, name):
    made = {"name": name, "image": "x:1"}
    if chance.random() < 0.5:
        number = chance.randrange(1024, 4000)
        made["ports"] = [{"containerPort": number, "name": "http"}]
        probe = {"httpGet": {"path": "/", "port": chance.choice([number, "http"])}}
        made[chance.choice(["readinessProbe", "livenessProbe", "startupProbe"])] = probe
    if chance.random() < 0.3:
        made["securityContext"] = {"runAsUser": chance.choice([0, 1000, 65534]), "readOnlyRootFilesystem": True}
    if chance.random() < 0.3:
        made["resources"] = {"requests": {"cpu": "10m"}, "limits": {"memory": "64Mi"}}
    if chance.random() < 0.3:
        made["env"] = [{"name": "X", "value": 'quotes " and \\ and ünïcode'}]
    if chance.random() < 0.2:
        made["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return made


def pod(number):
    """A valid pod; equal numbers give equal pods."""
    chance = random.Random(number)
    metadata = {"name": f"p{number}", "namespace": "demo"}
    if chance.random() < 0.5:
        metadata["labels"] = {"app": "x", "a.example/b": "c"}
    if chance.random() < 0.5:
        metadata["annotations"] = {"example.org/note": "~/"} | (
            {"tulle.dev/opaque-ports": "25,4444-4450", "tulle.dev/proxy-log-level": "debug"}
            if chance.random() < 0.5
            else {}
        )
    spec = {"containers": [container(chance, f"c{index}") for index in range(chance.randrange(1, 5))]}
    if chance.random() < 0.4:
        spec["initContainers"] = [container(chance, f"i{index}") for index in range(chance.randrange(1, 3))]
        for each in spec["initContainers"]:
            for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
                each.pop(probe, None)  # an init container that ends has none
        if chance.random() < 0.3:
            spec["initContainers"][0]["restartPolicy"] = "Always"
    if chance.random() < 0.3:
        spec["securityContext"] = {"fsGroup": 2000, "runAsUser": 1001}
    if chance.random() < 0.3:
        spec["restartPolicy"] = chance.choice(["Never", "OnFailure", "Always"])
    if chance.random() < 0.2:
        spec["hostAliases"] = [{"ip": "127.0.0.1", "hostnames": ["x"]}]
    if chance.random() < 0.2:
        spec["automountServiceAccountToken"] = False
    spec["volumes"] = [{"name": "data", "emptyDir": {}}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def created(kubectl, pods):
    everything = {"apiVersion": "v1", "kind": "List", "items": pods}
    said = kubectl("create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-", given=everything)
    return documents(said)


def without_identity(made):
    """A pod that came back, as it could be sent again."""
    metadata = {name: made["metadata"][name] for name in ("name", "namespace", "labels", "annotations")
                if name in made["metadata"]}  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": made["spec"]}


def test_a_thousand_pods(demo):
    bare = [pod(number) for number in range(PODS)]
    made = created(demo, bare)
    assert len(made) == PODS
    for before, after in zip(bare, made, strict=True):
        names = [each["name"] for each in after["spec"]["initContainers"]]
        own = [each["name"] for each in before["spec"].get("initContainers", ())]
        assert names == ["tulle-init", "tulle-proxy", *own], after["metadata"]["name"]

    again = created(demo, [without_identity(each) for each in made[:100]])
    for once, twice in zip(made, again, strict=False):
        assert without_identity(twice) == without_identity(once)

    took = []
    for line in demo("-n", "tulle-system", "logs", "deploy/tulle-admission-controller").splitlines():
        entry = json.loads(line)
        if entry.get("endpoint") == "mutate" and str(entry.get("name", "")).startswith("p"):
            took.append((entry["cpu_milliseconds"], entry["milliseconds"]))
    assert len(took) >= PODS
    for number, what in enumerate(("its own work", "with what others took of the machine meanwhile")):
        times = sorted(each[number] for each in took)
        p50, p99, longest = times[len(times) // 2], times[len(times) * 99 // 100], times[-1]
        print(f"\nwebhook, {len(took)} pods, {what}: p50 {p50} ms, p99 {p99} ms, longest {longest} ms")
    assert sorted(each[0] for each in took)[len(took) * 99 // 100] <= P99_MS
