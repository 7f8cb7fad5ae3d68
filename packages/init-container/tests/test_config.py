"""Arguments and variables: what is accepted, what is refused, and that the refusal names what was wrong."""

import pytest
from tulle_init_container.config import PortRange, parse_ports, parse_subnets
from tulle_init_container.errors import ConfigError
from tulle_init_container.main import parse


def test_the_injectors_arguments_are_understood():
    task = parse(["--outbound-port", "4140", "--inbound-port", "4143", "--proxy-uid", "4140",
                  "--skip-inbound-ports", "4191", "--skip-outbound-ports", "25,3306-3307",
                  "--skip-outbound-subnets", "10.0.0.0/8,fd00::/8", "--iptables-mode", "nft", "--no-verify"], {})
    assert (task.config.outbound_port, task.config.inbound_port, task.config.proxy_uid) == (4140, 4143, 4140)
    assert task.config.skip_inbound_ports == (PortRange(4191, 4191),)
    assert task.config.skip_outbound_ports == (PortRange(25, 25), PortRange(3306, 3307))
    assert [str(subnet) for subnet in task.config.skip_outbound_subnets] == ["10.0.0.0/8", "fd00::/8"]
    assert (task.mode, task.dry_run, task.remove, task.verify) == ("nft", False, False, False)


def test_flags_override_variables_and_variables_override_defaults():
    environment = {"TULLE_INBOUND_PORT": "5143", "TULLE_OUTBOUND_PORT": "5140"}
    config = parse(["--inbound-port", "6143"], environment).config
    assert (config.inbound_port, config.outbound_port, config.proxy_uid) == (6143, 5140, 4140)


@pytest.mark.parametrize(("text", "expected"), [
    ("", ()),
    (" , ", ()),
    ("80", ((80, 80),)),
    ("443, 80 ,80", ((80, 80), (443, 443))),
    ("10-20,15-30,31", ((10, 31),)),
    ("1-65535", ((1, 65535),)),
])
def test_ports(text, expected):
    assert parse_ports(text, "--x") == expected


@pytest.mark.parametrize("text", ["0", "65536", "-1", "80-", "-80", "20-10", "http", "1-2-3", "٣", "8 0"])
def test_ports_refused(text):
    with pytest.raises(ConfigError, match="--x: "):
        parse_ports(text, "--x")


def test_a_subnet_is_kept_once_and_an_address_is_a_subnet():
    assert [str(subnet) for subnet in parse_subnets("10.0.0.0/8,192.0.2.7,10.0.0.0/8,2001:db8::1", "--x")] == [
        "10.0.0.0/8", "192.0.2.7/32", "2001:db8::1/128"]


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "fd00::/129", "example.com", "10.0.0"])
def test_subnets_refused(text):
    with pytest.raises(ConfigError, match=r"--x: .* is not a subnet"):
        parse_subnets(text, "--x")


@pytest.mark.parametrize(("arguments", "environment", "named"), [
    (["--inbound-port", "http"], {}, "--inbound-port"),
    ([], {"TULLE_INBOUND_PORT": "http"}, "TULLE_INBOUND_PORT"),
    (["--inbound-port", "4140"], {}, "both 4140"),
    (["--proxy-uid", "root"], {}, "--proxy-uid"),
    (["--proxy-uid", "0"], {}, "would bypass the mesh"),
    (["--proxy-uid", "4294967295"], {}, "--proxy-uid"),
    (["--iptables-mode", "ebpf"], {}, "auto, nft or legacy"),
    (["--inbund-port", "4143"], {}, "--inbund-port"),
    (["--inbound"], {}, "--inbound"),
    (["--dry-run", "--remove"], {}, "exclude"),
])
def test_a_refusal_names_what_was_wrong(arguments, environment, named):
    with pytest.raises(ConfigError, match=named):
        parse(arguments, environment)
