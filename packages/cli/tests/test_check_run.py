"""The runner of checks: order, stopping, needs, waiting, and strangers that raise. And how it looks."""

from tulle_cli.check import render
from tulle_cli.check.model import Line, Outcome, Section, check, failed, passed, warned
from tulle_cli.check.run import collect, run
from tulle_cli.terminal import ASCII, UNICODE
from tulle_plugin_api import Check, CheckResult


def item(description, *results):
    """A check that gives these results, one a try; the last for ever."""
    left = list(results)
    return check("c", description, lambda: left.pop(0) if len(left) > 1 else left[0])


class Clock:
    def __init__(self):
        self.time = 100.0
        self.slept = []

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time += seconds


def lines(sections, wait=0.0, clock=None):
    clock = clock or Clock()
    outcomes = collect(run(sections, wait, now=clock.now, sleep=clock.sleep))
    return {outcome.name: [(line.description, line.result) for line in outcome.lines] for outcome in outcomes}


def test_results_by_section():
    sections = [Section("a", [item("one", passed()), item("two", warned("w")), item("three", failed("f"))])]
    assert lines(sections) == {"a": [("one", "success"), ("two", "warning"), ("three", "error")]}


def test_a_section_that_stops_stops_at_an_error_but_not_at_a_warning():
    checks = [item("one", warned("w")), item("two", failed("f")), item("three", passed())]
    assert lines([Section("a", checks, stops=True)]) == {"a": [("one", "warning"), ("two", "error")]}


def test_what_needs_a_failed_section_is_skipped_and_so_is_what_needs_that():
    sections = [
        Section("a", [item("one", failed("f"))]),
        Section("b", [item("two", passed())], needs="a"),
        Section("c", [item("three", passed())], needs="b"),
        Section("d", [item("four", passed())]),
    ]
    assert lines(sections) == {"a": [("one", "error")], "d": [("four", "success")]}


def test_waiting_repeats_until_it_holds():
    clock = Clock()
    sections = [Section("a", [item("one", failed("1"), failed("2"), passed())], waits=True)]
    assert lines(sections, 30, clock) == {"a": [("one", "success")]}
    assert clock.slept == [1.0, 1.0]


def test_waiting_ends_at_the_deadline_which_is_one_for_all():
    clock = Clock()
    sections = [Section("a", [item("one", failed("1")), item("two", failed("2"))], waits=True)]
    assert lines(sections, 2.5, clock) == {"a": [("one", "error"), ("two", "error")]}
    assert clock.slept == [1.0, 1.0, 0.5]


def test_what_does_not_wait_is_not_repeated():
    clock = Clock()
    assert lines([Section("a", [item("one", failed("1"))])], 30, clock) == {"a": [("one", "error")]}
    assert clock.slept == []


def test_a_check_that_raises_is_a_failed_check_and_the_next_one_runs():
    def broken() -> CheckResult:
        raise RuntimeError("boom")

    [outcome] = collect(run([Section("a", [Check("a", "one", broken), item("two", passed())])]))
    detail = "the check itself failed: RuntimeError: boom"
    assert outcome.lines[0] == Line("one", "error", detail, "report this to its author")
    assert outcome.lines[1].result == "success"


OUTCOMES = [
    Outcome("kernel", [
        Line("is Linux", "success", "6.1"), Line("has IPv6", "warning", "it has none", "load the module")]),
    Outcome("proxies", [Line("every proxy is SYNCED", "error", "a is STALE\nb is REJECTED", "see\nthe log")]),
]


def test_lines_look_like_linkerds():
    text = "\n".join(
        part for o in OUTCOMES for part in [render.heading(o.name), *(render.line(n, ASCII) for n in o.lines)]
    )
    plain = text.replace("\x1b[32m", "").replace("\x1b[33m", "").replace("\x1b[31m", "").replace("\x1b[0m", "")
    assert plain.splitlines() == [
        "kernel",
        "------",
        "v is Linux (6.1)",
        "! has IPv6",
        "    it has none",
        "    hint: load the module",
        "proxies",
        "-------",
        "x every proxy is SYNCED",
        "    a is STALE",
        "    b is REJECTED",
        "    hint: see",
        "          the log",
    ]


def test_the_verdict():
    assert render.verdict(True, UNICODE).endswith("\x1b[32m√\x1b[0m")
    assert render.verdict(False, UNICODE).endswith("\x1b[31m×\x1b[0m")


def test_json_has_linkerds_shape():
    assert render.as_json(OUTCOMES) == {
        "success": False,
        "categories": [
            {"categoryName": "kernel", "checks": [
                {"description": "is Linux", "hint": "", "error": "", "result": "success"},
                {"description": "has IPv6", "hint": "load the module", "error": "it has none", "result": "warning"}]},
            {"categoryName": "proxies", "checks": [
                {"description": "every proxy is SYNCED", "hint": "see\nthe log", "error": "a is STALE\nb is REJECTED",
                 "result": "error"}]},
        ],
    }
    assert render.as_json(OUTCOMES[:1])["success"], "a warning does not fail the run"
