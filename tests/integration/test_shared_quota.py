"""Control plane and proxies share a quota exactly: both sides' real decisions, put together on a virtual clock.

Messages take their time to arrive; the control plane dies and comes back with nothing. What is counted is what all
proxies admit together. In a lab, with real processes: `make acceptance ONLY=shared-quota`.
"""

import heapq
import random
from itertools import count

import pytest
from tulle_control_plane.core.quota import Quotas
from tulle_data_plane.logic.leasing import Share
from tulle_plugin_api.lease import Terms
from tulle_policy_shared_quota import SharedQuotaConfig, terms

NAME = "q"


class World:
    """Proxies under load, a control plane, and what is under way between them."""

    def __init__(self, terms: Terms, rates: list[float], seed: int, delay: float = 0.002) -> None:
        self.now, self.terms, self.delay, self.chance = 0.0, terms, delay, random.Random(seed)
        self.quotas: Quotas | None = Quotas()
        self.shares = [Share(terms, 0.0) for _ in rates]
        self.admitted: list[tuple[float, int]] = []
        self._events, self._order, self._life = [], count(), 0
        for proxy, rate in enumerate(rates):
            self._connect(proxy)
            if rate:
                self._arrive(proxy, rate)

    def _later(self, seconds, function, *args):
        heapq.heappush(self._events, (self.now + seconds, next(self._order), function, args))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, function, args = heapq.heappop(self._events)
            function(*args)
        self.now = until

    def count(self, start: float, end: float) -> int:
        return sum(start <= at < end for at, _ in self.admitted)

    # --- load -------------------------------------------------------------------------------------------------------

    def _arrive(self, proxy, rate):
        share = self.shares[proxy]
        if not share.take(self.now):
            self.admitted.append((self.now, proxy))
        if share.hungry:
            self._ask(proxy)
        self._later(self.chance.expovariate(rate), self._arrive, proxy, rate)

    # --- messages -----------------------------------------------------------------------------------------------------

    def _connect(self, proxy):
        if self.quotas is not None:
            self.shares[proxy].connected(self.now)
            self._ask(proxy)
        else:
            self._later(self.chance.uniform(0, 1), self._connect, proxy)

    def _ask(self, proxy):
        tokens, owed = self.shares[proxy].ask(self.now)
        self._later(self.delay * self.chance.random(), self._asked, self._life, proxy, tokens, owed)

    def _asked(self, life, proxy, tokens, owed):
        if self.quotas is not None and life == self._life:
            for to, slice in self.quotas.ask(proxy, NAME, self.terms, tokens, owed, self.now):
                self._later(self.delay * self.chance.random(), self._told, life, to, slice)

    def _told(self, life, proxy, slice):
        if life == self._life:
            self.shares[proxy].told(slice.tokens, slice.after, slice.sharers, self.now, answer=slice.answer)

    # --- what becomes of the control plane --------------------------------------------------------------------------

    def kill(self):
        self.quotas = None
        self._life += 1
        for proxy, share in enumerate(self.shares):
            share.disconnected()
            self._later(self.chance.uniform(0, 1), self._connect, proxy)

    def start(self):
        self.quotas = Quotas()


def quota(requests=100, **given):
    return terms(SharedQuotaConfig(requests, **given))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("rates", "slices"),
    # who has less than its part of the traffic holds more of a slice at one time than at another
    [([100, 100, 100], 1), ([300, 0, 0], 1), ([30] * 10, 1), ([270, 15, 15], 3)],
    ids=str,
)
def test_ten_seconds_at_three_times_the_quota_are_within_a_slice(rates, slices, seed):
    one = quota(100)
    world = World(one, rates, seed)
    world.run(60)
    assert abs(world.count(20, 30) - 1000) <= slices * one.slice
    assert abs(world.count(20, 60) - 4000) <= slices * one.slice, "nor does it add up"


@pytest.mark.parametrize("seed", range(3))
def test_proxies_that_all_want_more_get_the_same(seed):
    world = World(quota(300), [300, 300, 300], seed)
    world.run(30)
    each = [sum(by == proxy for at, by in world.admitted if at >= 10) for proxy in range(3)]
    assert max(each) - min(each) <= 2 * 30
    assert abs(sum(each) - 6000) <= 30


def test_no_span_of_time_has_more_than_the_quota_its_burst_and_two_slices_a_proxy():
    for seed in range(20):
        chance = random.Random(seed)
        one = quota(chance.choice([20, 100, 1000]), burst=chance.choice([1, 10, 20]))
        proxies = chance.randint(1, 5)
        world = World(one, [chance.choice([0, 10, 100, 500]) for _ in range(proxies)], seed)
        world.run(20)
        times = [at for at, _ in world.admitted]
        for start in range(0, len(times), 7):
            for end in range(start, len(times), 11):
                allowed = one.burst + (times[end] - times[start]) / one.cost + 2 * one.slice * proxies
                assert end - start + 1 <= allowed


@pytest.mark.parametrize("seed", range(3))
def test_a_control_plane_that_is_killed_and_comes_back_with_nothing(seed):
    one = quota(100)
    world = World(one, [100, 100, 100], seed)
    world.run(10)
    world.kill()
    world.run(20)
    assert abs(world.count(12, 20) - 800) <= one.slice, "each its third, and together the quota"
    world.start()
    world.run(40)
    assert world.count(20, 25) <= 500 + one.burst + 3 * one.slice, "no second burst"
    assert abs(world.count(30, 40) - 1000) <= one.slice


def test_one_that_dies_again_at_once_leaves_nobody_with_all_of_it():
    one = quota(100)
    world = World(one, [100, 100, 100], 1)
    world.run(10)
    world.kill()
    for _ in range(20):
        world.run(world.now + 1)
        world.start()
        world.run(world.now + 0.3)  # long enough for some to come back and hear that few share
        world.kill()
    start = world.now
    world.run(start + 10)
    assert world.count(start, start + 10) <= 1000 + 3 * 2 * one.slice
