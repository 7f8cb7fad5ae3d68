"""The commands against a real lab: what they print, how they exit, what they do when something is wrong."""

import json
import os
import pty
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from lab_runner import SERVER, config_map, container, deployment, manifest, pod, service
from tulle_lab.client import Client
from tulle_lab.state import StateFolder

pytestmark = pytest.mark.root


def test_apply_prints_a_line_an_object(lab, space):
    web = deployment("web", space)
    assert lab.run(
        "apply", "-f", "-", stdin=manifest(config_map("c", space), service("web", space), web)
    ).splitlines() == [
        "configmap/c created",
        "service/web created",
        "deployment.apps/web created",
    ]
    web["spec"]["replicas"] = 2
    assert lab.run("apply", "-f", "-", stdin=manifest(config_map("c", space), web)).splitlines() == [
        "configmap/c unchanged",
        "deployment.apps/web configured",
    ]


def test_a_bad_file_changes_nothing(lab, space):
    good, bad = config_map("good", space), deployment("bad", space)
    bad["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    message = lab.fails("apply", "-f", "-", stdin=manifest(good, bad, {"apiVersion": "v1", "kind": "Sevice"}))
    assert "error: refused, nothing was changed" in message
    assert "Deployment bad: spec.template.spec.containers[0].imagee: unknown field; did you mean 'image'?" in message
    assert "kind: unknown kind 'Sevice'; did you mean 'Service'?" in message
    assert lab.items("configmaps", space) == []


def test_folders_and_missing_files(lab, space, tmp_path):
    (tmp_path / "b.yaml").write_text(json.dumps(config_map("b", space)))
    (tmp_path / "a.yml").write_text(json.dumps(config_map("a", space)))
    (tmp_path / "notes.txt").write_text("not a manifest")
    assert lab.run("apply", "-f", str(tmp_path)) == "configmap/a created\nconfigmap/b created\n"
    assert lab.run("delete", "-f", str(tmp_path)) == 'configmap "b" deleted\nconfigmap "a" deleted\n'
    assert "cannot read" in lab.fails("apply", "-f", str(tmp_path / "none.yaml"))
    (tmp_path / "empty").mkdir()
    assert "has no .yaml" in lab.fails("apply", "-f", str(tmp_path / "empty"))
    assert lab.run_raw("apply").returncode == 2


def test_get(lab, space):
    lab.apply(deployment("web", space, replicas=2), service("web", space), pod("lone", space))
    lines = lab.run("get", "pods", "-n", space).splitlines()
    assert lines[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [line.split()[1:4] for line in lines[1:]] == [["1/1", "Running", "0"]] * 3
    assert "IP" in lab.run("get", "po", "-n", space, "-o", "wide").splitlines()[0]
    assert len(lab.run("get", "pods", "-n", space, "-l", "app=web", "-o", "name").splitlines()) == 2
    assert lab.run("get", "deploy/web", "-n", space, "--no-headers").split()[:4] == ["web", "2/2", "2", "2"]
    assert lab.get("service", "web", space)["kind"] == "Service"
    assert json.loads(lab.run("get", "svc", "-n", space, "-o", "json"))["kind"] == "List"
    import yaml

    assert yaml.safe_load(lab.run("get", "pod", "lone", "-n", space, "-o", "yaml"))["status"]["phase"] == "Running"
    everything = lab.run("get", "all", "-A")
    assert space in everything
    assert "kube-dns" in everything
    assert f"nothing found in namespace {space}" in lab.run_raw("get", "jobs", "-n", space).stderr
    assert "Started" in lab.run("get", "events", "-n", space)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("get", "pod", "none"), "there is no Pod none in namespace default\n  try: tulle lab get pods -n default"),
        (("get", "podz"), "the lab has no kind 'podz'; did you mean 'po"),
        (("get", "secrets"), "the lab has no kind 'secrets'"),
        (("get", "pods", "-l", "app"), "selector 'app' is not NAME=VALUE"),
        (("exec", "none", "--", "true"), "there is no pod none in namespace default"),
        (("exec", "deploy/none", "--", "true"), "there is no Deployment none"),
        (("logs", "none"), "there is no pod none"),
        (("scale", "svc/none", "--replicas", "1"), "svc/none is no Deployment"),
        (("scale", "none", "--replicas", "1"), "there is no Deployment none"),
        (("rollout", "status", "none"), "there is no Deployment none"),
        (("wait", "pod/none", "--for=condition=Ready"), "there is no Pod default/none"),
        (("wait", "pod/none", "--for=condition=Redy"), "condition 'Redy' is unknown; did you mean 'Ready'?"),
        (("wait", "pod/none", "--for=sunshine"), "--for=sunshine is unknown"),
        (("delete", "pod", "none"), "there is no Pod none"),
        (("delete", "ns", "kube-system"), "belongs to the lab and stays"),
    ],
)
def test_errors_say_what_and_what_next(lab, words, expected):
    message = lab.fails(*words)
    assert message.startswith("error: ")
    assert expected in message


