"""The small pure modules: metadata, percent-encoding, timeouts, addresses, status tables, backoff, keepalive."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_trio_grpc import Backoff, Keepalive, Metadata, StatusCode, percent, status, timeouts
from tulle_trio_grpc.address import AddressError, Target, parse_address
from tulle_trio_grpc.keepalive import KeepaliveTimer, Step
from tulle_trio_grpc.metadata import MetadataError, decode, encode

# --- metadata


def test_metadata_text_and_binary_on_the_wire() -> None:
    metadata = {"x-user": "ann", "trace-bin": b"\x00\xff\x01\x02"}
    assert encode(metadata) == [(b"x-user", b"ann"), (b"trace-bin", b"AP8BAg")]


def test_metadata_keeps_repeated_keys_in_order() -> None:
    metadata = decode(encode([("k", "1"), ("l", "x"), ("k", "2")]))
    assert metadata == (("k", "1"), ("l", "x"), ("k", "2"))
    assert metadata.get("k") == "1"
    assert metadata.get_all("k") == ["1", "2"]
    assert metadata.get("absent") is None


def test_binary_metadata_is_read_padded_unpadded_and_joined() -> None:
    fields = [(b"a-bin", b"AP8BAg=="), (b"a-bin", b"AP8BAg"), (b"b-bin", b"AQ,Ag==, Aw")]
    assert decode(fields) == (
        ("a-bin", b"\x00\xff\x01\x02"), ("a-bin", b"\x00\xff\x01\x02"),
        ("b-bin", b"\x01"), ("b-bin", b"\x02"), ("b-bin", b"\x03"),
    )  # fmt: skip


def test_odd_metadata_from_the_server_does_not_fail_the_call() -> None:
    fields = [(b"broken-bin", b"!!"), (b"latin", b"caf\xe9"), (b":status", b"200"), (b"grpc-status", b"0")]
    assert decode(fields) == (("latin", "café"),)


@given(st.lists(st.tuples(st.sampled_from(["a", "b-bin", "c.d_e-f", "g-bin"]), st.binary())))
def test_metadata_survives_the_wire(pairs: list[tuple[str, bytes]]) -> None:
    sent = [(key, value if key.endswith("-bin") else value.hex()) for key, value in pairs]
    assert decode(encode(sent)) == Metadata(sent)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("Upper", "v", "lower case"),
        ("spa ce", "v", "only a-z"),
        ("", "v", "only a-z"),
        (":path", "v", "only a-z"),
        ("grpc-timeout", "v", "gRPC's own"),
        ("grpc-anything", "v", "gRPC's own"),
        ("content-type", "v", "gRPC's own"),
        ("te", "v", "gRPC's own"),
        ("text", b"v", "ends in '-bin'"),
        ("data-bin", "v", "takes bytes"),
        ("text", "line\nbreak", "printable ASCII"),
        ("text", "café", "printable ASCII"),
    ],
)
def test_metadata_that_must_not_be_sent(key: str, value: str | bytes, why: str) -> None:
    with pytest.raises(MetadataError, match=why):
        encode([(key, value)])


# --- grpc-message


@pytest.mark.parametrize(
    ("text", "wire"),
    [("plain text!", "plain text!"), ("100%", "100%25"), ("a\nb", "a%0Ab"), ("é☃", "%C3%A9%E2%98%83"), ("", "")],
)
def test_percent_encoding(text: str, wire: str) -> None:
    assert percent.encode(text) == wire
    assert percent.decode(wire) == text


@pytest.mark.parametrize(
    ("wire", "text"), [("50% off", "50% off"), ("%zz%41", "%zzA"), ("%", "%"), ("%ff", "\ufffd"), ("%e2%98%83", "☃")]
)
def test_broken_percent_encoding_is_read_as_far_as_possible(wire: str, text: str) -> None:
    assert percent.decode(wire) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_percent_encoding_survives_the_wire(text: str) -> None:
    wire = percent.encode(text)
    assert wire.isascii()
    assert percent.decode(wire) == text


# --- grpc-timeout


@pytest.mark.parametrize(
    ("seconds", "header"),
    [
        (1e-10, "1n"), (1e-9, "1n"), (0.05, "50000000n"), (0.5, "500000u"), (5, "5000000u"),
        (100, "100000m"), (3600, "3600000m"), (1e6, "1000000S"), (1e8, "1666667M"), (1e10, "2777778H"),
        (1e30, "99999999H"),
    ],
)  # fmt: skip
def test_timeout_header(seconds: float, header: str) -> None:
    assert timeouts.encode(seconds) == header


@given(st.floats(1e-9, 3e11))
def test_timeout_is_eight_digits_at_most_and_never_shorter(seconds: float) -> None:
    header = timeouts.encode(seconds)
    assert len(header) <= 9
    assert timeouts.decode(header) >= seconds * (1 - 1e-12)
    assert timeouts.decode(header) <= seconds * (1 + 1e-5) + 1e-9 or seconds > 1e8


@pytest.mark.parametrize("header", ["", "5", "S", "-1S", "1.5S", "123456789S", "5s", "٣S"])
def test_timeout_headers_that_are_none(header: str) -> None:
    with pytest.raises(ValueError, match="grpc-timeout"):
        timeouts.decode(header)


# --- addresses


@pytest.mark.parametrize(
    ("address", "target", "authority"),
    [
        ("localhost:8086", Target("localhost", 8086), "localhost:8086"),
        ("10.0.0.1:1", Target("10.0.0.1", 1), "10.0.0.1:1"),
        ("[::1]:65535", Target("::1", 65535), "[::1]:65535"),
        ("unix:/run/api.sock", Target("", 0, "/run/api.sock"), "localhost"),
        ("unix:///run/api.sock", Target("", 0, "/run/api.sock"), "localhost"),
        ("unix:relative.sock", Target("", 0, "relative.sock"), "localhost"),
    ],
)
def test_addresses(address: str, target: Target, authority: str) -> None:
    assert parse_address(address) == target
    assert parse_address(address).authority == authority


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("localhost", "host:port"), (":80", "host:port"), ("", "host:port"), ("unix:", "unix:/path"),
        ("host:0", "1 to 65535"), ("host:65536", "1 to 65535"), ("host:http", "1 to 65535"),
        ("::1:80", "brackets"), ("http://host:80", "no scheme"), ("dns:///host:80", "no scheme"),
    ],
)  # fmt: skip
def test_addresses_that_are_none_say_what_would_be(address: str, hint: str) -> None:
    with pytest.raises(AddressError, match=hint):
        parse_address(address)


# --- status


def test_the_tables_of_the_specification() -> None:
    http = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14, 500: 2, 302: 2}
    assert {code: int(status.from_http(code)) for code in http} == http
    resets = {0: 13, 1: 13, 2: 13, 3: 13, 4: 13, 6: 13, 7: 14, 8: 1, 9: 13, 10: 13, 11: 8, 12: 7, 99: 2}
    assert {code: int(status.from_reset(code)) for code in resets} == resets


def test_status_codes_that_do_not_exist_are_unknown() -> None:
    assert status.parse_status("5") is StatusCode.NOT_FOUND
    assert {status.parse_status(text) for text in ("17", "-1", "x", "")} == {StatusCode.UNKNOWN}


# --- backoff


def test_backoff_grows_to_its_bound_and_jitters_fully() -> None:
    backoff = Backoff(first=0.5, factor=2, longest=3)
    assert [backoff.bound(n) for n in (1, 2, 3, 4, 5, 10_000)] == [0.5, 1, 2, 3, 3, 3]
    assert backoff.delay(3, lambda: 0.0) == 0
    assert backoff.delay(3, lambda: 0.25) == 0.5
    seeded = random.Random(4).random
    delays = [backoff.delay(4, seeded) for _ in range(1000)]
    assert 0 <= min(delays) < 0.1
    assert 2.9 < max(delays) < 3


@pytest.mark.parametrize("values", [(0, 2, 1), (2, 2, 1), (1, 0.5, 2)])
def test_backoff_refuses_what_cannot_be(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="first <= longest"):
        Backoff(*values)


# --- keepalive


def test_keepalive_pings_after_silence_and_gives_up_without_answer() -> None:
    timer = KeepaliveTimer(Keepalive(interval=30, timeout=10), now=0)
    assert timer.poll(0) == (Step.WAIT, 30)
    timer.heard(25)
    assert timer.poll(30) == (Step.WAIT, 55)
    assert timer.poll(55) == (Step.PING, 65)
    assert timer.poll(60) == (Step.WAIT, 65)
    assert timer.poll(65) == (Step.DEAD, 65)


def test_keepalive_with_an_interval_shorter_than_its_timeout() -> None:
    timer = KeepaliveTimer(Keepalive(interval=5, timeout=20), now=0)
    assert timer.poll(5) == (Step.PING, 10)
    timer.heard(6)
    assert timer.poll(10) == (Step.WAIT, 11)
    assert timer.poll(11) == (Step.PING, 16)
    assert timer.poll(16) == (Step.WAIT, 21)
    assert timer.poll(30) == (Step.WAIT, 31)
    assert timer.poll(31) == (Step.DEAD, 31)


def test_keepalive_takes_any_bytes_for_life() -> None:
    timer = KeepaliveTimer(Keepalive(interval=30, timeout=10), now=0)
    assert timer.poll(30) == (Step.PING, 40)
    timer.heard(39)
    assert timer.poll(40) == (Step.WAIT, 69)


def test_keepalive_refuses_nonsense_and_slows_down() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Keepalive(interval=0)
    assert Keepalive(interval=30, timeout=7).slower() == Keepalive(interval=60, timeout=7)
