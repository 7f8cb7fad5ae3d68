"""Which form the suite runs in: live traffic in a lab (what docs/conformance.md's rows are proven by), or fast.

    TULLE_CONFORMANCE=lab .venv/bin/pytest tests/conformance    in a lab; root, or a user namespace
    .venv/bin/pytest tests/conformance                          whole proxies and the core in this process: seconds

    async with cluster("app-b", "app-b2") as c:
        c.tell(route(rule("app-b2", {"path": {"value": "/cart"}})))
        assert (await c.get("/cart")).service == "app-b2"

The tests are the same; `c.form` says which it is. The summary says which form ran, and how many rows hold in it.
"""

import json
import os
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

FORMS = ("process", "lab")
FORM = os.environ.get("TULLE_CONFORMANCE", FORMS[0])
if FORM not in FORMS:
    raise pytest.UsageError(f"TULLE_CONFORMANCE: expected one of {', '.join(FORMS)}, got {FORM!r}")

_outcomes: dict[str, str] = {}
"""Row ("test_sessions.py::test_x") -> the worst outcome of its tests."""
_WORST = ("passed", "skipped", "failed")


@pytest.fixture(scope="session")
def lab():
    """The lab of the whole suite."""
    import conformance_lab

    if why := conformance_lab.why_no_lab():
        pytest.skip(f"no lab can run here, and no row is proven: {why}")
    found = conformance_lab.Lab()
    try:
        found.up()
        yield found
    finally:
        found.down()


@pytest.fixture
def cluster(request):
    """`async with cluster("app-b", "app-b2") as c:`"""
    if FORM == "lab":
        import conformance_lab

        return conformance_lab.cluster_in(request.getfixturevalue("lab"))
    import conformance_process

    return conformance_process.cluster


@pytest.fixture
def real_servers():
    """For tests whose echo servers do what those of this process cannot: reset a connection, converse."""
    if FORM != "lab":
        pytest.skip("only in a lab: TULLE_CONFORMANCE=lab")


@pytest.fixture
def patient_clock(request):
    """In this process, time passes when nothing else does, and not while the kernel still hands bytes over."""
    if FORM == "lab":
        return None
    clock = request.getfixturevalue("autojump_clock")
    clock.autojump_threshold = 0.02
    return clock


@pytest.fixture
def wall(monkeypatch):
    """The wall clock that sessions go by, in seconds; in this process each look at it is 50 ms later."""
    if FORM == "lab":
        return time.time
    from tulle_data_plane import routes

    now = [1_000_000.0]

    def look():
        now[0] += 0.05
        return now[0]

    monkeypatch.setattr(routes.time, "time", lambda: now[0])
    return look


def pytest_collection_modifyitems(items):
    for item in items:
        if FORM == "lab" and HERE in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(450))  # the first of them waits for the lab


def pytest_runtest_logreport(report):
    if HERE.name not in report.nodeid or (report.when != "call" and report.outcome == "passed"):
        return
    row = Path(report.nodeid.partition("::")[0]).name + "::" + report.nodeid.partition("::")[2].partition("[")[0]
    before = _outcomes.get(row, _WORST[0])
    _outcomes[row] = max(before, report.outcome, key=_WORST.index)


def pytest_terminal_summary(terminalreporter):
    rows = {row: outcome for row, outcome in _outcomes.items() if not row.startswith("test_document.py")}
    if not rows:
        return
    hold = sum(outcome == "passed" for outcome in rows.values())
    told = {"form": FORM, "rows": len(rows), "hold": hold}
    terminalreporter.write_line(f"conformance: {json.dumps(told)}")