def test_wrong_usage_is_exit_code_2(lab):
    assert "did you mean 'apply'" in lab.fails("aply", code=2)
    assert "is not a duration" in lab.fails("wait", "pod/a", "--for=delete", "--timeout", "soon", code=2)
    assert lab.run_raw("scale", "deploy/web", "--replicas", "-1").returncode == 2
    assert lab.run("delete", "pod", "none", "--ignore-not-found") == ""


def test_exec_passes_streams_and_exit_codes(lab, space):
    lab.apply(pod("p", space, container(), container("other", script="import time; time.sleep(999)")))
    words = ("exec", "p", "-n", space, "--")
    done = lab.run_raw(*words, "sh", "-c", "cat; echo problem >&2; exit 42", stdin="through the pipe")
    assert (done.returncode, done.stdout, done.stderr) == (42, "through the pipe", "problem\n")
    assert lab.run_raw(*words, "sh", "-c", "kill -9 $$").returncode == 137
    assert lab.run("exec", "p", "-n", space, "-c", "other", "--", "cat", "/proc/2/cmdline").count("sleep(999)") == 1
    assert "there is no program 'frobnicate'" in lab.fails(*words, "frobnicate", code=127)
    assert "may not execute '/etc/passwd'" in lab.fails(*words, "/etc/passwd", code=126)
    assert "has no container 'othr'; did you mean 'other'?" in lab.fails(
        "exec", "p", "-n", space, "-c", "othr", "--", "true"
    )
    big = "x" * 3_000_000
    assert lab.run(*words, "cat", stdin=big) == big


def test_processes_that_end_at_once_are_all_heard_of(lab, space):
    """Their end may be seen before their start: both are told, in that order, and the lab lives."""
    lab.apply(pod("p", space))
    client = Client(StateFolder(lab.state))
    null = os.open(os.devnull, os.O_RDWR)

    def one(number):
        request = {"target": "p", "namespace": space, "argv": ["sh", "-c", f"exit {number % 7}"]}
        with client.open("exec", request, fds=(null, null, null)) as call:
            assert list(call.items()) == []
            return call.result["code"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(200))) == [number % 7 for number in range(200)]
    os.close(null)


@pytest.mark.parametrize(
    "words", [b"", b"hello\n", b"[]\n", b"1\n", b'{"verb": "none"}\n', b'{"verb": "get"}\n', b"\xff\xfe\n"]
)
def test_whatever_is_said_to_the_socket_the_lab_lives(lab, words):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(lab.state / "lab.sock"))
        sock.sendall(words)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass
    assert lab.run("get", "ns", "default", "-o", "name") == "namespace/default\n"


def test_exec_on_the_node_is_outside_of_the_pods(lab, space):
    lab.apply(pod("p", space))
    text = lab.run("exec", "node", "--", "sh", "-c", "hostname; ip -o -4 addr; cat /etc/resolv.conf; ps ax")
    assert text.startswith("node\n")
    assert "10.244.0.1/32" in text
    assert "nameserver 10.96.0.10" in text
    assert SERVER in text, "it sees the pods' processes"
    identifier = lab.get("pod", "p", space)["status"]["containerStatuses"][0]["containerID"].removeprefix("tulle://")
    assert "10.244.0." in lab.run(
        "exec", "node", "--", "nsenter", "-t", identifier, "-n", "ip", "-o", "-4", "addr", "show", "eth0"
    )
    assert lab.run_raw("exec", "node", "--", "false").returncode == 1


