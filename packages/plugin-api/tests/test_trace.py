"""Contexts read and written, by the rules and examples of both specifications."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_plugin_api import Address, Exchange, Headers
from tulle_plugin_api.trace import PATH, Context, Span, Tracer, read_b3, read_b3_multi, read_w3c, record

TRACE, SPAN, PARENT = "80f198ee56343ba864fe8b2a57d3eff7", "e457b5a2e4d86bd1", "05e3ac9a4f6e3b90"


def headers(**fields):
    return Headers.of((name.replace("_", "-"), value) for name, value in fields.items())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", Context(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-00", Context(TRACE, SPAN, False)),
        (f"00-{TRACE}-{SPAN}-03", Context(TRACE, SPAN, True)),  # other flags are not ours to judge
        (f"cc-{TRACE}-{SPAN}-01", Context(TRACE, SPAN, True)),  # of the future
        (f"cc-{TRACE}-{SPAN}-01-what-ever", Context(TRACE, SPAN, True)),
        (f"cc-{TRACE}-{SPAN}-01.what-ever", None),
        (f"00-{TRACE}-{SPAN}-01-what-ever", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f"00-{TRACE[:-1]}-{SPAN}-01", None),
        ("", None),
    ],
)
def test_w3c(value, expected):
    assert read_w3c(headers(traceparent=value)) == expected


def test_w3c_twice_is_not_valid():
    assert read_w3c(Headers.of([("traceparent", f"00-{TRACE}-{SPAN}-01")] * 2)) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"{TRACE}-{SPAN}-1-{PARENT}", Context(TRACE, SPAN, True)),
        (f"{TRACE}-{SPAN}-0", Context(TRACE, SPAN, False)),
        (f"{TRACE}-{SPAN}-d", Context(TRACE, SPAN, True)),
        (f"{TRACE}-{SPAN}", Context(TRACE, SPAN, None)),
        (f"{TRACE[16:]}-{SPAN}-1", Context("0" * 16 + TRACE[16:], SPAN, True)),
        ("0", Context("", "", False)),
        ("1", Context("", "", True)),
        ("d", Context("", "", True)),
        ("2", None),
        (f"{TRACE}", None),
        (f"{TRACE}-{SPAN[1:]}-1", None),
        (f"{'0' * 32}-{SPAN}-1", None),
        ("", None),
    ],
)
def test_b3(value, expected):
    assert read_b3(headers(b3=value)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"X_B3_TraceId": TRACE, "X_B3_SpanId": SPAN, "X_B3_Sampled": "1"}, Context(TRACE, SPAN, True)),
        ({"X_B3_TraceId": TRACE, "X_B3_SpanId": SPAN, "X_B3_Sampled": "false"}, Context(TRACE, SPAN, False)),
        ({"X_B3_TraceId": TRACE, "X_B3_SpanId": SPAN, "X_B3_Flags": "1"}, Context(TRACE, SPAN, True)),
        ({"X_B3_TraceId": TRACE, "X_B3_SpanId": SPAN}, Context(TRACE, SPAN, None)),
        ({"X_B3_Sampled": "0"}, Context("", "", False)),
        ({"X_B3_TraceId": TRACE}, None),
        ({"X_B3_TraceId": "x", "X_B3_SpanId": SPAN}, None),
        ({}, None),
    ],
)
def test_b3_in_several_fields(fields, expected):
    assert read_b3_multi(headers(**fields)) == expected


def tracer(sample=0.0, format="w3c"):
    return Tracer(sample, format, Random(7))


@pytest.mark.parametrize("format", ["w3c", "b3", "b3-multi"])
def test_a_trace_that_begins_here_is_read_back_by_the_next_hop(format):
    head = headers(x="y")
    first = tracer(1.0, format).begin(head)
    assert (len(first.trace_id), len(first.span_id), first.parent_id, first.sampled) == (32, 16, "", True)
    second = tracer(0.0).begin(head)
    assert (second.trace_id, second.parent_id, second.sampled) == (first.trace_id, first.span_id, True)
    assert second.span_id != first.span_id
    assert head.get("x") == "y"


def test_the_formats_that_came_are_the_formats_that_leave():
    head = headers(b3=f"{TRACE}-{SPAN}-1")
    span = tracer().begin(head)
    assert list(head) == [("b3", f"{TRACE}-{span.span_id}-1-{SPAN}")]
    head = headers(
        traceparent=f"00-{TRACE}-{SPAN}-00", X_B3_TraceId=TRACE, X_B3_SpanId=SPAN, X_B3_ParentSpanId=PARENT,
        X_B3_Sampled="1",
    )  # fmt: skip
    span = tracer(1.0).begin(head)
    assert not span.sampled, "of several, the first in the table counts"
    assert dict(head) == {
        "traceparent": f"00-{TRACE}-{span.span_id}-00", "x-b3-traceid": TRACE, "x-b3-spanid": span.span_id,
        "x-b3-parentspanid": SPAN, "x-b3-sampled": "0",
    }  # fmt: skip


def test_debug_goes_on():
    head = headers(X_B3_TraceId=TRACE, X_B3_SpanId=SPAN, X_B3_Flags="1")
    assert tracer().begin(head).sampled
    assert head.get("x-b3-flags") == "1"
    assert head.get("x-b3-sampled") is None


def test_a_decision_without_a_trace_is_kept():
    head = headers(b3="0")
    span = tracer(1.0).begin(head)
    assert (span.sampled, span.parent_id) == (False, "")
    assert head.get("b3") == f"{span.trace_id}-{span.span_id}-0"


def test_what_cannot_be_read_begins_anew_without_its_state():
    head = headers(traceparent="nonsense", tracestate="a=b")
    span = tracer().begin(head)
    assert dict(head) == {"traceparent": f"00-{span.trace_id}-{span.span_id}-00"}


def test_the_share_of_traces_that_begin_here():
    sampling = tracer(0.25)
    sampled = sum(sampling.begin(headers()).sampled for _ in range(4000))
    assert 836 < sampled < 1164  # a standard deviation of 27; six of them
    deferred = f"{TRACE}-{SPAN}"
    assert 0 < sum(sampling.begin(headers(b3=deferred)).sampled for _ in range(400)) < 400


@given(st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=60))
def test_no_header_can_break_it(value):
    head = headers(traceparent=value, b3=value, X_B3_TraceId=value, X_B3_SpanId=value, X_B3_Sampled=value)
    span = tracer().begin(head)
    assert len(span.trace_id) == 32
    assert int(span.trace_id, 16)


def test_a_record_holds_no_query_and_has_a_bound():
    exchange = Exchange()
    exchange.path, exchange.authority = "/login/" + "x" * 9000 + "?password=1", "a" * 9000
    exchange.source, exchange.status, exchange.span = Address("10.0.0.9", 4), 503, Span(TRACE, SPAN)
    exchange.started, exchange.ended = 5.0, 4.0
    kept = record(exchange, 99.0)
    assert kept.path == ("/login/" + "x" * 9000)[:PATH]
    assert len(kept.authority) == PATH
    assert (kept.ended, kept.seconds, kept.failed, kept.source_ip) == (99.0, 0.0, True, "10.0.0.9")
    assert kept.span is exchange.span
