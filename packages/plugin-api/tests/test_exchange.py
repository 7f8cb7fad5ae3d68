"""The small rules of the exchange's vocabulary."""

import sys

import pytest
from tulle_plugin_api import Address, Endpoint, Exchange, Failure, Headers, Refused, Response, TimedOut


@pytest.mark.parametrize(
    ("address", "text"), [(Address("10.0.0.1", 80), "10.0.0.1:80"), (Address("fd00::1", 8080), "[fd00::1]:8080")]
)
def test_addresses_are_written_as_urls_write_them(address, text):
    assert str(address) == text


def test_endpoints_with_other_labels_are_the_same_instance():
    one = Endpoint(Address("10.0.0.1", 80), "p", labels=(("version", "1"),))
    other = Endpoint(Address("10.0.0.1", 80), "p", labels=(("version", "2"),))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Endpoint(Address("10.0.0.2", 80), "p")


@pytest.mark.parametrize(
    ("protocol", "status", "aborted", "failed"),
    [
        ("http/1.1", 200, False, False),
        ("http/1.1", 404, False, False),
        ("h2", 499, False, False),
        ("h2", 500, False, True),
        ("http/1.1", 503, False, True),
        ("http/1.1", 0, False, True),  # no answer
        ("http/1.1", 200, True, True),  # broken off
        ("tcp", 0, False, False),
        ("tcp", 0, True, True),
    ],
)
def test_what_counts_as_failed(protocol, status, aborted, failed):
    exchange = Exchange()
    exchange.protocol, exchange.status, exchange.aborted = protocol, status, aborted
    assert exchange.failed is failed


def test_each_exchange_has_fields_and_notes_of_its_own():
    one, other = Exchange(), Exchange()
    one.headers.add("a", "1")
    one.attributes["retry.budget"] = 3
    one.status = 200
    assert (other.headers, other.attributes, other.status) == (Headers(), {}, 0)
    assert one.attributes == {"retry.budget": 3}


def test_the_attributes_of_nearly_every_request_need_no_dict_of_their_own():
    for _ in range(100):
        Exchange()  # without names of their own, as of connections that are refused
    made = Exchange()
    for name in ("direction", "method", "path", "service", "route", "backend", "endpoint", "status", "ended"):
        setattr(made, name, None)
    # a dict whose names are kept with the class is the smaller one
    assert sys.getsizeof(vars(made)) < sys.getsizeof(dict(vars(made)))


def test_responses_have_headers_of_their_own():
    one, other = Response(200), Response(200)
    one.headers.add("a", "1")
    assert other.headers == Headers()
    assert (other.body, other.trailers, other.reason) == (b"", None, "")


def test_failures_carry_a_reason_and_a_detail():
    assert (Failure().reason, TimedOut().reason) == ("internal-error", "timeout")
    assert str(TimedOut()) == "Time ran out."
    assert Failure("broke", reason="upstream-reset").reason == "upstream-reset"
    assert Failure.reason == "internal-error"
    refused = Refused(429, "rate-limited", "100 a second", {"retry-after": "1"})
    assert (refused.status, refused.reason, str(refused)) == (429, "rate-limited", "100 a second")
    assert refused.fields == {"retry-after": "1"}
    assert Refused(403, "denied").fields == {}
