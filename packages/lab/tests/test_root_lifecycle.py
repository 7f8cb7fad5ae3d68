"""The lab as a whole: it leaves the machine as it was, whether it is ended, killed, or started twice."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from lab_runner import Lab, container, deployment, manifest, pod, service

pytestmark = pytest.mark.root


@pytest.fixture
def outside():
    """A network namespace that stands for the machine's: nobody else touches it during the test."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up; echo up; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    holder.stdout.readline()
    yield ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
    holder.stdin.close()
    holder.wait()
    holder.stdout.close()


def snapshot(prefix):
    """Interfaces, addresses, routes, rules and names of namespaces of the machine; mounts that are the lab's."""
    commands = (
        "ip -o link",
        "ip -o addr",
        "ip route show table all",
        "ip -6 route show table all",
        "iptables-save",
        "ip6tables-save",
        "ip rule",
        "ip netns list",
    )
    texts = [
        subprocess.run([*prefix, *words.split()], capture_output=True, text=True, check=True).stdout
        for words in commands
    ]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    mounts = [line for line in mounts if "tulle" in line and "tulle-cluster" not in line]  # that: the kit of tests/e2e
    return [[line for line in text.splitlines() if not line.startswith("#")] for text in texts], mounts


def processes(lab):
    """Processes in the lab's PID namespace, and the namespaces of all kinds that they are in."""
    pids, namespaces = set(), set()
    own = os.readlink(f"/proc/{lab.pid}/ns/pid_for_children")
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{entry}/status").read_text()
                nested = next(line for line in status.splitlines() if line.startswith("NSpid")).split()
                if os.readlink(f"/proc/{entry}/ns/pid") == own or (len(nested) > 2 and _descends(entry, lab.pid)):
                    pids.add(int(entry))
                    for kind in os.listdir(f"/proc/{entry}/ns"):
                        namespaces.add(os.readlink(f"/proc/{entry}/ns/{kind}"))
    return pids, namespaces


def _descends(pid, ancestor):
    while int(pid) > 1:
        pid = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        if int(pid) == ancestor:
            return True
    return False


def lives(pid):
    """A zombie does not: it waits for the machine's own init to look at it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def still_there(namespaces):
    """Which of these namespaces some process of the machine is in."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                found |= {os.readlink(f"/proc/{entry}/ns/{kind}") for kind in os.listdir(f"/proc/{entry}/ns")}
    return found & namespaces


WORLD = manifest(deployment("web", "default", replicas=2), service("web", "default"))


def up(lab, tmp_path):
    (tmp_path / "web.json").write_text(WORLD)
    return lab.run("up", "--no-system", "-f", str(tmp_path / "web.json"))


def own_namespaces():
    return {os.readlink(f"/proc/self/ns/{kind}") for kind in os.listdir("/proc/self/ns")}


def test_up_and_down_leave_the_machine_as_it_was(state, outside, tmp_path):
    lab = Lab(state, outside)
    before = snapshot(outside)
    assert "deployment web is ready (2/2)" in up(lab, tmp_path)
    assert snapshot(outside) == before, "while it runs, too"
    pids, namespaces = processes(lab)
    assert len(pids) >= 2 + 2 * 2, "init, daemon, and a shim and a program for each pod"
    theirs = namespaces - own_namespaces()
    assert {name.split(":")[0] for name in theirs} >= {"net", "mnt", "pid", "uts", "ipc"}
    lab.run("down")
    assert snapshot(outside) == before
    assert not [pid for pid in pids if lives(pid)]
    assert still_there(theirs) == set()
    assert not state.exists()


