"""Workloads of every kind, injected: Jobs and CronJobs end, probes reach the app, StatefulSets' pods have their names,
and a native sidecar is there before and after everything else in its pod.

All are applied at once, so that they start while others are looked at.
"""

import pytest

from tests.e2e.meshed import container, load, proxied

ASK = "import urllib.request; print(urllib.request.urlopen('http://app-b/').status)"
"""Asks app-b, by the mesh; prints 200."""
LONGEST = "--timeout=600s"

# On SIGTERM it asks app-b once more: that works only while its proxy is still there. PID 1 ignores what it does not
# handle, hence the handler.
LAST_WORDS = f"""
import signal, sys
def over(*_):
    {ASK}
    print("said goodbye", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, over)
print("running", flush=True)
while True: signal.pause()
"""


def named(kind, name, spec, api="apps/v1"):
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "demo"}, "spec": spec}


def template(name, *containers, **spec):
    return {"metadata": {"labels": {"app": name}}, "spec": {"containers": list(containers), **spec}}


def job(name):
    return {"backoffLimit": 0, "template": template(name, container("ask", ASK), restartPolicy="Never")}


PORT = [{"name": "http", "containerPort": 8080}]
DB = container("app", ports=PORT, env=[
    {"name": "APP_NAME", "value": "db"},
    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
])  # fmt: skip
# each kind of probe that kubelet sends itself; and one that it runs in the container
PROBED = container(
    "app", ports=PORT,
    startupProbe={"tcpSocket": {"port": "http"}, "periodSeconds": 1, "failureThreshold": 120},
    readinessProbe={"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 10},
    livenessProbe={"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 10},
)  # fmt: skip

OBJECTS = (
    named("Job", "ask", job("ask"), "batch/v1"),
    named("CronJob", "often", {"schedule": "* * * * *", "jobTemplate": {"spec": job("often")}}, "batch/v1"),
    named("Service", "db", {"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 8080}]}, "v1"),
    named("StatefulSet", "db", {
        "serviceName": "db", "replicas": 2, "selector": {"matchLabels": {"app": "db"}},
        "podManagementPolicy": "Parallel", "template": template("db", DB),
    }),
    named("Deployment", "probed", {"selector": {"matchLabels": {"app": "probed"}},
                                   "template": template("probed", PROBED)}),
    named("Deployment", "ordered", {"selector": {"matchLabels": {"app": "ordered"}}, "template": template(
        "ordered", container("app", LAST_WORDS), initContainers=[container("first", ASK)],
    )}),
)  # fmt: skip


@pytest.fixture(scope="module")
def workloads(demo):
    """All of them, applied; gone after."""
    demo.apply(*OBJECTS)
    yield demo
    for each in reversed(OBJECTS):
        demo.run("-n", "demo", "delete", each["kind"], each["metadata"]["name"], "--wait=false")


def pods(kubectl, *selector):
    return kubectl.get("-n", "demo", "pods", "-l", *selector)["items"]


def test_a_job_ends_though_it_has_a_proxy(workloads):
    workloads("-n", "demo", "wait", "--for=condition=Complete", "job/ask", LONGEST)
    assert workloads("-n", "demo", "logs", "job/ask", "-c", "ask") == "200\n"
    (made,) = pods(workloads, "job-name=ask")
    assert proxied(made)
    assert made["status"]["phase"] == "Succeeded"


def test_the_pods_of_a_stateful_set_are_called_by_their_names(workloads):
    workloads.rolled_out("demo", "statefulset/db")
    for name in ("db-0", "db-1"):
        url = f"http://{name}.db.demo.svc.cluster.local:8080/"
        workloads.until(lambda url=url: load(workloads, 1, 1, url)["statuses"] == {"200": 1}, f"{name} has a name")
        counts = load(workloads, 50, 2, url)
        assert counts["errors"] == {}
        assert counts["pods"] == {name: 50}


def test_a_native_sidecar_is_there_before_and_after_all_others(workloads):
    workloads.rolled_out("demo", "deploy/ordered")
    (made,) = pods(workloads, "app=ordered")
    name = made["metadata"]["name"]
    assert [each["name"] for each in made["spec"]["initContainers"]] == ["tulle-init", "tulle-proxy", "first"]
    state = {each["name"]: each["state"] for key in ("initContainerStatuses", "containerStatuses")
             for each in made["status"][key]}  # fmt: skip
    began = [
        state["tulle-init"]["terminated"]["startedAt"],
        state["tulle-proxy"]["running"]["startedAt"],
        state["first"]["terminated"]["startedAt"],
        state["app"]["running"]["startedAt"],
    ]
    assert began == sorted(began)
    assert workloads("-n", "demo", "logs", name, "-c", "first") == "200\n"  # the app's init container had the mesh

    following = workloads.start("-n", "demo", "logs", "-f", name, "-c", "app")
    assert following.stdout.readline() == "running\n"
    workloads("-n", "demo", "scale", "deploy/ordered", "--replicas=0")
    said, _ = following.communicate(timeout=600)
    assert said == "200\nsaid goodbye\n"  # the app asked when it was told to end: its proxy ends after it
    workloads("-n", "demo", "wait", "--for=delete", f"pod/{name}", LONGEST)


KNOB = """
import json, sys, urllib.request
said = urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8080/knobs", sys.argv[1].encode()))
print(json.dumps(json.load(said)))
"""


def test_kubelets_probes_ask_the_app_and_not_the_proxy(workloads):
    workloads.rolled_out("demo", "deploy/probed")

    def app():
        (made,) = pods(workloads, "app=probed")
        (status,) = made["status"]["containerStatuses"]
        return status

    def turn(knob):
        workloads.python("demo", "deploy/probed", "app", KNOB, knob)

    assert app()["ready"]
    restarts = app()["restartCount"]
    turn("ready=false")
    workloads.until(lambda: not app()["ready"], "an app that says so is not ready")
    turn("ready=true")
    workloads.until(lambda: app()["ready"], "and is ready again")
    assert app()["restartCount"] == restarts
    turn("healthy=false")
    workloads.until(lambda: app()["restartCount"] > restarts, "an app that is not well is restarted", times=2000)
    workloads.until(lambda: app()["ready"], "and comes back, behind the same proxy", times=2000)


def test_a_cron_jobs_job_ends(workloads):
    def completed():
        jobs = workloads.get("-n", "demo", "jobs")["items"]
        owned = [each for each in jobs if each["metadata"]["name"].startswith("often-")]
        return [each for each in owned if each["status"].get("succeeded")]

    ended = workloads.until(completed, "a minute begins, and its job ends", times=2000)
    name = ended[0]["metadata"]["name"]
    assert workloads("-n", "demo", "logs", f"job/{name}", "-c", "ask") == "200\n"
    assert proxied(pods(workloads, f"job-name={name}")[0])
