"""Configuration: variables, flags over variables, and each bad value refused by name."""

from datetime import timedelta
from pathlib import Path

import pytest
from tulle_admission_controller.config import SETTINGS, ConfigError, flag, load
from tulle_admission_controller.settings import InjectSettings


def test_defaults_are_those_of_the_injection():
    config = load([], {})
    assert config.inject == InjectSettings()
    assert (config.webhook_port, config.health_port) == (8443, 8444)
    assert config.names == (
        "tulle-admission-controller.tulle-system.svc",
        "tulle-admission-controller.tulle-system.svc.cluster.local",
    )
    assert config.ca_bundle_file is None


def test_flags_go_before_variables():
    environment = {"TULLE_WEBHOOK_PORT": "1", "TULLE_HEALTH_PORT": "2"}
    config = load(["--webhook-port", "3"], environment)
    assert (config.webhook_port, config.health_port) == (3, 2)


def test_values_are_read():
    config = load(
        [],
        {
            "TULLE_WEBHOOK_NAMES": "localhost, 127.0.0.1,::1,*.example.org",
            "TULLE_CA_BUNDLE_FILE": "/run/ca.pem",
            "TULLE_WEBHOOK_CERT_SECONDS": "3600",
            "TULLE_OPAQUE_PORTS": "25, 3306",
            "TULLE_SIDECAR_MODE": "classic",
            "TULLE_PROXY_CPU_REQUEST": "",
            "TULLE_PROXY_MEMORY_LIMIT": "256Mi",
            "TULLE_SKIP_OUTBOUND_SUBNETS": "10.0.0.0/8, fd00::/8",
            "TULLE_NAMESPACE": "mesh",
            "TULLE_EXCLUDED_NAMESPACES": "a, b",
            "TULLE_CONTROL_PLANE_PORT": "tcp://10.0.0.1:8086",  # Kubernetes' own, for the Service: not ours to read
        },
    )
    assert config.names[-4:] == ("localhost", "127.0.0.1", "::1", "*.example.org")
    assert config.names[0] == "tulle-admission-controller.mesh.svc"
    assert config.ca_bundle_file == Path("/run/ca.pem")
    assert config.lifetimes.leaf == timedelta(hours=1)
    inject = config.inject
    assert (inject.opaque_ports, inject.mode, inject.cpu_request, inject.memory_limit) == (
        "25,3306", "classic", "", "256Mi",
    )  # fmt: skip
    assert inject.skip_outbound_subnets == "10.0.0.0/8,fd00::/8"
    assert (inject.own_namespace, inject.excluded_namespaces) == ("mesh", ("a", "b"))


BAD = {
    "TULLE_WEBHOOK_PORT": "99999", "TULLE_HEALTH_PORT": "http", "TULLE_WEBHOOK_NAMES": "a b",
    "TULLE_WEBHOOK_CA_SECONDS": "1", "TULLE_WEBHOOK_CERT_SECONDS": "-5", "TULLE_WEBHOOK_SETTLE_SECONDS": "soon",
    "TULLE_LOG_LEVEL": "loud", "TULLE_DRAIN_DELAY_SECONDS": "nan", "TULLE_DRAIN_SECONDS": "1h",
    "TULLE_INIT_IMAGE": "a b", "TULLE_PROXY_IMAGE": "", "TULLE_IMAGE_PULL_POLICY": "always",
    "TULLE_SIDECAR_MODE": "modern", "TULLE_CONTROL_PLANE": "", "TULLE_PROXY_LOG_LEVEL": "INFO",
    "TULLE_PROXY_DRAIN_SECONDS": "1.5", "TULLE_OPAQUE_PORTS": "70000", "TULLE_SKIP_INBOUND_PORTS": "x",
    "TULLE_SKIP_OUTBOUND_PORTS": "9-1", "TULLE_SKIP_OUTBOUND_SUBNETS": "10.0.0.1/8", "TULLE_IPTABLES_MODE": "bpf",
    "TULLE_PROXY_CPU_REQUEST": "lots", "TULLE_PROXY_CPU_LIMIT": "0", "TULLE_PROXY_MEMORY_REQUEST": "64m",
    "TULLE_PROXY_MEMORY_LIMIT": "1", "TULLE_NAMESPACE": "", "TULLE_WEBHOOK_CONFIGURATION": "a/b",
    "TULLE_WATCH_NAMESPACES": "yes",
}  # fmt: skip


@pytest.mark.parametrize("variable", BAD)
def test_a_bad_value_is_refused_by_its_name(variable):
    with pytest.raises(ConfigError) as refused:
        load([], {variable: BAD[variable]})
    assert str(refused.value).startswith(f"{variable} (")
    with pytest.raises(ConfigError) as refused:
        load([f"{flag(variable)}={BAD[variable]}"], {})
    assert str(refused.value).startswith(f"{flag(variable)} (")


def test_every_setting_that_can_be_bad_is_in_the_table():
    anything_goes = {
        "TULLE_WEBHOOK_HOST", "TULLE_CA_BUNDLE_FILE", "TULLE_NAMESPACES_FILE", "TULLE_EXPORTERS",
        "TULLE_EXCLUDED_NAMESPACES",
    }  # fmt: skip
    assert {row[0] for row in SETTINGS} == set(BAD) | anything_goes


def test_unknown_flags_are_refused():
    with pytest.raises(ConfigError, match=r"--webhook-prot.*--help"):
        load(["--webhook-prot", "1"], {})


def test_help_names_every_variable(capsys):
    with pytest.raises(SystemExit) as ended:
        load(["--help"], {})
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(row[0] in text for row in SETTINGS)
