"""Addresses, links, ClusterIP rules (golden), and DNS answers."""

import os
from pathlib import Path

import lab_samples as samples
import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given
from hypothesis import strategies as st
from tulle_lab.cluster.endpoints import slices
from tulle_lab.cluster.own_objects import own_objects
from tulle_lab.errors import LabError
from tulle_lab.kinds.defaults import with_defaults
from tulle_lab.kinds.manifests import validate
from tulle_lab.network import addresses, links, names, service_rules

GOLDEN = Path(__file__).parent / "golden"

# --- addresses and links ------------------------------------------------------------------------------------


def test_addresses_come_in_pairs_and_return_as_late_as_possible():
    pool = addresses.pod_pool()
    first, second = pool.take(), pool.take()
    assert (first, second) == (("10.244.0.2", "fd00:10:244::2"), ("10.244.0.3", "fd00:10:244::3"))
    pool.release(first[1])
    assert pool.take() == ("10.244.0.4", "fd00:10:244::4")
    assert pool.pair_of("10.244.0.4") == ("10.244.0.4", "fd00:10:244::4")


def test_a_pool_wraps_around_and_then_is_empty():
    pool = addresses.Pool(addresses.POD_RANGES, 65_530)
    taken = [pool.take() for _ in range(4)]
    assert taken[-1][0] == "10.244.255.253"
    with pytest.raises(LabError, match="no address is left"):
        pool.take()
    pool.release(taken[1][0])
    assert pool.take() == taken[1]


def test_reserving():
    pool = addresses.service_pool()
    pool.reserve("10.96.0.10")
    for address, words in (("10.96.0.10", "in use"), ("fd00:10:96::a", "in use"), ("192.0.2.1", "outside")):
        with pytest.raises(LabError, match=words):
            pool.reserve(address)
    assert addresses.in_service_range("fd00:10:96::64")
    assert not addresses.in_service_range("10.244.0.2")


def test_links():
    assert len(links.link_name("123e4567-e89b-12d3")) <= 15
    pair = ("10.244.0.5", "fd00:10:244::5")
    lines = [
        *links.node_batch(True),
        "",
        *links.pod_node_batch("veth1", "/netns", pair, True),
        "",
        *links.pod_batch(pair, True),
    ]
    check_golden("links.txt", "\n".join(lines) + "\n")
    assert not [line for line in links.pod_batch(pair, False) + links.node_batch(False) if "fd00" in line]


def check_golden(name, text):
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"UPDATE_GOLDEN=1 rewrites {path}; then read the diff"


# --- rules --------------------------------------------------------------------------------------------------


def cluster():
    """web with two ports on two pods, empty with none, headless, and one that only terminates."""
    web = samples.service(
        "web",
        [
            {"name": "http", "port": 80, "targetPort": 8080},
            {"name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP"},
        ],
    )
    web["spec"] |= {"clusterIPs": ["10.96.0.101", "fd00:10:96::65"], "ipFamilies": ["IPv4", "IPv6"]}
    empty = samples.service("empty", clusterIPs=["10.96.0.102"], ipFamilies=["IPv4"])
    bare = samples.service(
        "bare", [{"name": "db", "port": 5432}], clusterIP="None", clusterIPs=["None"], ipFamilies=["IPv4"]
    )
    leaving = samples.service("leaving", clusterIPs=["10.96.0.104"], ipFamilies=["IPv4"])
    pods = [
        samples.ready_pod("a", "10.244.0.2,fd00:10:244::2", {"app": "web"}),
        samples.ready_pod("b", "10.244.0.3,fd00:10:244::3", {"app": "web"}),
        samples.ready_pod("c", "10.244.0.4,fd00:10:244::4", {"app": "web"}, ready=False),
        samples.ready_pod(
            "d", "10.244.0.5", {"app": "bare"}, spec={**samples.POD_SPEC, "hostname": "d0", "subdomain": "bare"}
        ),
        samples.ready_pod("e", "10.244.0.6", {"app": "bare"}),
        samples.ready_pod("f", "10.244.0.7", {"app": "leaving"}, deletionTimestamp="1970-01-01T00:00:00Z"),
    ]
    services = [with_defaults(service) for service in (web, empty, bare, leaving)]
    return services, [piece for service in services for piece in slices(service, pods)]


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_rules(family):
    check_golden(
        f"services.{family.lower()}.rules",
        service_rules.render(service_rules.service_ports(*cluster(), family), family),
    )


