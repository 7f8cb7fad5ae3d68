"""What a line says, and that nobody outside can forge one."""

import json
import re
from datetime import UTC, datetime

import pytest
import trio
import tulle_exporter_access_log as access_log
from hypothesis import given
from hypothesis import strategies as st
from tulle_exporter_access_log import AccessLog, common_line, json_line, timestamp
from tulle_plugin_api import Address, Endpoint, Exchange, ExporterContext, Service, load
from tulle_plugin_api.kinds import kind
from tulle_plugin_api.trace import Span

NOW = datetime(2026, 11, 20, 19, 35, 0, 250_000, tzinfo=UTC).timestamp()


def exchange(**changes):
    made = Exchange()
    made.method, made.path, made.authority = "GET", "/cart?x=1", "app-b:80"
    made.status, made.attempts, made.started, made.ended = 200, 1, 100.0, 100.0125
    made.response_bytes = 5
    made.source, made.destination = Address("10.0.0.9", 40312), Address("10.96.0.7", 80)
    made.service = Service("app-b", "default", 80, "app-b.default.svc.cluster.local:80")
    made.route, made.backend = "default/app-b/0", "default/app-b:80"
    made.endpoint = Endpoint(Address("fd00::1", 8080), pod="app-b-1")
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def log(*exchanges, **options):
    lines = []
    exporter = AccessLog(ExporterContext(options=options, write_line=lines.append))
    for one in exchanges:
        exporter.observe(one)
    return lines


def test_it_is_installed_under_its_name():
    assert load().exporters["access-log"] is AccessLog


def test_a_request():
    assert json.loads(json_line(exchange(), NOW)) == {
        "time": "2026-11-20T19:35:00.237Z",  # when it began: 12.5 ms ago
        "direction": "outbound",
        "protocol": "http/1.1",
        "method": "GET",
        "authority": "app-b:80",
        "path": "/cart?x=1",
        "status": 200,
        "duration_ms": 12.5,
        "response_bytes": 5,
        "source": "10.0.0.9:40312",
        "destination": "10.96.0.7:80",
        "service": "app-b.default.svc.cluster.local:80",
        "route": "default/app-b/0",
        "backend": "default/app-b:80",
        "endpoint": "[fd00::1]:8080",
        "pod": "app-b-1",
        "attempts": 1,
    }


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"status": 504, "reason": "timeout"}, {"status": 504, "reason": "timeout"}),
        ({"status": 0, "aborted": True}, {"status": 0, "aborted": True}),
        ({"secured": True, "source_identity": "spiffe://t/ns/n/sa/s"}, {"tls": True, "source_identity": "spiffe://t/ns/n/sa/s"}),
        ({"direction": "inbound", "protocol": "h2"}, {"direction": "inbound", "protocol": "h2"}),
        ({"request_bytes": 9, "attempts": 3}, {"request_bytes": 9, "attempts": 3}),
        ({"span": Span("a" * 32, "b" * 16)}, {"trace_id": "a" * 32, "span_id": "b" * 16}),
    ],
)
def test_fields(changes, fields):
    assert fields.items() <= json.loads(json_line(exchange(**changes), NOW)).items()


def test_what_is_not_known_is_left_out():
    bare = Exchange()
    bare.status = 404
    assert set(json.loads(json_line(bare, NOW))) == {"time", "direction", "protocol", "status", "duration_ms"}


def test_a_relayed_connection_has_bytes_and_no_status():
    relayed = exchange(protocol="tcp", status=0, method="", path="", authority="", request_bytes=64, response_bytes=7)
    line = json.loads(json_line(relayed, NOW))
    assert (line["request_bytes"], line["response_bytes"]) == (64, 7)
    assert not {"status", "method", "path"} & set(line)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("direction", "inbound"),
        ("protocol", "http/1.0"),
        ("method", "POST"),
        ("authority", "app-b"),
        ("path", "/other"),
        ("status", 500),
        ("reason", "timeout"),
        ("aborted", True),
        ("ended", 101.0),
        ("request_bytes", 7),
        ("response_bytes", 0),
        ("source", Address("10.0.0.9", 40313)),
        ("source_identity", "spiffe://t/ns/n/sa/s"),
        ("destination", Address("10.96.0.8", 80)),
        ("service", Service("app-b", "other", 80, "app-b.other.svc.cluster.local:80")),
        ("service", None),
        ("route", "default/app-b/1"),
        ("backend", "default/app-b2:80"),
        ("endpoint", Endpoint(Address("fd00::2", 8080), pod="app-b-1")),
        ("endpoint", Endpoint(Address("fd00::1", 8080), pod="app-b-2")),
        ("endpoint", None),
        ("attempts", 2),
        ("secured", True),
        ("span", Span("a" * 32, "b" * 16)),
    ],
)
def test_a_line_tells_of_its_own_request_whatever_was_told_before(name, value):
    first = json_line(exchange(), NOW)
    other = json_line(exchange(**{name: value}), NOW)
    assert json.loads(other) != json.loads(first)
    assert json_line(exchange(), NOW) == first
    for known in (access_log._asked, access_log._paths, access_log._sources, access_log._hosts):
        known.clear()
    assert json_line(exchange(**{name: value}), NOW) == other


