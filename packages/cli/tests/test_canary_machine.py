"""A canary's decisions as transcripts: at which second, what callers had seen by then, and what follows."""

import pytest
from tulle_cli.canary.machine import ACTIONS, Action, Progress, Seen, Verdict, decide, judge, window
from tulle_cli.canary.plan import Plan, fewest, steps_of

PLAN = Plan(steps=(5, 50, 100), every=30.0, min_success=99.5, max_p99=0.05, min_requests=100)


def play(text: str, plan: Plan = PLAN) -> str:
    """Run the left half of each line ("second: requests failures p99-in-ms", "-" for no figures); what comes of it."""
    progress, lines = Progress(0, 0.0), []
    for line in text.strip().splitlines():
        told = line.partition("|")[0].strip()
        at, _, figures = told.partition(":")
        requests, failures, p99 = (figures.split() + ["-"] * 3)[:3]
        seen = None if requests == "-" else Seen(int(requests), int(failures), None if p99 == "-" else float(p99) / 1e3)
        decision = decide(plan, progress, seen, float(at))
        lines.append(f"{told:<18} | {plan.steps[progress.step]:>3}% {decision.action.value}: {decision.why}")
        if decision.action is Action.ADVANCE:
            progress = Progress(progress.step + 1, float(at))
        elif decision.action is not Action.HOLD:
            break
    return "\n".join(lines)


def expect(text: str, plan: Plan = PLAN) -> None:
    wanted = "\n".join(line.strip() for line in text.strip().splitlines())
    assert play(text, plan) == wanted


def test_a_good_version_goes_all_the_way():
    expect("""
        5: 120 0 10        |   5% hold: 120 requests, 100.00% succeeded, p99 10ms
        29: 700 2 10       |   5% hold: 700 requests, 99.71% succeeded, p99 10ms
        30: 720 2 10       |   5% advance: 720 requests, 99.72% succeeded, p99 10ms
        40: 500 0 10       |  50% hold: 500 requests, 100.00% succeeded, p99 10ms
        60: 7000 0 10      |  50% advance: 7000 requests, 100.00% succeeded, p99 10ms
        90: 9000 9 50      | 100% finish: 9000 requests, 99.90% succeeded, p99 50ms
    """)


def test_it_holds_while_too_few_requests_came_and_goes_on_as_soon_as_enough_have():
    expect("""
        3: -               |   5% hold: there are no figures to judge by
        10: 0 0            |   5% hold: 0 of 100 requests: too few to judge
        31: 12 0 10        |   5% hold: 12 of 100 requests: too few to judge
        300: 99 0 900      |   5% hold: 99 of 100 requests: too few to judge
        301: 100 0 10      |   5% advance: 100 requests, 100.00% succeeded, p99 10ms
    """)


def test_a_missed_bar_rolls_back_at_once_and_not_at_the_end_of_the_step():
    expect("""
        5: 150 0 10        |   5% hold: 150 requests, 100.00% succeeded, p99 10ms
        6: 200 2 10        |   5% roll back: 2 of 200 requests failed: success 99.00% is below 99.5%
    """)


def test_exactly_at_the_bar_is_met_and_one_more_failure_is_not():
    assert judge(PLAN, Seen(1000, 5, 0.05))[0] is Verdict.MET
    assert judge(PLAN, Seen(1000, 6, 0.05))[0] is Verdict.MISSED
    assert judge(PLAN, Seen(999, 5, 0.05))[0] is Verdict.MISSED
    assert judge(PLAN, Seen(1000, 5, 0.0501)) == (Verdict.MISSED, "p99 50.1ms is above 50ms")


def test_a_version_that_only_fails_costs_no_more_than_the_bar_allows_of_the_fewest_requests():
    plan = Plan(min_success=99.0, min_requests=500)  # 5 failures are allowed
    expect(
        """
        4: 5 5 1           |   5% hold: 5 of 500 requests: too few to judge
        5: 6 6 1           |   5% roll back: 6 of 6 requests failed: too many already for 99% of 500
        """,
        plan,
    )