def test_rules_do_not_depend_on_the_order_of_endpoints():
    services, pieces = cluster()
    for piece in pieces:
        piece["endpoints"].reverse()
    assert service_rules.service_ports(services, pieces, "IPv4") == service_rules.service_ports(*cluster(), "IPv4")


def test_each_of_n_endpoints_has_the_same_chance():
    port = service_rules.ServicePort("a", "b", "", "TCP", "10.96.0.1", 80, tuple((f"10.0.0.{n}", 1) for n in range(5)))
    text = service_rules.render([port], "IPv4")
    chances = [
        float(line.split("--probability ")[1].split()[0]) for line in text.splitlines() if "--probability" in line
    ]
    left, shares = 1.0, []
    for chance in [*chances, 1.0]:
        shares.append(left * chance)
        left *= 1 - chance
    assert shares == pytest.approx([0.2] * 5, abs=1e-9)


def test_no_rule_names_a_chain_that_is_not_declared():
    for family in ("IPv4", "IPv6"):
        for table in service_rules.render(service_rules.service_ports(*cluster(), family), family).split("COMMIT"):
            lines = table.splitlines()
            declared = {line[1:].split()[0] for line in lines if line.startswith(":")}
            targets = {line.split(" -j ")[1].split()[0] for line in lines if " -j " in line}
            assert targets - declared <= {"MARK", "RETURN", "MASQUERADE", "DNAT", "REJECT"}


# --- names --------------------------------------------------------------------------------------------------

ZONE = names.zone(*cluster())


def ask(name, kind="A", *, udp=True, edns=0, zone=ZONE):
    query = DNSRecord(DNSHeader(id=7, rd=1), q=DNSQuestion(name, getattr(QTYPE, kind)))
    if edns:
        query.add_ar(EDNS0(udp_len=edns))
    data = names.answer(bytes(query.pack()), zone, udp=udp)
    reply = DNSRecord.parse(data)
    assert reply.header.id == 7
    assert reply.header.qr == 1
    return reply


def answers(reply):
    return sorted(str(record.rdata) for record in reply.rr)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.default.svc.cluster.local", "A", ["10.96.0.101"]),
        ("web.default.svc.cluster.local.", "AAAA", ["fd00:10:96::65"]),
        ("WEB.Default.SVC.cluster.LOCAL", "A", ["10.96.0.101"]),
        ("empty.default.svc.cluster.local", "A", ["10.96.0.102"]),
        ("empty.default.svc.cluster.local", "AAAA", []),
        ("bare.default.svc.cluster.local", "A", ["10.244.0.5", "10.244.0.6"]),
        ("d0.bare.default.svc.cluster.local", "A", ["10.244.0.5"]),
        ("10-244-0-6.bare.default.svc.cluster.local", "A", ["10.244.0.6"]),
        ("_http._tcp.web.default.svc.cluster.local", "SRV", ["0 100 80 web.default.svc.cluster.local."]),
        ("_dns._udp.web.default.svc.cluster.local", "SRV", ["0 100 53 web.default.svc.cluster.local."]),
        (
            "_db._tcp.bare.default.svc.cluster.local",
            "SRV",
            ["0 100 5432 10-244-0-6.bare.default.svc.cluster.local.", "0 100 5432 d0.bare.default.svc.cluster.local."],
        ),
        ("101.0.96.10.in-addr.arpa", "PTR", ["web.default.svc.cluster.local."]),
        ("5.0.244.10.in-addr.arpa", "PTR", ["d0.bare.default.svc.cluster.local."]),
        # names that exist because longer ones do
        ("default.svc.cluster.local", "A", []),
        ("svc.cluster.local", "A", []),
        ("_tcp.web.default.svc.cluster.local", "A", []),
    ],
)
def test_names_that_exist(name, kind, expected):
    reply = ask(name, kind)
    assert reply.header.rcode == RCODE.NOERROR
    assert answers(reply) == expected
    assert reply.header.aa == 1
    assert {record.ttl for record in reply.rr} <= {names.TTL}


