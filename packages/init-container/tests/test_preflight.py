"""The rehearsal: what it says where all is well, and where one thing is missing."""

import os
import subprocess

import pytest
from tulle_init_container import preflight


@pytest.mark.root
def test_a_machine_that_can(namespaces):
    before = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    checks = preflight.run()
    assert all(check.ok and not check.hint for check in checks)
    names = " | ".join(check.name for check in checks)
    for expected in ("iptables is installed (nft, legacy)", "ip6tables is installed", "namespaces can be made",
                     "IPv4 redirection works (", "IPv6 redirection works ("):
        assert expected in names
    after = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    assert ("TULLE" in after) == ("TULLE" in before)


def test_without_iptables(monkeypatch):
    monkeypatch.setattr(preflight, "find", lambda family: [])
    failed = [check for check in preflight.run() if not check.ok]
    assert [check.name for check in failed] == ["iptables is installed", "ip6tables is installed"]
    assert all("apt-get install iptables" in check.hint for check in failed)


def test_without_iproute(monkeypatch):
    monkeypatch.setattr(preflight, "find_program", lambda name: None)
    failed = [check for check in preflight.run() if not check.ok]
    assert "iproute2" in failed[-1].hint


@pytest.mark.parametrize(("uid", "expected"), [(1000, "/etc/subuid"), (0, "CAP_SYS_ADMIN")])
def test_namespaces_refused(monkeypatch, uid, expected):
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(preflight, "_execute", lambda command: subprocess.CompletedProcess(
        command, 1, "", "unshare: unshare failed: Operation not permitted"))
    [check] = preflight._rehearse()
    assert not check.ok
    assert expected in check.hint
    assert "Operation not permitted" in check.hint


@pytest.mark.parametrize(("stderr", "expected"), [
    ('{"level": "error", "message": "no owner match", "next_step": "load it"}', "no owner match: load it"),
    ("sh: something else\n[1]", "something else"),
    ("", "ended with status 1"),
])
def test_a_rehearsal_that_fails_says_why(monkeypatch, stderr, expected):
    monkeypatch.setattr(preflight, "_execute", lambda command: subprocess.CompletedProcess(
        command, int("sh" in command), "", stderr if "sh" in command else ""))
    made, *families = preflight._rehearse()
    assert made.ok
    assert len(families) == 2
    assert all(not check.ok and expected in check.hint for check in families)
