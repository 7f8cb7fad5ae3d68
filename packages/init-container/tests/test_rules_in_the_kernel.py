"""The rules as the kernel understands them: real namespaces, real connections, both families and back ends.

Each row of DEFENCES says what a rule is for. The same row is then tried with that one rule taken out, and must
come out otherwise: a rule that nothing depends on would be noticed here.
"""

import socket
from dataclasses import replace
from typing import NamedTuple

import pytest
from tulle_init_container.apply import apply, remove
from tulle_init_container.config import Config, parse_ports, parse_subnets
from tulle_init_container.errors import RulesRejected
from tulle_init_container.family import FAMILIES, IPV4
from tulle_init_container.rules import chains

pytestmark = pytest.mark.root
MODES = ("nft", "legacy")
CONFIG = Config(
    skip_inbound_ports=parse_ports("4191", ""),
    skip_outbound_ports=parse_ports("9001", ""),
    skip_outbound_subnets=parse_subnets("10.77.0.1,fd00:77::1", ""),  # the outside's own address
)
both_families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
both_modes = pytest.mark.parametrize("mode", MODES)


def silent(level, message, **fields):
    pass


class Defence(NamedTuple):
    chain: str
    rule: str
    dialler: str  # who dials: "app" or "proxy" inside the pod, "client" outside
    address: str  # of what: a name of World's, or "loopback"
    port: int
    answered: str


DEFENCES = (
    Defence("TULLE_OUTPUT", "redirect", "app", "service_address", 9000, "proxy outbound"),
    Defence("TULLE_OUTPUT", "proxy", "proxy", "service_address", 9000, "server"),
    Defence("TULLE_OUTPUT", "loopback", "app", "loopback", 8080, "app"),
    Defence("TULLE_OUTPUT", "loopback", "app", "pod_address", 8080, "app"),
    Defence("TULLE_OUTPUT", "skip-ports", "app", "service_address", 9001, "server"),
    Defence("TULLE_OUTPUT", "skip-subnet", "app", "outside_address", 9000, "server"),
    Defence("TULLE_INBOUND", "redirect", "client", "pod_address", 8080, "proxy inbound"),
    Defence("TULLE_INBOUND", "skip-ports", "client", "pod_address", 4191, "app"),
)


def without(config, family, defence):
    """The chains with one rule taken out."""
    return [replace(chain, rules=tuple(rule for rule in chain.rules if rule.name != defence.rule))
            if chain.name == defence.chain else chain for chain in chains(config, family)]


def try_defence(world, family, defence):
    namespace = world.outside if defence.dialler == "client" else world.pod
    address = family.loopback if defence.address == "loopback" else getattr(world, defence.address)[family]
    uid = {"app": 1000, "proxy": 4140, "client": 0}[defence.dialler]
    return (*world.reached(namespace, family, address, defence.port, uid), (address, defence.port))


def test_every_rule_has_a_defence():
    rules = {(chain.name, rule.name) for family in FAMILIES for chain in chains(CONFIG, family) for rule in chain.rules}
    assert rules == {(defence.chain, defence.rule) for defence in DEFENCES}


@both_modes
@both_families
def test_defences_hold_together(world, family, mode):
    world.serve_all(family)
    with world.pod:
        apply(chains(CONFIG, family), family, mode, silent)
    for defence in DEFENCES:
        answered, original, dialled = try_defence(world, family, defence)
        assert answered == defence.answered, defence
        assert original == dialled, defence


@both_families
@pytest.mark.parametrize("defence", DEFENCES, ids=lambda defence: f"{defence.chain}-{defence.rule}-{defence.address}")
def test_without_its_rule_a_defence_falls(world, family, defence):
    world.serve_all(family)
    with world.pod:
        apply(without(CONFIG, family, defence), family, "nft", silent)
    answered, _, _ = try_defence(world, family, defence)
    assert answered != defence.answered


@both_modes
def test_applied_twice_is_applied_once_and_removed_is_as_before(world, mode):
    for program in ("iptables", "ip6tables"):
        world.pod.run(f"{program}-{mode} -t nat -A OUTPUT -p tcp --dport 7 -j RETURN",
                      f"{program}-{mode} -t nat -N OTHERS", f"{program}-{mode} -t nat -A PREROUTING -j OTHERS")
    before = world.saved()
    with world.pod:
        for family in FAMILIES:
            apply(chains(CONFIG, family), family, mode, silent)
        once = world.saved()
        for family in FAMILIES:
            apply(chains(CONFIG, family), family, mode, silent)
        twice = world.saved()
        assert once != before
        assert twice == once
        assert [remove(family, silent) for family in FAMILIES] == [1, 1]
        assert world.saved() == before
        assert [remove(family, silent) for family in FAMILIES] == [0, 0]


@both_families
def test_our_jump_comes_before_the_rules_of_others(world, family):
    world.serve_all(family)
    world.pod.run(f"{family.program}-nft -t nat -A OUTPUT -p tcp --dport 9000 -j RETURN")
    with world.pod:
        apply(chains(CONFIG, family), family, "nft", silent)
        world.pod.run(f"{family.program}-nft -t nat -I OUTPUT -p tcp --dport 9000 -j RETURN")
        apply(chains(CONFIG, family), family, "nft", silent)
    assert world.reached(world.pod, family, world.service_address[family], 9000)[0] == "proxy outbound"


def test_a_change_of_back_end_leaves_nothing_in_the_other(world):
    said = []
    with world.pod:
        apply(chains(CONFIG, IPV4), IPV4, "legacy", silent)
        assert apply(chains(CONFIG, IPV4), IPV4, "auto", silent).mode == "legacy"  # ours are there
        apply(chains(CONFIG, IPV4), IPV4, "nft", lambda level, message, **fields: said.append((message, fields)))
    assert "TULLE" in world.pod.output("iptables-nft-save")
    assert "TULLE" not in world.pod.output("iptables-legacy-save")
    assert ("IPv4: removed older rules of ours from the other back end", {"mode": "legacy"}) in said


def test_rules_that_are_refused_change_nothing(world):
    first, second = chains(CONFIG, IPV4)
    broken = replace(second, rules=(replace(second.rules[0], match="-p tcp --no-such-option"),))
    with world.pod:
        before = world.saved()
        with pytest.raises(RulesRejected):
            apply([first, broken], IPV4, "nft", silent)
        assert world.saved() == before


@both_families
def test_udp_is_not_captured(world, family):
    with world.pod:
        apply(chains(Config(), family), family, "auto", silent)
        client = socket.socket(family.address_family, socket.SOCK_DGRAM)
    with world.outside:
        server = socket.socket(family.address_family, socket.SOCK_DGRAM)
    with client, server:
        server.settimeout(10)
        server.bind((world.service_address[family], 5353))
        client.sendto(b"a datagram", (world.service_address[family], 5353))
        assert server.recv(100) == b"a datagram"


@both_modes
def test_a_chain_of_an_older_version_goes_away(world, mode):
    world.pod.run(f"iptables-{mode} -t nat -N TULLE_OLD", f"iptables-{mode} -t nat -A TULLE_OLD -p tcp -j ACCEPT",
                  f"iptables-{mode} -t nat -A OUTPUT -p tcp -j TULLE_OLD")
    with world.pod:
        apply(chains(CONFIG, IPV4), IPV4, mode, silent)
    assert "TULLE_OLD" not in world.pod.output(f"iptables-{mode}-save")
    assert "TULLE_OUTPUT" in world.pod.output(f"iptables-{mode}-save")
