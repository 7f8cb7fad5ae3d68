"""The trial that the program makes of its own work: it passes when redirection works, and only then."""

import socket
from dataclasses import replace

import pytest
from tulle_init_container import verify
from tulle_init_container.apply import apply
from tulle_init_container.config import Config, parse_ports, parse_subnets
from tulle_init_container.errors import NotRedirected, PortBusy
from tulle_init_container.family import FAMILIES, IPV4, IPV6
from tulle_init_container.rules import chains
from tulle_init_container.wire import FAR, NEAR

pytestmark = pytest.mark.root
CONFIG = Config(skip_inbound_ports=parse_ports("4191", ""))
both_families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def silent(level, message, **fields):
    pass


def set_up(world, family, config=CONFIG, drop=None):
    """Apply the rules, but for the one named `drop`."""
    return apply([replace(chain, rules=tuple(rule for rule in chain.rules if rule.name != drop))
                  for chain in chains(config, family)], family, "auto", silent)


@both_families
def test_it_passes_where_redirection_works_and_leaves_nothing(world, family):
    with world.pod:
        backend = set_up(world, family)
        for _ in range(3):
            verdict = verify.outbound(CONFIG, family)
            assert verdict.verified
            assert family.documentation[0] in verdict.detail
            assert "bypass of uid 4140: tried" in verdict.detail
            verdict = verify.inbound(CONFIG, backend)
            assert verdict.verified
            assert "arrived at the proxy with its original destination" in verdict.detail
        assert "tulle" not in world.pod.output("ip", "link")
        assert world.pod.output("ss", "-Htan") == ""


@both_families
def test_it_fails_without_the_redirect(world, family, monkeypatch):
    monkeypatch.setattr(verify, "DEADLINE_SECONDS", 0.2)
    with world.pod:
        backend = set_up(world, family, drop="redirect")
        with pytest.raises(NotRedirected, match="did not arrive"):
            verify.outbound(CONFIG, family)
        with pytest.raises(NotRedirected, match="TULLE_INBOUND"):
            verify.inbound(CONFIG, backend)


@both_families
def test_it_fails_when_the_proxy_would_talk_to_itself(world, family):
    with world.pod:
        set_up(world, family, drop="proxy")
        with pytest.raises(NotRedirected, match="own uid 4140 came back"):
            verify.outbound(CONFIG, family)


@both_families
def test_it_fails_when_the_original_destination_is_lost(world, family, monkeypatch):
    monkeypatch.setattr(verify, "original_destination", lambda connection, family: ("192.0.2.99", 1))
    with world.pod:
        set_up(world, family)
        with pytest.raises(NotRedirected, match=r"going to 192\.0\.2\.99 port 1"):
            verify.outbound(CONFIG, family)


@both_families
def test_a_probe_that_is_not_captured_dies_at_the_pods_door(world, family, monkeypatch):
    monkeypatch.setattr(verify, "DEADLINE_SECONDS", 0.2)
    with world.outside:
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    with sniffer, world.pod:
        sniffer.settimeout(10)
        sniffer.bind(("eth0", {IPV4: 0x0800, IPV6: 0x86DD}[family]))
        set_up(world, family, drop="redirect")
        with pytest.raises(NotRedirected):
            verify.outbound(CONFIG, family)
        protocol, time_to_live = {IPV4: (9, 8), IPV6: (6, 7)}[family]
        packet = sniffer.recv(2000)
        while packet[protocol] != socket.IPPROTO_TCP:
            packet = sniffer.recv(2000)
        assert packet[time_to_live] == 1


class Unread:
    """verify without its reading back, so that only the connection that it makes can tell."""

    def __init__(self, monkeypatch):
        monkeypatch.setattr(verify, "_read_back", lambda config, backend: None)


@both_families
def test_a_connection_from_the_network_that_is_not_captured_is_noticed(world, family, monkeypatch):
    Unread(monkeypatch)
    with world.pod:
        backend = set_up(world, family, drop="redirect")
        with pytest.raises(NotRedirected, match=r"inbound port 4143 \(refused\)"):
            verify.inbound(CONFIG, backend)
        assert "tulle" not in world.pod.output("ip", "link")


