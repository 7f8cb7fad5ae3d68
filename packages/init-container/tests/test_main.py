"""The program as a pod runs it: exit status, log lines, and what it does without rights, programs or IPv6."""

import json
import os
import subprocess
import sys

import pytest
from tulle_init_container import apply as apply_module
from tulle_init_container import backend
from tulle_init_container.family import IPV6
from tulle_init_container.main import main

INJECTED = ["--outbound-port", "4140", "--inbound-port", "4143", "--proxy-uid", "4140", "--skip-inbound-ports", "4191"]


def lines(capsys):
    """The log, after checking that each line has what every program of Tulle's writes."""
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert all({"time", "level", "message"} <= line.keys() for line in found)
    return found


def test_bad_arguments_exit_2_with_one_line(capsys):
    assert main(["--inbound-port", "http"]) == 2
    [line] = lines(capsys)
    assert "--inbound-port" in line["message"]
    assert line["next_step"]


@pytest.mark.root
@pytest.mark.parametrize("mode", ["auto", "nft", "legacy"])
def test_a_pod_is_set_up_verified_and_restored(world, mode, capsys):
    with world.pod:
        before = world.saved()
        assert main([*INJECTED, "--iptables-mode", mode]) == 0
        said = lines(capsys)
        assert main([*INJECTED, "--iptables-mode", mode]) == 0
        lines(capsys)
        assert main(["--remove"]) == 0
        assert world.saved() == before
        assert main(["--remove"]) == 0
    assert {line["mode"] for line in said if "mode" in line} == {"nft" if mode == "auto" else mode}
    verified = [line["message"].split(":")[0] for line in said if "verified" in line["message"]]
    assert verified == ["IPv4 outbound verified", "IPv4 inbound verified",
                        "IPv6 outbound verified", "IPv6 inbound verified"]
    assert "no rules" in lines(capsys)[-1]["message"]


@pytest.mark.root
def test_without_verification_a_running_proxy_is_no_hindrance(world, capsys):
    world.serve_all(IPV6)
    with world.pod:
        assert main(INJECTED) == 1
        assert "--no-verify" in lines(capsys)[-1]["next_step"]
        assert main([*INJECTED, "--no-verify"]) == 0


def run_with(world, capabilities):
    """Run the program with these capabilities and no others, in a process of its own."""
    done = subprocess.run(
        ["ip", "netns", "exec", world.pod.name, "setpriv", f"--bounding-set=-all,{capabilities}",
         sys.executable, "-m", "tulle_init_container", *INJECTED],
        capture_output=True, text=True, env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/bin"}, check=False)
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.root
def test_the_capabilities_that_the_injector_gives_are_enough(world):
    status, said = run_with(world, "+net_admin,+net_raw")
    assert status == 0
    messages = " ".join(line["message"] for line in said)
    assert messages.count("arrived at the proxy with its original destination") == 4
    assert messages.count("bypass of uid 4140: not tried: no CAP_SETUID") == 2


@pytest.mark.root
def test_no_net_admin(world):
    status, [line] = run_with(world, "+net_raw,+setuid")
    assert status == 1
    assert "CAP_NET_ADMIN" in line["message"]
    assert "capabilities" in line["next_step"]


@pytest.mark.root
def test_no_iptables(world, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(backend, "SYSTEM_FOLDERS", ())
    with world.pod:
        assert main(INJECTED) == 1
    [line] = lines(capsys)
    assert "no iptables-restore was found" in line["message"] or "iptables-restore" in line["message"]
    assert "apt-get install iptables" in line["next_step"]


@pytest.mark.root
@pytest.mark.parametrize(("addressed", "status"), [(False, 0), (True, 1)])
def test_ip6tables_missing_matters_only_to_a_pod_with_an_ipv6_address(world, capsys, monkeypatch, addressed, status):
    found = apply_module.find
    monkeypatch.setattr(apply_module, "find", lambda family: [] if family is IPV6 else found(family))
    if not addressed:
        world.pod.run("ip -6 addr del fd00:77::2/64 dev eth0")  # the link-local address stays
    with world.pod:
        assert main(INJECTED) == status
    said = lines(capsys)
    assert any("no IPv6 address" in line["message"] for line in said) is not addressed
    assert "TULLE_INBOUND" in world.pod.output("iptables-nft-save")


@pytest.mark.root
def test_a_kernel_without_ipv6(world, capsys):
    world.pod.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
    with world.pod:
        assert main(INJECTED) == 0
    assert "IPv6 outbound not verified: the pod has no IPv6 address" in [line["message"] for line in lines(capsys)]
