"""What can be queried afterwards; and a disk that does not take it."""

import sqlite3

import pytest
import trio
from tulle_exporter_sqlite.exporter import SQLite
from tulle_plugin_api import Address, Endpoint, Exchange, ExporterContext, Service


def exporter(folder, **options):
    return SQLite(ExporterContext(pod="app-b-1", options={"path": f"{folder}/{{pod}}.sqlite", **options}))


def exchange(number=0, status=200, path="/cart?secret=1"):
    one = Exchange()
    one.direction, one.method, one.path, one.status = "inbound", "GET", path, status
    one.source, one.source_identity = Address("10.0.0.9", 4711), ""
    one.service = Service("app-b", "demo", 80, "app-b.demo.svc.cluster.local:80")
    one.endpoint = Endpoint(Address("10.0.0.1", 8080), pod=f"pod-{number}")
    one.started, one.ended, one.attempts, one.response_bytes = 10.0, 10.25, 1, number
    return one


def query(path, text):
    database = sqlite3.connect(path)
    try:
        return database.execute(text).fetchall()
    finally:
        database.close()


def sent(one, *exchanges):
    for each in exchanges:
        one.observe(each)
    return trio.run(one.attempt)


def test_every_exchange_is_a_row(tmp_path):
    one = exporter(tmp_path)
    assert one.path == tmp_path / "app-b-1.sqlite"
    assert sent(one, *(exchange(n, status) for n, status in enumerate([200, 200, 503])))
    assert query(one.path, "SELECT status, count(*), max(seconds) FROM exchanges GROUP BY status ORDER BY status") == [
        (200, 2, 0.25), (503, 1, 0.25),
    ]  # fmt: skip
    assert query(one.path, "SELECT DISTINCT direction, source, service, method, path FROM exchanges") == [
        ("inbound", "10.0.0.9", "demo/app-b:80", "GET", "/cart")
    ]
    assert one.counters() == {"sent_total": 3, "dropped_total": 0, "send_failures_total": 0}


def test_the_oldest_rows_go(tmp_path):
    one = exporter(tmp_path, rows="10")
    for start in range(0, 100, 5):
        sent(one, *(exchange(n) for n in range(start, start + 5)))
    assert query(one.path, "SELECT response_bytes FROM exchanges") == [(n,) for n in range(90, 100)]


def test_a_reader_holds_nobody_up(tmp_path):
    one = exporter(tmp_path)
    sent(one, exchange())
    reader = sqlite3.connect(one.path)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM exchanges").fetchall() == [(1,)]
    assert sent(one, exchange())
    reader.close()
    assert query(one.path, "SELECT count(*) FROM exchanges") == [(2,)]


def test_a_disk_that_does_not_take_it_costs_rows_and_nothing_else(tmp_path):
    one = exporter(tmp_path, path=f"{tmp_path}/later/x.sqlite", queue="10")
    assert not sent(one, *(exchange(n) for n in range(15)))
    assert one.counters() == {"sent_total": 0, "dropped_total": 5, "send_failures_total": 1}
    (tmp_path / "later").mkdir()
    assert trio.run(one.attempt)
    assert query(one.path, "SELECT count(*) FROM exchanges") == [(10,)]


@pytest.mark.parametrize("path", ["/" + "x" * 10_000, "/'; DROP TABLE exchanges; --", "/\udcff\x00"])
def test_paths_are_bounded_and_only_text(tmp_path, path):
    one = exporter(tmp_path)
    assert sent(one, exchange(path=path.encode("latin-1", "replace").decode("latin-1")))
    ((kept,),) = query(one.path, "SELECT path FROM exchanges")
    assert len(kept) <= 256
