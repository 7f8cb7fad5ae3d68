"""Contained: a balancer whose faults cost no request. Where it does not choose well, any endpoint is as good.

Owns what happens when `pick` raises or gives what it was not offered, and when feedback raises. The mesh's own
balancers run without it: the contract's tests hold them to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tulle_plugin_api import Balancer, Endpoint, Exchange

from tulle_data_plane.blame import Blame
from tulle_data_plane.containment import Stalled, in_words, must_go_on
from tulle_data_plane.faults import Faults, Strikes


class Contained(Balancer):
    """Around a balancer that wants no feedback. See `contained`."""

    def __init__(
        self, inner: Balancer, faults: Faults, blame: Blame, strikes: Strikes, plugin: str, name: str, random: Random
    ) -> None:
        self._inner, self._faults, self._blame, self._strikes = inner, faults, blame, strikes
        self._plugin, self._name, self._random = plugin, name, random
        self._offered: Sequence[Endpoint] = ()
        self._known: frozenset[int] = frozenset()

    def pick(self, endpoints: Sequence[Endpoint], exchange: Exchange) -> Endpoint:
        """What the balancer picks, or any of `endpoints`."""
        if not (self._strikes.until and self._strikes.out()):
            try:
                picked = self._inner.pick(endpoints, exchange)
                if endpoints is not self._offered:
                    self._offered, self._known = endpoints, frozenset(map(id, endpoints))
                if id(picked) in self._known or (isinstance(picked, Endpoint) and picked in endpoints):
                    return picked
                shown = str(picked.address) if isinstance(picked, Endpoint) else type(picked).__name__
                self._faulty("nonsense", f"pick gave {shown}, which it was not offered")
            except BaseException as error:
                self._raised("pick", error)
        return self._random.choice(endpoints)

    def _raised(self, where: str, error: BaseException) -> None:
        if must_go_on(error):
            raise error
        if isinstance(error, Stalled):  # the watchdog has noted it
            self._strikes.strike()
            return
        culprit = self._blame.raised(error)
        at = f" ({culprit.where})" if culprit else ""
        self._faulty("raised", f"{where}: {in_words(error)}{at}")

    def _faulty(self, what: str, detail: str) -> None:
        self._faults.note(self._plugin, what, f"balancer {self._name}: {detail}", "any endpoint was taken")


class ContainedWithFeedback(Contained):
    """Around one that wants feedback."""

    def started(self, endpoint: Endpoint) -> None:
        """See Balancer."""
        try:
            self._inner.started(endpoint)
        except BaseException as error:
            self._raised("started", error)

    def finished(self, endpoint: Endpoint, seconds: float, failed: bool) -> None:
        """See Balancer."""
        try:
            self._inner.finished(endpoint, seconds, failed)
        except BaseException as error:
            self._raised("finished", error)


def contained(
    inner: Balancer, faults: Faults, blame: Blame, strikes: Strikes, plugin: str, name: str, random: Random
) -> Balancer:
    """`inner` within what catches its faults; only one that wants feedback gets it."""
    kind = type(inner)
    feedback = kind.started is not Balancer.started or kind.finished is not Balancer.finished
    make = ContainedWithFeedback if feedback else Contained
    return make(inner, faults, blame, strikes, plugin, name, random)
