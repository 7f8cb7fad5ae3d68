"""A canary's decisions: hold, advance, finish, or roll back. Pure: what was seen and the time are passed in.

Owns what the bars mean, and the one table from a verdict to what is done. Refuses to know routes, proxies and clocks.

    held long enough?          no                 yes
    bars met                   hold               advance, or finish at the last step
    too few requests           hold               hold, and say so
    no figures at all          hold               hold, and say so
    a bar is missed            roll back          roll back

Fine here: a bar is compared with what was counted, not with what the old version does in the same minutes; a
production tool would also test whether the two differ by more than chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tulle_cli.canary.plan import Plan
from tulle_cli.figures import latency, percent

SETTLE = 2.0
"""Seconds after a change of weights that are not judged: proxies hear of it within one and report once a second, so
what is counted until then may belong to the step before."""
LONGEST_WINDOW = 600.0
"""Seconds that the control plane remembers. A longer step is judged by its last ten minutes."""


@dataclass(frozen=True)
class Progress:
    """Where it is: the step's index, and when its weights were written (Unix seconds)."""

    step: int
    since: float


@dataclass(frozen=True)
class Seen:
    """What callers saw of the canary at this step. `p99`: seconds, None for no requests."""

    requests: int
    failures: int
    p99: float | None = None

    @property
    def success(self) -> float | None:
        """0 to 1; None for no requests."""
        return (self.requests - self.failures) / self.requests if self.requests else None

    def __str__(self) -> str:
        if not self.requests:
            return "no requests"
        return f"{self.requests} requests, {percent(self.success)} succeeded, p99 {latency(self.p99) or 'unknown'}"


class Verdict(Enum):
    """What the figures say of the canary."""

    MET = "bars met"
    TOO_FEW = "too few requests to judge"
    UNKNOWN = "no figures"
    MISSED = "a bar is missed"


class Action(Enum):
    """What is to be done."""

    HOLD = "hold"
    ADVANCE = "advance"
    FINISH = "finish"
    ROLL_BACK = "roll back"


# (verdict, held long enough, at the last step) -> action
ACTIONS: dict[tuple[Verdict, bool, bool], Action] = {
    (verdict, over, last): action
    for verdict, before, after, at_last in (
        (Verdict.MET, Action.HOLD, Action.ADVANCE, Action.FINISH),
        (Verdict.TOO_FEW, Action.HOLD, Action.HOLD, Action.HOLD),
        (Verdict.UNKNOWN, Action.HOLD, Action.HOLD, Action.HOLD),
        (Verdict.MISSED, Action.ROLL_BACK, Action.ROLL_BACK, Action.ROLL_BACK),
    )
    for over, last, action in (
        (False, False, before), (False, True, before), (True, False, after), (True, True, at_last),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """What is to be done, by which verdict, and one sentence why."""

    action: Action
    verdict: Verdict
    why: str


def window(progress: Progress, now: float) -> float | None:
    """Seconds back from `now` that belong to this step; None while there is nothing to look at yet."""
    seconds = now - progress.since - SETTLE
    return min(seconds, LONGEST_WINDOW) if seconds >= 1 else None


def judge(plan: Plan, seen: Seen | None) -> tuple[Verdict, str]:
    """What the figures say, and why.

    A canary that fails need not fail often: once more requests have failed than `min_requests` good and bad ones
    together could make up for, the verdict is clear, and nobody else is made to pay for it.
    """
    if seen is None:
        return Verdict.UNKNOWN, "there are no figures to judge by"
    allowed = (100 - plan.min_success) / 100 * max(seen.requests, plan.min_requests)
    if seen.failures > allowed + 1e-9:
        of = f"{seen.failures} of {seen.requests} requests failed"
        if seen.requests < plan.min_requests:
            return Verdict.MISSED, f"{of}: too many already for {plan.min_success:g}% of {plan.min_requests}"
        return Verdict.MISSED, f"{of}: success {percent(seen.success)} is below {plan.min_success:g}%"
    if seen.requests < plan.min_requests:
        return Verdict.TOO_FEW, f"{seen.requests} of {plan.min_requests} requests: too few to judge"
    if plan.max_p99 is not None and (seen.p99 is None or seen.p99 > plan.max_p99):
        p99 = "unknown" if seen.p99 is None else f"{seen.p99 * 1000:.4g}ms"  # 50.1, where the bar is 50
        return Verdict.MISSED, f"p99 {p99} is above {plan.max_p99 * 1000:g}ms"
    return Verdict.MET, str(seen)


def decide(plan: Plan, progress: Progress, seen: Seen | None, now: float) -> Decision:
    """What is to be done now. Time that runs backwards only makes it wait."""
    verdict, why = judge(plan, seen)
    over = now - progress.since >= plan.every
    action = ACTIONS[verdict, over, progress.step == len(plan.steps) - 1]
    return Decision(action, verdict, why)