@pytest.mark.parametrize(
    "change",
    [
        {}, {"method": "POST"}, {"authority": "app-b"}, {"path": "/other"}, {"ended": 101.0}, {"request_bytes": 7},
        {"response_bytes": 0}, {"source": Address("10.0.0.9", 40313)}, {"span": Span("a" * 32, "b" * 16)},
    ],
)  # fmt: skip
def test_of_a_kind_whose_words_are_known_a_line_says_the_same(change, monkeypatch):
    lines: list[bytes] = []
    log = access_log.AccessLog(ExporterContext(write_line=lines.append))
    monkeypatch.setattr(access_log.time, "time", lambda: NOW)
    other = exchange(**change)
    assert kind(other) == kind(exchange()), "the test shows nothing"
    log.observer(exchange())(other)
    log.observe(other)
    assert lines == [json_line(other, NOW)] * 2


@pytest.mark.parametrize("options", [{"sample": "0"}, {"format": "common"}])
def test_of_a_kind_options_hold_too(options):
    lines: list[bytes] = []
    log = access_log.AccessLog(ExporterContext(options=options, write_line=lines.append))
    log.observer(exchange())(exchange())
    assert len(lines) == (0 if "sample" in options else 1)
    assert not any(line.startswith(b"{") for line in lines)


def test_of_a_kind_that_failed_each_is_logged_though_few_others_are():
    lines: list[bytes] = []
    log = access_log.AccessLog(ExporterContext(options={"sample": "0"}, write_line=lines.append))
    for bad in (exchange(status=503), exchange(aborted=True), exchange(status=0)):
        log.observer(bad)(bad)
    assert len(lines) == 3


def test_what_is_remembered_of_lines_is_bounded():
    for number in range(1, 1000):
        source = Address(f"10.0.{number // 4}.9", number)
        json_line(exchange(path=f"/{number}", source=source, authority=f"app-{number}"), NOW)
    for known in (access_log._asked, access_log._paths, access_log._sources, access_log._hosts):
        assert 0 < len(known) <= access_log.MOST_KNOWN
    json_line(exchange(path="/" + "x" * access_log.LONGEST_KNOWN), NOW)
    assert max(map(len, access_log._paths)) <= access_log.LONGEST_KNOWN


@given(st.text(max_size=50), st.text(max_size=50))
def test_json_any_text_is_one_line_that_reads_back_and_holds_no_control_character(path, authority):
    path, authority = (s.encode("utf-8", "replace").decode() for s in (path, authority))
    line = json_line(exchange(path=path, authority=authority), NOW)
    read = json.loads(line)
    assert (read.get("path", ""), read.get("authority", "")) == (path, authority)
    assert not re.search("[\x00-\x1f\x80-\x9f]", line.decode())


def test_json_escape_sequences_of_terminals_do_not_get_through():
    line = json_line(exchange(path="/\x1b[31m\x9b31m\n{}\""), NOW)
    assert rb"/\u001b[31m\u009b31m\n{}\"" in line


def test_common_format():
    assert common_line(exchange(), NOW) == b'10.0.0.9 - - [20/Nov/2026:19:35:00 +0000] "GET /cart?x=1 HTTP/1.1" 200 5'
    anonymous = exchange(source=Address("", 0), status=0, response_bytes=0, source_identity="spiffe://t/ns/n/sa/s")
    assert common_line(anonymous, NOW) == (
        b'- - spiffe://t/ns/n/sa/s [20/Nov/2026:19:35:00 +0000] "GET /cart?x=1 HTTP/1.1" - -'
    )


