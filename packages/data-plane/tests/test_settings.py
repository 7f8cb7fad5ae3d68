"""Settings: what is right is read, what is wrong is named with its variable and what would be right, all at once."""

import pytest
from tulle_data_plane.settings import DEFAULT_OPAQUE_PORTS, BadSettings, PortSet, Settings, from_environment


def test_without_any_variable_the_defaults_hold():
    settings = from_environment({"PATH": "/bin", "OTHER_TULLE_POD_NAME": "x"})
    assert settings.outbound_port == 4140
    assert (settings.inbound_port, settings.admin_port) == (4143, 4191)
    assert settings.opaque_ports.text == DEFAULT_OPAQUE_PORTS
    assert settings.exporters == ("prometheus", "access-log")
    assert (settings.drain_seconds, settings.control_plane, settings.pod_namespace) == (120, "", "default")


def test_what_the_injector_gives():
    settings = from_environment({
        "TULLE_POD_NAME": "app-a-1", "TULLE_POD_NAMESPACE": "shop", "TULLE_POD_IP": "10.1.0.9",
        "TULLE_POD_IPS": "10.1.0.9, fd00::9", "TULLE_NODE_NAME": "n1", "TULLE_SERVICE_ACCOUNT": "a",
        "TULLE_WORKLOAD": "deployment/app-a", "TULLE_CONTROL_PLANE": "[fd00::1]:8086", "TULLE_OUTBOUND_PORT": "1",
        "TULLE_INBOUND_PORT": "2", "TULLE_ADMIN_PORT": "65535", "TULLE_OPAQUE_PORTS": "25, 4190-4191",
        "TULLE_EXPORTERS": "access-log", "TULLE_LOG_LEVEL": "debug", "TULLE_DRAIN_SECONDS": "1.5",
    })
    assert settings.pod_ips == ("10.1.0.9", "fd00::9")
    assert (settings.outbound_port, settings.inbound_port, settings.admin_port) == (1, 2, 65535)
    assert [port in settings.opaque_ports for port in (25, 26, 4189, 4190, 4191, 4192)] == [1, 0, 0, 1, 1, 0]
    assert settings.control_plane == "[fd00::1]:8086"
    assert (settings.exporters, settings.log_level, settings.drain_seconds) == (("access-log",), "debug", 1.5)
    assert settings.workload == "deployment/app-a"


def test_no_exporters_and_no_opaque_ports():
    settings = from_environment({"TULLE_EXPORTERS": "", "TULLE_OPAQUE_PORTS": ""})
    assert settings.exporters == ()
    assert 25 not in settings.opaque_ports


SECONDS = [f"TULLE_{name}_SECONDS" for name in (
    "DRAIN", "DETECT", "CONNECT_OUTBOUND", "CONNECT_INBOUND", "POOL_IDLE", "DISCOVERY", "DESTINATION_IDLE",
)]
SECONDS[2:4] = ["TULLE_CONNECT_SECONDS_OUTBOUND", "TULLE_CONNECT_SECONDS_INBOUND"]


@pytest.mark.parametrize("variable", SECONDS)
@pytest.mark.parametrize("value", ["", "0", "-1", "nan", "inf", "1e9", "soon"])
def test_bad_seconds(variable, value):
    with pytest.raises(BadSettings, match="expected a positive number of seconds") as raised:
        from_environment({variable: value})
    assert f"{variable}={value!r}: " in str(raised.value)


@pytest.mark.parametrize("variable", ["TULLE_OUTBOUND_PORT", "TULLE_INBOUND_PORT", "TULLE_ADMIN_PORT"])
@pytest.mark.parametrize("value", ["", "0", "65536", "-1", "http", "4140.0", "²", "٤"])
def test_bad_ports(variable, value):
    with pytest.raises(BadSettings, match="expected a port, 1 to 65535") as raised:
        from_environment({variable: value})
    assert f"{variable}={value!r}: " in str(raised.value)


@pytest.mark.parametrize("value", ["x", "25-", "-25", "30-20", "0", "65536", "1-70000", "25;26", "²"])
def test_bad_port_sets(value):
    with pytest.raises(BadSettings, match=r"TULLE_OPAQUE_PORTS=.*: .*(write 25 or 4190-4191|ports are 1 to 65535)"):
        from_environment({"TULLE_OPAQUE_PORTS": value})


@pytest.mark.parametrize("value", ["host", "host:", ":8086", "host:x", "host:0", "host:70000"])
def test_bad_control_planes(value):
    with pytest.raises(BadSettings, match=r"TULLE_CONTROL_PLANE=.*: expected host:port, such as "):
        from_environment({"TULLE_CONTROL_PLANE": value})


def test_bad_levels():
    with pytest.raises(BadSettings, match="TULLE_LOG_LEVEL='loud': expected debug, info, warning or error"):
        from_environment({"TULLE_LOG_LEVEL": "loud"})


def test_every_mistake_is_named_at_once():
    mistakes = {
        "TULLE_ADMIN_PORT": "x", "TULLE_DRAIN_SECONDS": "y", "TULLE_LOG_LEVEL": "z", "TULLE_CONTROL_PLANE": "here",
        "TULLE_OPAQUE_PORTS": "1-",
    }
    with pytest.raises(BadSettings) as raised:
        from_environment(mistakes)
    for variable in mistakes:
        assert variable in str(raised.value)


def test_ports_that_are_the_same_are_named():
    with pytest.raises(BadSettings, match="TULLE_OUTBOUND_PORT=4191 and TULLE_ADMIN_PORT=4191"):
        from_environment({"TULLE_OUTBOUND_PORT": "4191"})


def test_an_exporters_options_reach_it_under_its_name():
    options = from_environment({
        "TULLE_EXPORTER_ACCESS_LOG_FORMAT": "common", "TULLE_EXPORTER_OTLP_ENDPOINT": "http://x",
        "TULLE_EXPORTERS": "otlp",
    }).exporter_options
    assert options["access-log"] == {"format": "common"}
    assert options["otlp"] == {"endpoint": "http://x"}


def test_a_port_set_as_text():
    assert PortSet(" 1 , 3-4 ").text == " 1 , 3-4 "
    assert Settings().opaque_ports.text == DEFAULT_OPAQUE_PORTS