@both_families
def test_a_connection_from_the_network_that_is_lost_is_noticed(world, family, monkeypatch):
    Unread(monkeypatch)
    monkeypatch.setattr(verify, "DEADLINE_SECONDS", 0.2)
    with world.pod:
        backend = set_up(world, family)
        world.pod.run(f"{family.program} -A INPUT -p tcp --dport 4143 -j DROP")
        with pytest.raises(NotRedirected, match="silence"):
            verify.inbound(CONFIG, backend)


@both_families
def test_an_inbound_original_destination_that_is_lost_is_noticed(world, family, monkeypatch):
    monkeypatch.setattr(verify, "original_destination", lambda connection, family: ("192.0.2.99", 1))
    with world.pod:
        with pytest.raises(NotRedirected, match=r"going to 192\.0\.2\.99 port 1"):
            verify.inbound(CONFIG, set_up(world, family))


@both_families
def test_a_wire_that_a_killed_trial_left_is_no_hindrance(world, family):
    world.pod.run(f"ip link add {NEAR} type veth peer name {FAR}")
    with world.pod:
        assert "arrived at the proxy" in verify.inbound(CONFIG, set_up(world, family)).detail


@both_families
def test_without_a_wire_reading_the_rules_back_must_do(world, family, monkeypatch):
    def refuse(family):
        raise OSError(95, "no veth here")
    monkeypatch.setattr(verify, "wire", refuse)
    with world.pod:
        backend = set_up(world, family)
        assert verify.inbound(CONFIG, backend) == (
            True, "the kernel holds the rules (no connection was tried: no veth here)")
        world.pod.run(f"{family.program} -t nat -F TULLE_INBOUND")
        with pytest.raises(NotRedirected, match="shows 0 rules"):
            verify.inbound(CONFIG, backend)


@both_families
@pytest.mark.parametrize("strict", [0, 1])
def test_reverse_path_filtering_does_not_matter(world, family, strict):
    world.pod.run(f"sysctl -qw net.ipv4.conf.all.rp_filter={strict} net.ipv4.conf.default.rp_filter={strict}")
    with world.pod:
        assert "arrived at the proxy" in verify.inbound(CONFIG, set_up(world, family)).detail


@both_families
def test_it_fails_when_another_rule_comes_before_ours(world, family):
    with world.pod:
        backend = set_up(world, family)
        world.pod.run(f"{family.program} -t nat -I PREROUTING -p tcp -j RETURN")
        with pytest.raises(NotRedirected, match="first rule"):
            verify.inbound(CONFIG, backend)


@both_families
def test_a_pod_without_a_default_route_is_tried_in_the_subnet_that_it_has(make_world, family):
    world = make_world(default_route=False)
    with world.pod:
        set_up(world, family)
        verdict = verify.outbound(CONFIG, family)
    assert verdict.verified
    assert {IPV4: "10.77.0.", IPV6: "fd00:77:"}[family] in verdict.detail


@both_families
def test_what_is_skipped_is_not_dialled(world, family):
    config = Config(skip_outbound_ports=parse_ports("1-99", ""),
                    skip_outbound_subnets=parse_subnets(",".join(family.documentation[:1]), ""))
    with world.pod:
        set_up(world, family, config)
        verdict = verify.outbound(config, family)
    assert verdict.detail.startswith(f"{family.documentation[1]} port 100 arrived")


@pytest.mark.parametrize("config", [
    Config(skip_outbound_ports=parse_ports("1-65535", "")),
    Config(skip_outbound_subnets=parse_subnets("0.0.0.0/0,::/0", "")),
], ids=["ports", "subnets"])
@both_families
def test_where_nothing_is_captured_there_is_nothing_to_try(world, family, config):
    with world.pod:
        set_up(world, family, config)
        assert not verify.outbound(config, family).verified


@both_families
def test_a_pod_without_addresses_has_nothing_to_try(world, family):
    world.pod.run("ip link del eth0")
    with world.pod:
        set_up(world, family)
        verdict = verify.outbound(CONFIG, family)
    assert verdict == (False, f"the pod has no {family.name} address")


@both_families
def test_a_running_proxy_is_in_the_way(world, family):
    world.serve_all(family)
    with world.pod:
        set_up(world, family)
        with pytest.raises(PortBusy, match="4140"):
            verify.outbound(CONFIG, family)