def test_a_client_that_goes_away_takes_its_exec_along(lab, space):
    lab.apply(pod("p", space))
    command = lab.command("exec", "p", "-n", space, "--", "sh", "-c", "echo $$; sleep 3998; true")
    environment = {**os.environ, "TULLE_LAB_STATE": str(lab.state)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as client:
        pid = client.stdout.readline().strip()
        client.kill()
    while pid in lab.run("exec", "p", "-n", space, "--", "ls", "/proc").split():
        pass


def test_ctrl_c_reaches_the_program(lab, space):
    lab.apply(pod("p", space))
    script = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.05; done"
    environment = {**os.environ, "TULLE_LAB_STATE": str(lab.state)}
    command = lab.command("exec", "p", "-n", space, "--", "sh", "-c", script)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as client:
        assert client.stdout.readline() == "ready\n"
        client.send_signal(signal.SIGINT)
        assert client.stdout.read() == "caught\n"
    assert client.returncode == 3


def test_exec_with_a_terminal(lab, space):
    lab.apply(pod("p", space))
    near, far = pty.openpty()
    environment = {**os.environ, "TULLE_LAB_STATE": str(lab.state)}
    command = lab.command(
        "exec", "-it", "p", "-n", space, "--", "sh", "-c", "test -t 0 && echo tty; read line; echo got $line; exit 5"
    )
    client = subprocess.Popen(command, stdin=far, stdout=far, stderr=far, env=environment, start_new_session=True)
    os.close(far)
    text = b""
    while b"tty" not in text:
        text += os.read(near, 1024)
    os.write(near, b"hello\n")
    while b"got hello" not in text:
        text += os.read(near, 1024)
    assert client.wait(30) == 5
    os.close(near)


def test_logs(lab, space):
    lab.apply(
        pod(
            "p",
            space,
            container(),
            container("chatty", script="for i in range(1000): print(i)\nimport time; time.sleep(999)"),
        )
    )
    assert sorted(lab.run("logs", "p", "-n", space).splitlines()) == ["hello on stderr", "hello on stdout"]
    assert lab.run("logs", "p", "-n", space, "-c", "chatty").splitlines() == [str(i) for i in range(1000)]
    assert lab.run("logs", "p", "-n", space, "-c", "chatty", "--tail", "2") == "998\n999\n"
    assert lab.run("logs", "p", "-n", space, "-c", "chatty", "--tail", "0") == ""
    assert len(lab.run("logs", "p", "-n", space, "-c", "chatty", "--tail", "5000").splitlines()) == 1000
    assert "has no log: no former run" in lab.fails("logs", "p", "-n", space, "--previous")
    assert "has no container 'none'" in lab.fails("logs", "p", "-n", space, "-c", "none")


def test_a_log_that_grows_too_long_is_cut(lab, space):
    """Written in the log's place, so that the test needs no ten megabytes through a pipe."""
    lab.apply(
        pod("p", space, container(script="import sys\nfor line in sys.stdin: pass\nimport time; time.sleep(999)"))
    )
    path = lab.state / "logs" / space / "p" / "app" / "0.log"
    with path.open("ab") as file:
        file.write(b"old line\n" * 1_300_000)
    aside = path.with_name("0.log.1")
    while not aside.exists() or path.stat().st_size:
        pass
    assert aside.stat().st_size == 9 * 1_300_000
    with path.open("ab") as file:
        file.write(b"new line\n")
    assert lab.run("logs", "p", "-n", space) == "new line\n"


def test_scale_and_rollout(lab, space):
    lab.apply(deployment("web", space, replicas=2))
    assert lab.run("scale", "deploy/web", "--replicas=4", "-n", space) == "deployment.apps/web scaled\n"
    assert lab.run("rollout", "status", "deploy/web", "-n", space).endswith(
        'deployment "web" successfully rolled out\n'
    )
    before = {found["metadata"]["name"] for found in lab.pods(space)}
    assert len(before) == 4
    assert lab.run("rollout", "restart", "deploy/web", "-n", space) == "deployment.apps/web restarted\n"
    lab.run("rollout", "status", "deploy/web", "-n", space)
    after = {found["metadata"]["name"] for found in lab.pods(space) if not found["metadata"].get("deletionTimestamp")}
    assert len(after) == 4
    assert before & after == set()
    lab.run("scale", "deployment/web", "--replicas=0", "-n", space)
    lab.run("rollout", "status", "web", "-n", space)
    assert lab.run("wait", "deploy/web", "--for=condition=Available", "-n", space) == "deployment/web condition met\n"


def test_a_rollout_that_stands_still_says_why(lab, space):
    web = deployment("web", space)
    lab.apply(web)
    web["spec"]["progressDeadlineSeconds"] = 1
    web["spec"]["template"]["spec"]["containers"][0]["args"] = ["-c", "print('no such table'); raise SystemExit(1)"]
    lab.apply(web, wait=False)
    message = lab.fails("rollout", "status", "deploy/web", "-n", space, "--timeout", "20s")
    assert "exceeded its progress deadline" in message
    assert "| no such table" in message
    assert len([p for p in lab.pods(space) if p["status"]["conditions"][-1]["status"] == "True"]) == 1, (
        "the old one serves on"
    )


def test_colour_only_for_people(lab):
    """A pipe gets none; a terminal does, unless NO_COLOR is set."""
    near, far = pty.openpty()
    for no_colour, expected in (("", True), ("1", False)):
        environment = {**os.environ, "TULLE_LAB_STATE": str(lab.state), "NO_COLOR": no_colour}
        subprocess.run(lab.command("get", "ns"), stdout=far, env=environment, check=True)
        assert (b"\x1b[32m" in os.read(near, 4096)) is expected
    os.close(near)
    os.close(far)
    assert "\x1b" not in lab.run("get", "ns", NO_COLOR="")


def test_a_reader_that_has_seen_enough_is_no_error(lab):
    command = " ".join(lab.command("get", "pods", "-A", "-o", "json"))
    environment = {**os.environ, "TULLE_LAB_STATE": str(lab.state)}
    done = subprocess.run(
        ["sh", "-c", f"{command} | head -n 1"], capture_output=True, text=True, env=environment, check=True
    )
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_an_interrupted_wait_leaves_the_lab_alone(lab, space):
    lab.apply(pod("p", space))
    environment = {**os.environ, "TULLE_LAB_STATE": str(lab.state)}
    command = lab.command("logs", "p", "-n", space, "-f")
    pipe = subprocess.PIPE
    # as from a terminal: where tests run in the background, SIGINT is ignored, and that is inherited
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=environment, preexec_fn=heed
    ) as client:
        client.stdout.readline()
        client.send_signal(signal.SIGINT)
        assert "the lab goes on" in client.stderr.read()
    assert client.returncode == 130
    assert lab.get("pod", "p", space)["status"]["phase"] == "Running"