@pytest.mark.parametrize(
    "name",
    [
        "none.default.svc.cluster.local",
        "web.other.svc.cluster.local",
        "example.com",
        "web",
        "com",
        "10-244-0-4.web.default.svc.cluster.local",
    ],
)
def test_everything_else_does_not_exist_and_says_so(name):
    reply = ask(name)
    assert reply.header.rcode == RCODE.NXDOMAIN
    assert answers(reply) == []
    assert reply.auth[0].rtype == QTYPE.SOA, "so that clients may remember it (RFC 2308)"


def test_service_records_bring_the_addresses_along():
    reply = ask("_http._tcp.web.default.svc.cluster.local", "SRV")
    assert sorted(str(record.rdata) for record in reply.ar) == ["10.96.0.101", "fd00:10:96::65"]


def test_not_ready_pods_have_no_name_unless_published():
    spec = {"clusterIP": "None", "clusterIPs": ["None"], "ipFamilies": ["IPv4"]}
    for published, expected in ((False, []), (True, ["10.0.0.1"])):
        service = with_defaults(samples.service("db", publishNotReadyAddresses=published, **spec))
        pieces = slices(service, [samples.ready_pod("a", "10.0.0.1", {"app": "db"}, ready=False)])
        assert answers(ask("db.default.svc.cluster.local", zone=names.zone([service], pieces))) == expected


def test_a_long_answer_is_cut_for_udp_and_whole_over_tcp():
    service = with_defaults(samples.service("db", clusterIP="None", clusterIPs=["None"]))
    pods = [samples.ready_pod(f"p{n}", f"10.244.1.{n}", {"app": "db"}) for n in range(1, 61)]
    zone = names.zone([service], slices(service, pods))
    name = "db.default.svc.cluster.local"
    short = ask(name, zone=zone)
    assert short.header.tc == 1
    assert short.rr == []
    assert len(ask(name, udp=False, zone=zone).rr) == 60
    assert len(ask(name, edns=1232, zone=zone).rr) == 60
    assert ask(name, edns=600, zone=zone).header.tc == 1


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\0" * 12, b"\xff" * 40, bytes(range(64)), b"\0\1\1\0\0\1\0\0\0\0\0\0\x3f"]
)
def test_what_is_no_query_gets_no_answer(data):
    assert names.answer(data, ZONE, udp=True) is None


def test_a_reply_is_not_answered():
    reply = DNSRecord(DNSHeader(id=1, qr=1), q=DNSQuestion("web.default.svc.cluster.local"))
    assert names.answer(bytes(reply.pack()), ZONE, udp=True) is None


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_make_the_name_server_fail(data, udp):
    names.answer(data, ZONE, udp=udp)


QUERY = bytes(DNSRecord(DNSHeader(id=7), q=DNSQuestion("_http._tcp.web.default.svc.cluster.local", QTYPE.SRV)).pack())


@given(st.lists(st.tuples(st.integers(0, len(QUERY) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(QUERY)))
def test_no_damaged_query_makes_it_fail_either(changes, length):
    data = bytearray(QUERY)
    for position, value in changes:
        data[position] = value
    reply = names.answer(bytes(data[:length]), ZONE, udp=True)
    if reply is not None:
        assert reply[:2] == data[:2], "the answer is to that query"


@pytest.mark.parametrize("ipv6", [True, False])
def test_the_clusters_own_objects_are_valid_and_its_name_server_has_a_name(ipv6):
    objects = own_objects(ipv6)
    assert [validate(obj) for obj in objects] == [[]] * len(objects)
    service = next(obj for obj in objects if obj["kind"] == "Service")
    pieces = [obj for obj in objects if obj["kind"] == "EndpointSlice"]
    assert len(pieces) == 1 + ipv6
    ports = service_rules.service_ports([service], pieces, "IPv4")
    assert {(port.vip, port.protocol, port.endpoints) for port in ports} == {
        ("10.96.0.10", "UDP", (("10.244.0.1", 53),)),
        ("10.96.0.10", "TCP", (("10.244.0.1", 53),)),
    }
