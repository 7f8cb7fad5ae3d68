"""Pods of a real lab: containers in order, users, files, tokens, probes, restarts, the end; and Jobs."""

import base64
import json
import os
import subprocess

import pytest
from lab_runner import config_map, container, deployment, namespace, pod
from tulle_lab.client import Client
from tulle_lab.state import StateFolder

pytestmark = pytest.mark.root


def ask(lab, name, space, path="/"):
    return lab.ask(f"http://localhost:8080{path}", source=name, namespace=space)


def file(lab, name, space, path):
    return ask(lab, name, space, f"/file?{path}")


def logs(lab, name, space, *more):
    return lab.run("logs", name, "-n", space, *more)


def say(text, *, then=""):
    return f"print({text!r}, flush=True); {then}"


# --- what a container sees ------------------------------------------------------------------------------------------


def test_environment(lab, space):
    env = [
        {"name": "PLAIN", "value": "1"},
        {"name": "POINTER", "value": "$(PLAIN)/$(POD)/$(NOBODY)"},
        {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "COLOUR"}}},
        *(
            {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
            for name, path in (
                ("POD", "metadata.name"),
                ("SPACE", "metadata.namespace"),
                ("UID", "metadata.uid"),
                ("IP", "status.podIP"),
                ("IPS", "status.podIPs"),
                ("NODE", "spec.nodeName"),
                ("ACCOUNT", "spec.serviceAccountName"),
                ("LABEL", "metadata.labels['app']"),
                ("NOTE", "metadata.annotations['note']"),
                ("HOST", "status.hostIP"),
            )
        ),
    ]
    app = container(env=env, envFrom=[{"prefix": "P_", "configMapRef": {"name": "settings"}}])
    lab.apply(config_map("settings", space, COLOUR="red"), pod("p", space, app, annotations={"note": "x y"}))
    found, stored = ask(lab, "p", space, "/env"), lab.get("pod", "p", space)
    both = [entry["ip"] for entry in stored["status"]["podIPs"]]
    expected = {
        "PLAIN": "1",
        "POINTER": "1/$(POD)/$(NOBODY)",
        "KEY": "red",
        "P_COLOUR": "red",
        "POD": "p",
        "SPACE": space,
        "UID": stored["metadata"]["uid"],
        "IP": both[0],
        "IPS": ",".join(both),
        "NODE": "node",
        "ACCOUNT": "default",
        "LABEL": "p",
        "NOTE": "x y",
        "HOST": "10.244.0.1",
        "HOSTNAME": "p",
    }
    assert {name: found.get(name) for name in expected} == expected
    assert not [name for name in found if name.startswith(("TULLE_LAB", "PYTEST", "XDG"))], "nothing of the machine's"