def test_latency_is_judged_only_with_enough_requests():
    expect("""
        10: 99 0 800       |   5% hold: 99 of 100 requests: too few to judge
        11: 100 0 51       |   5% roll back: p99 51ms is above 50ms
    """)
    assert judge(Plan(), Seen(100, 0, 60.0))[0] is Verdict.MET  # nobody asked
    assert judge(PLAN, Seen(100, 0, None))[0] is Verdict.MISSED  # asked, and cannot be told


def test_without_figures_it_neither_advances_nor_rolls_back():
    expect("""
        31: -              |   5% hold: there are no figures to judge by
        4000: -            |   5% hold: there are no figures to judge by
        4001: 720 0 10     |   5% advance: 720 requests, 100.00% succeeded, p99 10ms
    """)


def test_the_last_step_is_watched_too():
    expect("""
        30: 200 0 10       |   5% advance: 200 requests, 100.00% succeeded, p99 10ms
        60: 200 0 10       |  50% advance: 200 requests, 100.00% succeeded, p99 10ms
        89: 200 9 10       | 100% roll back: 9 of 200 requests failed: success 95.50% is below 99.5%
    """)


def test_a_clock_that_runs_backwards_only_makes_it_wait():
    decision = decide(PLAN, Progress(0, 1000.0), Seen(500, 0, 0.01), 900.0)
    assert decision.action is Action.HOLD


def test_the_first_seconds_after_a_change_are_not_this_step_s():
    assert window(Progress(0, 100.0), 100.5) is None
    assert window(Progress(0, 100.0), 102.9) is None
    assert window(Progress(0, 100.0), 103.0) == 1.0
    assert window(Progress(0, 100.0), 132.0) == 30.0
    assert window(Progress(0, 100.0), 99_999.0) == 600.0
    assert window(Progress(0, 100.0), 0.0) is None


def test_every_case_has_its_action():
    assert set(ACTIONS) == {(v, over, last) for v in Verdict for over in (False, True) for last in (False, True)}
    assert all((action is Action.ROLL_BACK) == (key[0] is Verdict.MISSED) for key, action in ACTIONS.items())
    assert {key for key, action in ACTIONS.items() if action in (Action.ADVANCE, Action.FINISH)} == {
        (Verdict.MET, True, False), (Verdict.MET, True, True),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": ()}, "rising percentages"),
        ({"steps": (5, 5)}, "rising percentages"),
        ({"steps": (50, 5)}, "got 50,5"),
        ({"steps": (0, 5)}, "from 1 to 100"),
        ({"steps": (50, 101)}, "at most 100"),
        ({"every": 0.5}, "1s or more"),
        ({"min_success": 0}, "above 0"),
        ({"min_success": 100.1}, "at most 100"),
        ({"max_p99": 0}, "above 0"),
        ({"max_p99": 61}, "at most 60s"),
        ({"min_requests": 0}, "1 or more"),
    ],
)
def test_bad_plans_are_told_what_would_be_right(changes, words):
    with pytest.raises(ValueError, match=words):
        Plan(**changes)


def test_steps_from_words():
    assert steps_of("5,25%, 100") == (5, 25, 100)
    with pytest.raises(ValueError, match="such as 5,25,50,100, got 'five'"):
        steps_of("five")


def test_a_plan_survives_json_and_says_what_differs():
    assert Plan.from_json(PLAN.to_json()) == PLAN
    assert Plan(every=10.0).differences(Plan()) == ["every 10.0 instead of 30.0"]
    assert PLAN.differences(PLAN) == []


@pytest.mark.parametrize(("bar", "requests"), [(90, 100), (99, 100), (99.5, 200), (99.9, 1000), (100, 100)])
def test_one_failure_is_allowed_among_the_fewest_requests(bar, requests):
    assert fewest(bar) == requests
    plan = Plan(min_success=bar, min_requests=fewest(bar))
    assert judge(plan, Seen(requests, 1, 0.01))[0] is (Verdict.MISSED if bar == 100 else Verdict.MET)
