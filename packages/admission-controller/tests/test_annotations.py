"""Ports, quantities, and the table of annotations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_admission_controller import names
from tulle_admission_controller.annotations import (
    READERS,
    annotation_problems,
    annotation_warnings,
    read_options,
)
from tulle_admission_controller.containers import proxy_container
from tulle_admission_controller.limits import LIMITS, LimitsError, parse_limits, variables
from tulle_admission_controller.ports import PortsError, parse_ports, render_ports
from tulle_admission_controller.quantity import QuantityError, check_cpu, check_memory, parse_quantity
from tulle_admission_controller.settings import InjectSettings


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("25", "25"),
        ("25,587", "25,587"),
        (" 25 , 8000 - 8100 ", "25,8000-8100"),
        ("1-65535", "1-65535"),
        ("80-80", "80"),
        ("", ""),
        ("  ", ""),
        ("0080", "80"),
    ],
)
def test_ports(text, rendered):
    assert render_ports(parse_ports(text)) == rendered


@pytest.mark.parametrize(
    "text", ["0", "65536", "-1", "80-", "-", "90-80", "80,,90", ",", "http", "80;90", "8 0", "٨٠", "1e3", "80-90-100"]
)
def test_ports_that_are_none(text):
    with pytest.raises(PortsError):
        parse_ports(text)


ranges = st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(lambda pair: (min(pair), max(pair)))


@given(st.lists(ranges))
def test_ports_round_trip(wanted):
    assert parse_ports(render_ports(wanted)) == wanted


@given(st.text())
def test_any_text_is_ports_or_an_error_that_says_what_would_be_right(text):
    error = None
    try:
        parse_ports(text)
    except PortsError as raised:
        error = raised
    assert error is None or "8000-8100" in str(error)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("0.5", 0.5), (".5", 0.5), ("5.", 5), ("100m", 0.1), ("1k", 1000), ("1Ki", 1024),
        ("64Mi", 64 * 1024**2),
        ("1.5Gi", 1.5 * 1024**3), ("1e3", 1000), ("1E3", 1000), ("1E", 1e18), ("1Ei", 1024.0**6), ("5e-1", 0.5),
        ("7n", 7e-9), ("7u", 7e-6),
    ],
)  # fmt: skip
def test_quantities(text, value):
    assert parse_quantity(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["", "one", "-1", "+1", "1 Mi", "1mi", "1KI", "1e", "0x10", "1_000", "NaN", "٣", "1" * 40]
)
def test_quantities_that_are_none(text):
    with pytest.raises(QuantityError):
        parse_quantity(text)


def test_quantities_that_make_no_sense():
    with pytest.raises(QuantityError, match="64Mi"):
        check_memory("64m")
    with pytest.raises(QuantityError, match="smallest"):
        check_cpu("100n")
    with pytest.raises(QuantityError, match="100m"):
        check_cpu("100M")
    with pytest.raises(QuantityError, match="smallest"):
        check_cpu("0")


@pytest.mark.parametrize("name", READERS)
def test_every_annotation_refuses_nonsense_by_its_name(name):
    [problem] = annotation_problems({name: "\x00 nonsense;"})
    assert problem.startswith(f"annotation {name}: ")


def test_requests_above_limits():
    annotations = {names.CPU_REQUEST: "2", names.CPU_LIMIT: "1500m"}
    [problem] = annotation_problems(annotations)
    assert names.CPU_REQUEST in problem
    assert names.CPU_LIMIT in problem
    assert annotation_problems({**annotations, names.CPU_REQUEST: "1500m"}) == []


def test_what_is_not_annotated_comes_from_the_settings():
    options = read_options({}, InjectSettings(skip_outbound_ports="53", log_level="error"))
    assert (options.skip_outbound_ports, options.log_level) == ("53", "error")
    assert options.opaque_ports == "25,587,3306,4444,5432,6379,9300,11211"
    assert options.resources == {"requests": {"cpu": "20m", "memory": "48Mi"}}


def test_empty_ports_mean_none():
    options = read_options({names.OPAQUE_PORTS: ""}, InjectSettings())
    assert options.opaque_ports == ""


@pytest.mark.parametrize(
    ("annotations", "settings", "resources"),
    [
        ({names.CPU_LIMIT: "10m"}, {}, {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"cpu": "10m"}}),
        (
            {names.MEMORY_REQUEST: "1Gi"},
            {"memory_limit": "256Mi"},
            {"requests": {"cpu": "20m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        ),
        ({}, {"cpu_request": "", "memory_request": ""}, {}),
    ],
)
def test_a_default_gives_way_to_an_annotation(annotations, settings, resources):
    assert read_options(annotations, InjectSettings(**settings)).resources == resources


def test_images():
    for good in ("proxy", "tulle/proxy:1", "r.example:5000/a/b:c", "a@sha256:" + "0" * 64, "[fd00::1]:5000/a"):
        assert annotation_problems({names.PROXY_IMAGE: good}) == []
    for bad in ("", " a", "a b", "a:", "a/", "a@sha256:12", "a\n", "a" * 600):
        assert annotation_problems({names.PROXY_IMAGE: bad})


def test_strangers_under_our_prefix_are_named():
    [warning] = annotation_warnings({"tulle.dev/opaque-port": "1", "example.com/opaque-port": "1", names.INJECTED: "1"})
    assert "did you mean tulle.dev/opaque-ports?" in warning
    [warning] = annotation_warnings({"tulle.dev/x": "1"})
    assert "known are" in warning


# --- limits ---------------------------------------------------------------------------------------------------------


def test_limits():
    text = parse_limits(" head-bytes = 131072 ,body-rate=0, head-seconds=1.5,")
    assert text == "head-bytes=131072,body-rate=0,head-seconds=1.5"
    assert parse_limits(text) == text
    assert variables(text) == (
        ("TULLE_HEAD_BYTES", "131072"), ("TULLE_BODY_RATE", "0"), ("TULLE_HEAD_SECONDS", "1.5"),
    )  # fmt: skip
    assert (parse_limits(" , "), variables("")) == ("", ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("head-bytes", '"head-bytes" is not name=value with a name of request-line-bytes, '),
        ("heads=5", '"heads=5" is not name=value'),
        ("head-bytes=131072,head-bytes=131073", "head-bytes is there twice"),
        ("head-bytes=1.5", 'head-bytes: "1.5" is not 1024 to 1048576 bytes'),
        ("head-bytes=1048577", "1024 to 1048576 bytes"),
        ("head-seconds=0", "0.1 to 86400 seconds"),
        ("head-seconds=", "0.1 to 86400 seconds"),
        ("body-rate=-1", "0 to 100000000 bytes a second"),
        ("head-fields=\u0668\u0668", "10 to 1000 fields"),
        ("head-bytes=8192", r"request-line-bytes \(16384\) is more than head-bytes \(8192\)"),
    ],
)
def test_limits_that_cannot_be(text, said):
    with pytest.raises(LimitsError, match=said):
        parse_limits(text)
    assert annotation_problems({names.PROXY_LIMITS: text})[0].startswith("annotation tulle.dev/proxy-limits: ")


def test_limits_reach_the_proxy_and_nothing_else_changes():
    plain = inject({"metadata": {}, "spec": {"containers": [{"name": "app", "image": "a"}]}})
    assert not any(name.replace("_", "-").lower().removeprefix("tulle-") in LIMITS for name in plain)
    limited = inject({
        "metadata": {"annotations": {names.PROXY_LIMITS: "idle-seconds=30"}},
        "spec": {"containers": [{"name": "app", "image": "a"}]},
    })
    assert limited == {**plain, "TULLE_IDLE_SECONDS": "30"}


def inject(pod):
    """The environment of the proxy that a pod gets."""
    annotations = pod["metadata"].get("annotations", {})
    options = read_options(annotations, InjectSettings())
    container = proxy_container(options, InjectSettings(), "deployment/app")
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