def test_files_users_and_privileges(lab, space):
    """As another user, below a home directory that others may not enter if there is one on the way to this Python."""
    user = {"runAsUser": 4140, "runAsGroup": 4141, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    mounts = [
        {"name": "scratch", "mountPath": "/some/where/new"},
        {"name": "settings", "mountPath": "/etc/app/settings"},
    ]
    volumes = [{"name": "scratch", "emptyDir": {}}, {"name": "settings", "configMap": {"name": "settings"}}]
    app = container(securityContext=user, volumeMounts=mounts)
    shared = {"securityContext": {"fsGroup": 4150, "supplementalGroups": [4151]}, "volumes": volumes}
    lab.apply(config_map("settings", space, colour="red"), pod("p", space, app, **shared))
    found = ask(lab, "p", space)
    assert (found["host"], found["uid"], found["gid"], sorted(found["groups"])) == ("p", 4140, 4141, [4150, 4151])
    assert file(lab, "p", space, "/etc/app/settings/colour") == "red"
    status = dict(
        line.split(":\t", 1) for line in file(lab, "p", space, "/proc/self/status").splitlines() if ":\t" in line
    )
    assert (int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"]) == (0, 0, "1")

    def can_write(path):
        done = lab.run_raw("exec", "p", "-n", space, "--", "sh", "-c", f"echo x > {path}/file && cat {path}/file")
        return done.stdout == "x\n"

    assert [can_write(path) for path in ("/some/where/new", "/tmp", "/dev/shm")] == [True] * 3
    assert [can_write(path) for path in ("/", "/usr", "/etc", "/run", "/etc/app/settings", "/proc/sys/net")] == [
        False
    ] * 6


def test_root_in_a_pod_is_not_the_machines_root(lab, space):
    lab.apply(pod("p", space))

    def sh(command):
        return lab.run_raw("exec", "p", "-n", space, "--", "sh", "-c", command)

    for command in (
        "echo x > /usr/tulle-was-here",
        "echo x > /etc/tulle-was-here",
        "echo b > /proc/sysrq-trigger",
        "ls /dev/vda",
        "mount -t tmpfs none /mnt",
        "ip link add x type veth",
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        f"ls {lab.state}/*",
    ):
        assert sh(command).returncode != 0, command
    assert sh("echo x > /tmp/here && cat /tmp/here").stdout == "x\n"
    assert sh("ls /proc | grep -c '^[0-9]'").stdout.strip() in ("4", "5"), "its own processes only"


def test_capabilities_are_what_was_asked_for(lab, space):
    app = container(securityContext={"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}})
    lab.apply(pod("p", space, app))
    lab.run("exec", "p", "-n", space, "--", "iptables", "-t", "nat", "-A", "OUTPUT", "-j", "RETURN")
    status = file(lab, "p", space, "/proc/self/status")
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff"))
    assert effective == 1 << 12 | 1 << 13


def test_a_config_map_volume_follows_its_config_map(lab, space):
    app = container(volumeMounts=[{"name": "v", "mountPath": "/v"}])
    lab.apply(config_map("c", space, a="1"), pod("p", space, app, volumes=[{"name": "v", "configMap": {"name": "c"}}]))
    assert file(lab, "p", space, "/v/a") == "1"
    lab.apply(config_map("c", space, a="2"))
    watch = 'until [ "$(cat /v/a)" = 2 ]; do :; done; echo seen'
    assert lab.run("exec", "p", "-n", space, "--", "timeout", "20", "sh", "-c", watch) == "seen\n"


def test_volumes_are_shared_by_containers_and_sub_paths_chosen(lab, space):
    writer = {
        "name": "writer",
        "command": ["sh", "-c", "mkdir /v/deep && echo hello > /v/deep/file"],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }
    app = container(volumeMounts=[{"name": "v", "mountPath": "/here", "subPath": "deep", "readOnly": True}])
    lab.apply(pod("p", space, app, initContainers=[writer], volumes=[{"name": "v", "emptyDir": {}}]))
    assert file(lab, "p", space, "/here/file") == "hello\n"
    assert lab.run_raw("exec", "p", "-n", space, "--", "touch", "/here/x").returncode != 0


def test_a_host_path_that_is_not_there_is_named_and_waited_for(lab, space):
    shared = lab.state.parent / f"shared-{space}"
    app = container(volumeMounts=[{"name": "v", "mountPath": "/v", "readOnly": True}])
    volume = {"name": "v", "hostPath": {"path": str(shared), "type": "Directory"}}
    lab.apply(pod("p", space, app, volumes=[volume]), wait=False)
    while f"hostPath {shared} is not there as a Directory" not in lab.run("get", "events", "-n", space):
        pass
    shared.mkdir()
    (shared / "file").write_text("from the machine")
    lab.wait("condition=Ready", "pod/p", space)
    assert file(lab, "p", space, "/v/file") == "from the machine"
    assert lab.run_raw("exec", "p", "-n", space, "--", "touch", "/v/x").returncode != 0


def test_tokens(lab, space):
    sources = [{"serviceAccountToken": {"audience": "tulle.dev", "expirationSeconds": 600, "path": "token"}}]
    app = container(volumeMounts=[{"name": "t", "mountPath": "/var/run/secrets/tulle"}])
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "shopper", "namespace": space}}
    volumes = [{"name": "t", "projected": {"sources": sources}}]
    lab.apply(account, pod("p", space, app, serviceAccountName="shopper", volumes=volumes))

    def claims(path):
        body = file(lab, "p", space, path).split(".")[1]
        return json.loads(base64.urlsafe_b64decode(body + "=="))

    own = claims("/var/run/secrets/tulle/token")
    assert own["aud"] == ["tulle.dev"]
    assert own["sub"] == f"system:serviceaccount:{space}:shopper"
    assert own["exp"] - own["iat"] == 600
    assert own["kubernetes.io"]["pod"]["name"] == "p"
    default = claims("/var/run/secrets/kubernetes.io/serviceaccount/token")
    assert default["aud"] == ["https://kubernetes.default.svc.cluster.local"]
    assert file(lab, "p", space, "/var/run/secrets/kubernetes.io/serviceaccount/namespace") == space


def test_a_missing_config_map_is_named_and_waited_for(lab, space):
    app = container(envFrom=[{"configMapRef": {"name": "later"}}])
    lab.apply(pod("p", space, app), wait=False)
    events = ""
    while "ConfigMap later, which does not exist" not in events:
        events = lab.run("get", "events", "-n", space)
    lab.apply(config_map("later", space, LATE="yes"))
    lab.wait("condition=Ready", "pod/p", space)
    assert ask(lab, "p", space, "/env")["LATE"] == "yes"


# --- order, probes, restarts ------------------------------------------------------------------------------------------


def test_init_containers_then_a_sidecar_then_the_app(lab, space):
    """Each looks whether its predecessor has been there; the sidecar is started only once its probe says so."""
    note = [{"name": "v", "mountPath": "/v"}]

    def script(name, needs):
        return (
            f"import os; missing = [n for n in {needs!r} if not os.path.exists('/v/' + n)]; print(missing); "
            f"open('/v/{name}', 'w').close(); raise SystemExit(bool(missing))"
        )

    slow = (
        "import time, os, signal; open('/v/sidecar', 'w').close(); time.sleep(0.5); open('/v/started', 'w').close(); "
        "signal.pause()"
    )
    first = container("first", script=script("first", []), volumeMounts=note)
    second = container("second", script=script("second", ["first"]), volumeMounts=note)
    sidecar = {
        **container("sidecar", script=slow, volumeMounts=note),
        "restartPolicy": "Always",
        "startupProbe": {"exec": {"command": ["test", "-e", "/v/started"]}, "periodSeconds": 1, "failureThreshold": 30},
    }
    third = container("third", script=script("third", ["first", "second", "sidecar", "started"]), volumeMounts=note)
    app = container(volumeMounts=note)
    lab.apply(
        pod("p", space, app, initContainers=[first, second, sidecar, third], volumes=[{"name": "v", "emptyDir": {}}])
    )
    status = lab.get("pod", "p", space)["status"]
    assert [c["restartCount"] for c in status["initContainerStatuses"]] == [0, 0, 0, 0]
    assert lab.run("get", "pod", "p", "-n", space, "--no-headers").split()[1:3] == ["2/2", "Running"]
    assert logs(lab, "p", space, "-c", "third") == "[]\n"


def test_an_init_container_that_fails_is_tried_again_and_the_app_waits(lab, space):
    flaky = (
        "import os; again = os.path.exists('/v/was'); open('/v/was', 'w').close(); print(again);"
        "raise SystemExit(0 if again else 1)"
    )
    mounts = [{"name": "v", "mountPath": "/v"}]
    init = container("init", script=flaky, volumeMounts=mounts)
    lab.apply(
        pod("p", space, container(volumeMounts=mounts), initContainers=[init], volumes=[{"name": "v", "emptyDir": {}}])
    )
    status = lab.get("pod", "p", space)["status"]
    assert status["initContainerStatuses"][0]["restartCount"] == 1
    assert status["containerStatuses"][0]["restartCount"] == 0
    assert logs(lab, "p", space, "-c", "init") == "True\n"
    assert logs(lab, "p", space, "-c", "init", "--previous") == "False\n"


def restarted(lab, name, space):
    """The app container's status once it has been restarted and is ready again."""
    status = {"restartCount": 0}
    while not status["restartCount"]:
        [status] = lab.get("pod", name, space)["status"]["containerStatuses"]
    lab.wait("condition=Ready", f"pod/{name}", space)
    return status


def test_a_container_that_ends_is_started_again(lab, space):
    lab.apply(deployment("web", space))
    name = lab.pods(space)[0]["metadata"]["name"]
    lab.curl("http://localhost:8080/exit?7", source=name, namespace=space, code=None)  # it may take our curl along
    status = restarted(lab, name, space)
    assert status["lastState"]["terminated"]["exitCode"] == 7
    assert ask(lab, name, space)["host"] == name


# --- renew: begun anew in place ------------------------------------------------------------------------------------


def renew(lab, space, *names):
    """As the lessons' engine asks it."""
    asked = {"targets": [[space, name] for name in names]}
    return Client(StateFolder(lab.state)).ask("renew", asked)["renewed"]


def numbered(space, *, then):
    """A Deployment whose program (of an image that loads plugins) says how often it ran in this pod, beside an app."""
    count = "import os; n = len(os.listdir('/v')); open(f'/v/{n}', 'w').close(); print('run', n, flush=True)"
    mounts = [{"name": "v", "mountPath": "/v"}]
    probe = {"exec": {"command": ["test", "-e", "/v/0"]}, "periodSeconds": 1}
    one = {
        "name": "tulle-proxy", "image": "tulle/proxy:1", "command": ["python3", "-u", "-c", f"{count}\n{then}"],
        "volumeMounts": mounts, "readinessProbe": probe,
    }  # fmt: skip
    return deployment("web", space, container(), one, volumes=[{"name": "v", "emptyDir": {}}])


def test_renew_begins_what_loads_plugins_anew_and_nothing_else(lab, space):
    lab.apply(numbered(space, then="import signal; signal.pause()"), deployment("other", space))
    [before] = lab.pods(space, app="web")
    app = before["status"]["containerStatuses"][0]["containerID"]
    for number in (1, 2, 3):
        assert renew(lab, space, "web", "other") == [1, 0]
        lab.run("wait", "deploy/web", "--for=condition=Available", "-n", space, "--timeout", "60s")
        [pod] = lab.pods(space, app="web")
        assert pod["metadata"]["uid"] == before["metadata"]["uid"]
        assert pod["status"]["podIP"] == before["status"]["podIP"]
        statuses = {one["name"]: one for one in pod["status"]["containerStatuses"]}
        assert statuses["app"]["containerID"] == app
        assert statuses["tulle-proxy"]["restartCount"] == 0
        assert logs(lab, pod["metadata"]["name"], space, "-c", "tulle-proxy") == f"run {number}\n"


def test_renew_waits_for_no_back_off(lab, space):
    """A program that ends at once would be waited for longer each time; who has mended it shall not have to."""
    lab.apply(numbered(space, then="if n < 2: raise SystemExit(3)\nimport signal; signal.pause()"), wait=False)
    status = {"restartCount": 0}
    while not status["restartCount"] or "waiting" not in status["state"]:
        statuses = [one for pod in lab.pods(space) for one in pod.get("status", {}).get("containerStatuses", ())]
        status = next((one for one in statuses if one["name"] == "tulle-proxy"), status)
    assert renew(lab, space, "web") == [1]
    lab.run("wait", "deploy/web", "--for=condition=Available", "-n", space, "--timeout", "60s")
    [pod] = lab.pods(space)
    assert [one["restartCount"] for one in pod["status"]["containerStatuses"]] == [0, 0]


def test_a_follower_of_a_log_goes_on_with_the_new_program(lab, space):
    lab.apply(numbered(space, then="import signal; signal.pause()"))
    command = lab.command("logs", "deploy/web", "-n", space, "-c", "tulle-proxy", "-f")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TULLE_LAB_STATE": str(lab.state)}
    ) as it:
        assert it.stdout.readline() == "run 0\n"
        renew(lab, space, "web")
        assert it.stdout.readline() == "run 1\n"
        it.terminate()


def test_a_liveness_probe_ends_a_container_that_is_ill(lab, space):
    probe = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1}
    app = {**container(), "livenessProbe": probe, "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}
    lab.apply(pod("p", space, app))
    lab.curl("http://localhost:8080/status?500", "-X", "POST", source="p", namespace=space)
    restarted(lab, "p", space)
    assert "Liveness probe failed: GET /health on port 8080: HTTP status 500" in lab.run("get", "events", "-n", space)
    assert "terminating" in logs(lab, "p", space, "--previous"), "it was asked to end first"


def test_an_exec_probe_runs_in_the_container(lab, space):
    app = {
        **container(),
        "readinessProbe": {"exec": {"command": ["sh", "-c", "test $HOSTNAME = p"]}, "periodSeconds": 1},
    }
    lab.apply(pod("p", space, app))


# --- the end -----------------------------------------------------------------------------------------------------


def test_the_end_app_first_then_sidecars_backwards(lab, space):
    """Each writes when it is asked to end; the log of the last one is read while the others have ended."""
    last = (
        "import signal, time, sys\ndef end(*_):\n open('/v/log', 'a').write(sys.argv[1] + ' '); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nopen('/v/' + sys.argv[1], 'w').close()\nwhile True: signal.pause()"
    )
    mounts = [{"name": "v", "mountPath": "/v"}]

    def one(name, **more):
        ready = {"exec": {"command": ["test", "-e", f"/v/{name}"]}, "periodSeconds": 1}
        return {
            "name": name,
            "command": ["python3", "-c", last, name],
            "volumeMounts": mounts,
            "startupProbe": ready,
            **more,
        }

    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo -n 'hook ' >> /v/log"]}}}
    keeper = (
        "import signal, os, time\ndef end(*_):\n print(open('/v/log').read(), flush=True); os._exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nopen('/v/keeper', 'w').close()\n"
        "print('up', flush=True)\nwhile True: signal.pause()"
    )
    outer = {**one("keeper", restartPolicy="Always"), "command": ["python3", "-c", keeper]}
    spec = {
        "initContainers": [outer, one("first", restartPolicy="Always"), one("second", restartPolicy="Always")],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "terminationGracePeriodSeconds": 20,
    }
    lab.apply(pod("p", space, one("app", lifecycle=hook), **spec))
    reader = lab.command("logs", "p", "-n", space, "-c", "keeper", "-f")
    environment = {**os.environ, "TULLE_LAB_STATE": str(lab.state)}
    with subprocess.Popen(reader, stdout=subprocess.PIPE, text=True, env=environment) as it:
        assert it.stdout.readline() == "up\n"
        lab.run("delete", "pod", "p", "-n", space)
        assert it.stdout.read() == "hook app second first \n"


def test_who_does_not_end_in_time_is_killed(lab, space):
    deaf = container(
        script="import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"
    )
    lab.apply(pod("p", space, deaf, terminationGracePeriodSeconds=1))
    lab.run("delete", "pod", "p", "-n", space, "--timeout", "15s")
    assert lab.pods(space) == []


def test_force_does_not_wait(lab, space):
    deaf = container(script="import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(99)")
    lab.apply(pod("p", space, deaf, terminationGracePeriodSeconds=3600))
    lab.run("delete", "pod", "p", "-n", space, "--force", "--timeout", "15s")


def test_a_container_takes_all_its_processes_along(lab, space):
    parent = "import os, time\nif os.fork() == 0:\n os.setsid(); time.sleep(3999)\ntime.sleep(3999)"
    lab.apply(pod("p", space, container(script=parent)))
    count = "ls /proc/[0-9]*/cmdline | xargs cat 2>/dev/null | tr '\\0' ' ' | grep -o 'sleep(3999)' | wc -l"
    before = int(lab.run("exec", "node", "--", "sh", "-c", count))
    lab.run("delete", "pod", "p", "-n", space)
    assert int(lab.run("exec", "node", "--", "sh", "-c", count)) < before


def job(name, space, script, **spec):
    template = {"spec": {"restartPolicy": "Never", "containers": [container(script=script)], **spec.pop("pod", {})}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": space},
        "spec": {"template": template, **spec},
    }


def test_a_job_ends_though_it_has_a_sidecar(lab, space):
    sidecar = {**container("sidecar", script="import signal; signal.pause()"), "restartPolicy": "Always"}
    lab.apply(job("once", space, say("done"), pod={"initContainers": [sidecar]}))
    [done] = lab.pods(space)
    assert (done["status"]["phase"], lab.get("job", "once", space)["status"]["succeeded"]) == ("Succeeded", 1)
    assert logs(lab, "job/once", space) == "done\n"
    assert lab.run("get", "jobs", "-n", space, "--no-headers").split()[1:3] == ["Complete", "1/1"]


def test_a_job_gives_up(lab, space):
    lab.apply(job("never", space, "raise SystemExit(3)", backoffLimit=1), wait=False)
    lab.wait("condition=Failed", "job/never", space)
    assert len(lab.pods(space)) == 2


def test_a_namespace_goes_with_everything_in_it(lab):
    lab.apply(namespace("short-lived"), deployment("web", "short-lived"), config_map("c", "short-lived"))
    lab.run("delete", "namespace", "short-lived")
    assert lab.pods("short-lived") == []
    assert "there is no Namespace short-lived" in lab.fails("get", "ns", "short-lived")
