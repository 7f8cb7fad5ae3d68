"""The lab of an ordinary user: in a user namespace with a uid range; and what is said when that cannot be.

The user exists only in a private mount namespace, where /etc/passwd, /etc/subuid and the like are the test's own.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lab_runner import SERVER, Lab, config_map, container, deployment, manifest, service
from tulle_lab.sandbox.rootfs import closed_directories

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("root")]

UID = 23456
ENTER = """
set -e
mount --make-rprivate /
for file in passwd group subuid subgid; do mount --bind {etc}/$file /etc/$file; done
{more}
exec setpriv --reuid {uid} --regid {uid} --clear-groups env HOME={home} "$@"
"""
OPEN = """
mkdir -p {scratch}/old
mount --bind {path} {scratch}/old
mount -t tmpfs -o mode=755 none {path}
for entry in $(ls -A {scratch}/old); do
    if [ -d {scratch}/old/$entry ]; then mkdir {path}/$entry; mount --bind {scratch}/old/$entry {path}/$entry; fi
done
umount {scratch}/old
"""


class User:
    """Runs commands as an ordinary user who has `ids` subordinate ids."""

    def __init__(self, folder, ids=65536, more=""):
        self.etc, self.home = folder / "etc", folder / "home"
        self.etc.mkdir()
        self.home.mkdir(mode=0o700)
        folder.chmod(0o755)
        os.chown(self.home, UID, UID)
        for name, line in (("passwd", f"labtest:x:{UID}:{UID}::{self.home}:/bin/sh"), ("group", f"labtest:x:{UID}:")):
            (self.etc / name).write_text(Path("/etc", name).read_text() + line + "\n")
        for name in ("subuid", "subgid"):
            (self.etc / name).write_text(f"labtest:200000:{ids}\n" if ids else "")
        opened = "".join(OPEN.format(path=path, scratch=folder) for path in closed_directories())
        script = ENTER.format(etc=self.etc, home=self.home, uid=UID, more=opened + more)
        self.prefix = ["unshare", "--mount", "sh", "-c", script, "enter"]
        self.lab = Lab(self.home / "state", self.prefix)

    def run(self, *command):
        return subprocess.run([*self.prefix, *command], capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path_factory):
    """Outside of pytest's own folders, which others may not enter."""
    import tempfile

    path = Path(tempfile.mkdtemp(prefix="lab-test-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_a_user_with_a_uid_range_runs_a_lab(folder):
    """From below a home that nobody else may enter (Debian's default), a pod runs as a third user."""
    user = User(folder)
    lab = user.lab
    mine = user.home / "server.py"
    mine.write_text(Path(SERVER).read_text())
    mine.chmod(0o644)
    app = {**container(securityContext={"runAsUser": 4140, "runAsGroup": 4140}), "args": ["-u", SERVER]}
    objects = manifest(
        config_map("c", "default", a="b"),
        service("web", "default", ipFamilyPolicy="RequireDualStack"),
        deployment("web", "default", app, replicas=2),
    )
    try:
        lab.run("up", "--no-system", "-f", "-", stdin=objects)
        assert json.loads((user.home / "state" / "lab.json").read_text())["pid"] > 1
        assert Path(f"/proc/{lab.pid}/uid_map").read_text().split() == ["0", str(UID), "1", "1", "200000", "65536"]
        v4, v6 = lab.get("service", "web")["spec"]["clusterIPs"]
        for url in ("http://web/", f"http://{v4}/", f"http://[{v6}]/"):
            assert lab.ask(url)["uid"] == 4140
            assert lab.ask(url, source="deploy/web")["uid"] == 4140
        lab.run("exec", "node", "--", "iptables-save")
        assert "hello on stdout" in lab.run("logs", "deploy/web")
        lab.run("rollout", "restart", "deploy/web")
        lab.run("rollout", "status", "deploy/web")
        outside = lab.run_raw("exec", "deploy/web", "--", "sh", "-c", f"echo x > {user.home}/x")
        assert outside.returncode != 0, "the user's files are shown read-only"
    finally:
        lab.run("down")
    assert sorted(path.name for path in user.home.iterdir()) == ["server.py"]


@pytest.mark.parametrize(
    ("ids", "more", "words", "mend"),
    [
        (0, "", "/etc/subuid gives labtest no range", "sudo usermod --add-subuids"),
        (1000, "", "/etc/subuid gives labtest only 1000 ids", "sudo usermod --add-subuids"),
        (
            65536,
            "mount --bind /dev/null $(command -v newuidmap)",
            "newuidmap and newgidmap are not",
            "apt-get install uidmap",
        ),
        (
            65536,
            "echo 0 > {etc}/max; mount --bind {etc}/max /proc/sys/user/max_user_namespaces",
            "forbids user namespaces to ordinary users (/proc/sys/user/max_user_namespaces is 0)",
            "sudo sysctl -w user.max_user_namespaces",
        ),
        (
            65536,
            "mount --bind /dev/null $(command -v iptables-restore)",
            "not installed: iptables-restore",
            "apt-get install iptables",
        ),
    ],
)
def test_what_is_missing_is_said_with_the_remedy(folder, ids, more, words, mend):
    user = User(folder, ids, more.format(etc=folder / "etc"))
    message = user.lab.fails("up", "--no-system")
    assert "the lab cannot run on this machine" in message
    assert words in message
    assert mend in message
    assert not (user.home / "state" / "lab.json").exists()


def test_a_user_without_a_name(folder):
    user = User(folder)
    (user.etc / "passwd").write_text(Path("/etc/passwd").read_text())
    assert f"user id {UID} has no name in /etc/passwd" in user.lab.fails("up", "--no-system")


def test_root_without_privileges(folder):
    """As in a container without --privileged."""
    lab = Lab(folder / "state", ["setpriv", "--bounding-set", "-sys_admin,-net_admin"])
    message = lab.fails("up", "--no-system")
    assert "root here lacks CAP_SYS_ADMIN, CAP_NET_ADMIN" in message
    assert sys.executable