@pytest.mark.parametrize("victim", ["init", "daemon"])
def test_a_killed_lab_leaves_nothing_and_up_works_again(state, outside, tmp_path, victim):
    lab = Lab(state, outside)
    before = snapshot(outside)
    up(lab, tmp_path)
    pids, namespaces = processes(lab)
    theirs = namespaces - own_namespaces()
    init = os.pidfd_open(lab.pid)
    target = lab.pid if victim == "init" else min(pid for pid in pids if pid != lab.pid and _parent(pid) == lab.pid)
    os.kill(target, signal.SIGKILL)
    _wait_gone(init)
    assert not [pid for pid in pids if lives(pid)]
    assert still_there(theirs) == set()
    assert snapshot(outside) == before
    assert "no lab is running" in lab.fails("get", "pods")
    text = up(lab, tmp_path)
    assert "cleared what a former lab had left" in text
    assert "deployment web is ready (2/2)" in text
    lab.run("down")
    assert not state.exists()


def _parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _wait_gone(pidfd):
    import select

    ready, _, _ = select.select([pidfd], [], [], 30)
    os.close(pidfd)
    assert ready, "it did not end"


def test_one_lab_for_each_state_folder(state):
    lab = Lab(state)
    lab.run("up", "--no-system")
    pid = lab.pid
    assert "running already" in lab.run("up", "--no-system")
    assert lab.pid == pid
    other = Lab(state.parent / "other")
    other.run("up", "--no-system")
    assert other.pid != pid
    other.run("down")
    assert lab.run("get", "ns", "default", "-o", "name") == "namespace/default\n"
    lab.run("down")


def test_down_twice_and_down_now(state, tmp_path):
    lab = Lab(state)
    assert "no lab was running" in lab.run("down")
    assert not state.exists()
    up(lab, tmp_path)
    lab.run("down", "--now")
    assert "no lab was running" in lab.run("down")


def test_a_stale_record_harms_nobody(state):
    """The pid in the record may belong to somebody else by now: only the lock counts."""
    state.mkdir(parents=True)
    bystander = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    (state / "lab.json").write_text(f'{{"pid": {bystander.pid}}}')
    assert "no lab was running; cleared" in Lab(state).run("down")
    assert bystander.poll() is None
    bystander.stdin.close()
    bystander.wait()


def test_a_bad_manifest_is_refused_before_anything_is_started(state, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(WORLD.replace('"image"', '"imagee"'))
    message = Lab(state).fails("up", "--no-system", "-f", str(path))
    assert "spec.template.spec.containers[0].imagee: unknown field; did you mean 'image'?" in message
    assert not state.exists()


def test_up_says_who_is_not_ready_and_why(state, tmp_path):
    lab = Lab(state)
    broken = pod("broken", "default", container(script="print('cannot open the books'); raise SystemExit(3)"))
    missing = pod("missing", "default", {"name": "app", "image": "tulle/no-such-program:1"})
    (tmp_path / "bad.json").write_text(manifest(broken, missing))
    message = lab.fails("up", "--no-system", "-f", str(tmp_path / "bad.json"), "--timeout", "2s")
    assert "not ready after 2 s" in message
    assert "| cannot open the books" in message
    assert "CrashLoopBackOff" in message
    assert "stands for the program 'tulle-no-such-program', and none of that name is installed" in message
    assert "ErrImagePull" in lab.run("get", "pods")
    lab.run("down")


def test_a_deep_state_folder(state):
    """Longer than a socket's name may be."""
    lab = Lab(state / ("d" * 100) / ("e" * 100))
    lab.run("up", "--no-system")
    assert lab.run("get", "ns", "-o", "name")
    lab.run("down")


def test_sigterm_to_the_lab_is_a_down(state, tmp_path):
    lab = Lab(state)
    up(lab, tmp_path)
    init = os.pidfd_open(lab.pid)
    os.kill(lab.pid, signal.SIGTERM)
    _wait_gone(init)
    assert "no lab is running" in lab.fails("get", "pods")
    lab.run("down")


def test_a_lab_without_its_state_folder_ends_itself(state, tmp_path):
    lab = Lab(state)
    up(lab, tmp_path)
    init = os.pidfd_open(lab.pid)
    shutil.rmtree(state)
    _wait_gone(init)
