"""The text format, held to the rules of Prometheus's linter (promlint) and read back by the official parser."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from tulle_exporter_prometheus import Prometheus
from tulle_exporter_prometheus.exposition import Page, label_text
from tulle_plugin_api import Address, Endpoint, Exchange, ExporterContext, Service


def full_page():
    exporter = Prometheus(ExporterContext(counters=lambda: {"tulle_proxy_accepted_total": 1, "tulle_proxy_tasks": 2}))
    for protocol in ("http/1.1", "tcp"):
        exchange = Exchange()
        exchange.protocol, exchange.status = protocol, 200
        exchange.service = Service("app-b", "default", 80, "app-b.default.svc.cluster.local:80")
        exchange.endpoint = Endpoint(Address("10.0.0.1", 8080))
        exporter.observe(exchange)
    return exporter.collect().decode()


def test_every_family_passes_the_linters_rules():
    text = full_page()
    helped = re.findall(r"^# HELP (\S+) \S.*$", text, re.M)
    typed = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    assert helped == list(typed)
    assert len(helped) == len(re.findall(r"^# TYPE", text, re.M)), "a family must not be split"
    for name, kind in typed.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), "snake_case"
        assert name.endswith("_total") == (kind == "counter"), "counters end in _total, and only they"
        assert not re.search(r"_(counter|gauge|histogram|ms|milliseconds|kb|megabytes)(_|$)", name), "base units"
        assert not re.search(r"_(bucket|count|sum|info_total)$", name), "suffixes that the format reserves"


def test_lines_of_a_family_stay_together_and_under_their_head():
    family = ""
    for line in full_page().splitlines():
        if line.startswith("# TYPE"):
            family = line.split()[2]
        elif not line.startswith("#"):
            assert re.fullmatch(rf"{family}(_bucket|_sum|_count)?", re.split(r"[{ ]", line)[0])


def test_histograms_are_cumulative_and_end_with_infinity():
    page = Page()
    page.histogram("h_seconds", "Help.", (0.1, 1.0), [('a="b"', [1, 2, 3], 4.5), ("", [0, 0, 1], 2.0)])
    assert page.text().decode().splitlines() == [
        "# HELP h_seconds Help.",
        "# TYPE h_seconds histogram",
        'h_seconds_bucket{a="b",le="0.1"} 1',
        'h_seconds_bucket{a="b",le="1.0"} 3',
        'h_seconds_bucket{a="b",le="+Inf"} 6',
        'h_seconds_sum{a="b"} 4.5',
        'h_seconds_count{a="b"} 6',
        'h_seconds_bucket{le="0.1"} 0',
        'h_seconds_bucket{le="1.0"} 0',
        'h_seconds_bucket{le="+Inf"} 1',
        "h_seconds_sum 2.0",
        "h_seconds_count 1",
    ]


def test_a_histogram_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="zip"):
        Page().histogram("h_seconds", "Help.", (0.1, 1.0), [("", [1], 1.0)])


# surrogates cannot be in UTF-8; the page replaces them. The parser splits at other line ends than "\n": not the format.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"))


@given(TEXT, st.one_of(st.integers(0, 2**63), st.floats(allow_nan=False)))
def test_any_label_and_value_reads_back(text, number):
    page = Page()
    page.gauge("g", "Help.", [(label_text({"a": text, "b": "x"}), number)])
    (family,) = text_string_to_metric_families(page.text().decode())
    (sample,) = family.samples
    assert sample.labels == {"a": text, "b": "x"}
    assert sample.value == pytest.approx(number)


def test_what_is_not_text_is_replaced():
    page = Page()
    page.gauge("g", "Help.", [(label_text({"a": "\ud800"}), 1)])
    assert b'{a="?"}' in page.text()


def test_an_empty_page_is_empty():
    assert Page().text() == b""