@given(st.text(max_size=50))
def test_common_any_path_stays_inside_its_quotes(path):
    line = common_line(exchange(path=path), NOW).decode("ascii")
    assert line.count('"') == 2
    assert re.fullmatch(r'10\.0\.0\.9 - - \[[^]]+\] "GET [ -~]* HTTP/1\.1" 200 5', line)


def test_lines_go_where_the_host_says_without_a_line_break():
    (line,) = log(exchange())
    assert line.endswith(b"}")
    (line,) = log(exchange(), format="common")
    assert line.endswith(b"200 5")


def test_without_a_host_lines_go_to_stdout(capfdbinary):
    AccessLog(ExporterContext()).observe(exchange())
    import sys

    sys.stdout.buffer.flush()
    assert json.loads(capfdbinary.readouterr().out)["status"] == 200


def test_sampling_keeps_its_share_and_every_failure():
    good, bad = [exchange() for _ in range(4000)], [exchange(status=503) for _ in range(50)]
    lines = [json.loads(line) for line in log(*good, *bad, sample="0.25")]
    assert sum(line["status"] == 503 for line in lines) == 50
    # 4,000 draws at a quarter: a standard deviation of 27; six of them
    assert 836 < sum(line["status"] == 200 for line in lines) < 1164
    assert log(*good[:10], sample="0") == []
    assert len(log(*good[:10], sample="1")) == 10


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"format": "xml"}, "format: expected one of json, common, got 'xml'"),
        ({"sample": "10%"}, "sample: expected a share from 0 to 1, such as 0.1 for one in ten, got '10%'"),
        ({"sample": "1.5"}, "sample: expected a share from 0 to 1"),
        ({"sample": "nan"}, "sample: expected a share from 0 to 1"),
        ({"fromat": "json"}, "unknown option 'fromat'; did you mean 'format'?"),
        ({"output": "/no/such/folder/log"}, "output: expected stdout or a file that can be written, got '/no/such"),
    ],
)
def test_bad_options_are_refused_with_what_would_be_right(options, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        log(**options)


def test_timestamps_follow_the_clock():
    assert [timestamp(t) for t in (0.0, 0.9996, 1.0, 86399.999, 951782400.5)] == [
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:00.999Z",
        "1970-01-01T00:00:01.000Z",
        "1970-01-01T23:59:59.999Z",
        "2000-02-29T00:00:00.500Z",
    ]


# --- to a file --------------------------------------------------------------------------------------------------------


def to_file(path, **options):
    return AccessLog(ExporterContext(options={"output": str(path), **options}, write_line=None))


def test_a_file_gets_every_line_and_what_was_there_stays(tmp_path, capfdbinary):
    path = tmp_path / "access.log"
    path.write_text("before\n")

    async def test():
        exporter = to_file(path, format="common")
        for _ in range(1000):
            exporter.observe(exchange())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exporter.run)
            exporter.observe(exchange(status=503))
            await exporter.aclose()
            nursery.cancel_scope.cancel()
        assert exporter.counters() == {"sent_total": 1001, "dropped_total": 0, "send_failures_total": 0}

    trio.run(test)
    lines = path.read_text().splitlines()
    assert (lines[0], len(lines)) == ("before", 1002)
    assert lines[-1].endswith('" 503 5')
    assert capfdbinary.readouterr().out == b""


def test_a_file_that_was_moved_away_is_made_anew(tmp_path):
    path, moved = tmp_path / "access.log", tmp_path / "access.log.1"

    async def test():
        exporter = to_file(path)
        exporter.observe(exchange())
        await exporter._file.attempt()
        path.rename(moved)
        exporter.observe(exchange())
        exporter.observe(exchange())
        await exporter.aclose()

    trio.run(test)
    assert (len(moved.read_bytes().splitlines()), len(path.read_bytes().splitlines())) == (1, 2)


def test_a_disk_that_takes_nothing_costs_lines_that_are_counted():
    async def test():
        exporter = to_file("/dev/full")
        exporter.observe(exchange())
        assert not await exporter._file.attempt()
        assert exporter.counters() == {"sent_total": 0, "dropped_total": 1, "send_failures_total": 1}
        for _ in range(20_000):  # nobody writes them: the queue has a bound
            exporter.observe(exchange())
        assert exporter._file._size <= 1 << 20
        assert 10_000 < exporter.counters()["dropped_total"] < 20_000
        await exporter.aclose()

    trio.run(test)
