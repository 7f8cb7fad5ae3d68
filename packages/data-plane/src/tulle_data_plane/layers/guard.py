"""Guard: around one policy, so that its own faults are told apart from what it passes on, and harm one request at most.

Owns what becomes of a request whose policy raises, answers nonsense, or never returns: denied, or passed on as if the
policy were not there (`Policy.on_failure`). Sits directly around a policy, and directly below it, so that time and
errors of what is further in are never its own. The mesh's own policies that are closed run without one: the contract's
tests hold them to what a guard checks, and what they raise all the same denies the request in `rescue`.

    rescue ... -> Guard.around -> the policy -> Guard.below -> ... dial
"""

from __future__ import annotations

from typing import Any

from tulle_plugin_api import Exchange, Failure, Handler, Headers, Response

from tulle_data_plane.blame import Blame
from tulle_data_plane.containment import Overdue, Stalled, in_words, must_go_on
from tulle_data_plane.driver import Driver
from tulle_data_plane.errors import PolicyFailed
from tulle_data_plane.faults import Faults, Strikes
from tulle_data_plane.strands import Strand


class Visit:
    """One request in one policy."""

    __slots__ = ("answer", "below", "failure", "since", "strand")

    def __init__(self, strand: Strand, since: float) -> None:
        self.strand = strand
        self.since = since  # when the policy had control last
        self.below = 0  # calls of `next` under way
        self.answer: Response | None = None  # what `next` gave last
        self.failure: BaseException | None = None  # or raised


class Guard:
    """One policy of one route or port. `sweep` must be called now and then."""

    def __init__(
        self,
        driver: Driver,
        faults: Faults,
        blame: Blame,
        plugin: str,
        name: str,
        *,
        fails_open: bool,
        patience: float,
    ) -> None:
        """`plugin`: as `tulle plugins list` names it; `name`: of the policy."""
        self._driver, self._faults, self._blame = driver, faults, blame
        self._plugin, self._name = plugin, name
        self._open, self._patience = fails_open, patience
        self._strikes = Strikes(faults, plugin, lambda: driver.now())
        self._visits: dict[Exchange, Visit] = {}

    # --- below the policy --------------------------------------------------------------------------------

    def below(self, next: Handler) -> Handler:
        """What the policy gets as its `next`: remembers what came of it."""
        visits, driver = self._visits, self._driver

        async def handler(exchange: Exchange) -> Response:
            visit = visits.get(exchange)
            if visit is None:  # another exchange than its own: a copy, beside the request
                return await next(exchange)
            visit.below += 1
            try:
                visit.answer = answer = await next(exchange)
                visit.failure = None
                return answer
            except BaseException as error:
                visit.answer, visit.failure = None, error
                raise
            finally:
                visit.below -= 1
                visit.since = driver.now()

        return handler

    # --- around it ---------------------------------------------------------------------------------------

    def around(self, policy: Handler, next: Handler) -> Handler:
        """`policy`, contained. `next` is what it stands before, for when it is to be passed by."""
        driver, visits, strikes = self._driver, self._visits, self._strikes

        async def handler(exchange: Exchange) -> Response:
            if strikes.until and strikes.out():
                if self._open:
                    return await next(exchange)
                raise PolicyFailed(f"policy {self._name} is suspended, since it was stuck too often")
            visit = visits[exchange] = Visit(driver.current_strand(), driver.now())
            try:
                answer = await policy(exchange)
                if _can_be_sent(answer):
                    return answer
                what, detail = "nonsense", f"its handler gave {_shown(answer)}, not a Response that can be sent"
            except Failure:
                raise  # in the contract's words: its own decision, or what it passes on
            except Overdue as overdue:
                if overdue.visit is not visit:
                    raise
                what, detail = "overdue", f"nothing from it within {self._patience:g} s of its own"
            except BaseException as error:
                failure = visit.failure
                if failure is not None and _only(error, failure):
                    raise failure from None
                if must_go_on(error):
                    raise
                what, detail = "stalled" if isinstance(error, Stalled) else "raised", self._located(error)
            finally:
                if visits.get(exchange) is visit:
                    del visits[exchange]
                if visit.strand.pending.__class__ is Overdue:
                    visit.strand.pending = None  # it came to an end by itself just then
            if what in ("overdue", "stalled"):
                strikes.strike()
            then = "the request went on without it" if self._open else "the request was denied"
            if what != "stalled":  # the watchdog has noted that one
                self._faults.note(self._plugin, what, f"policy {self._name}: {detail}", then)
            if not self._open:
                if visit.answer is not None and not isinstance(visit.answer.body, bytes):
                    await visit.answer.body.aclose()
                raise PolicyFailed(f"policy {self._name} {_SAID[what]}")
            if visit.answer is not None:
                return visit.answer
            if visit.failure is not None:
                raise visit.failure
            return await next(exchange)

        return handler

    def sweep(self, now: float) -> None:
        """Interrupt requests that have been in the policy's own hands for too long. Not from a strand."""
        late = now - self._patience
        for visit in list(self._visits.values()):
            if not visit.below and visit.since <= late and visit.strand.pending is None:
                self._driver.interrupt(visit.strand, Overdue(visit))

    def _located(self, error: BaseException) -> str:
        culprit = self._blame.raised(error)
        return f"{in_words(error)} ({culprit.where})" if culprit else in_words(error)


_SAID = {
    "nonsense": "gave no answer that can be sent",
    "overdue": "did not come to an end",
    "raised": "failed",
    "stalled": "blocked the proxy",
}
"""For clients: what went wrong inside is for the log."""


def _can_be_sent(answer: Any) -> bool:
    return (
        isinstance(answer, Response)
        and type(answer.status) is int
        and 100 <= answer.status <= 599
        and isinstance(answer.headers, Headers)
        and (isinstance(answer.body, bytes) or (hasattr(answer.body, "read") and hasattr(answer.body, "aclose")))
    )


def _shown(answer: Any) -> str:
    if isinstance(answer, Response):
        return (
            f"a Response with status {answer.status!r:.40}, headers of type {type(answer.headers).__name__} and a body "
            f"of type {type(answer.body).__name__}"
        )
    return type(answer).__name__


def _only(error: BaseException, failure: BaseException) -> bool:
    """Is `error` nothing but `failure`, perhaps in groups, as trio's nurseries wrap it?"""
    if isinstance(error, BaseExceptionGroup):
        return all(_only(one, failure) for one in error.exceptions)
    return error is failure
