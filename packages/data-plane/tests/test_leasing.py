"""Parts of quotas: when one asks, what one admits, alone and not. Times are passed in; streams are on a mock clock."""

import gc
from contextlib import asynccontextmanager
from itertools import count

import pytest
import trio
from tulle_api.v1 import quota_pb2 as pb
from tulle_data_plane.logic.leasing import PATIENCE, SETTLED, UNKNOWN, Share
from tulle_data_plane.shell.leasing import RELEASE_SECONDS, Leases
from tulle_plugin_api import Terms
from tulle_trio_grpc import Backoff, open_channel
from tulle_trio_grpc.testing import Abort, memory_server

TERMS = Terms(100, 1, 20, 10)
OTHER = Terms(5, 1, 3, 1)


def taken(share, now, most=1000):
    """How many are admitted at once."""
    return next(n for n in range(most + 1) if n == most or share.take(now))


def leased(now=100.0, terms=TERMS, sharers=1):
    """A share that is answered, with nothing left of what it began with."""
    share = Share(terms, now)
    share.connected(now)
    assert share.ask(now) == (0, terms.slice)
    share.told(0, 0.0, sharers, now, answer=True)
    assert taken(share, now) == terms.slice
    return share


# --- leased -----------------------------------------------------------------------------------------------------------


def test_it_begins_with_a_slice_that_it_owns_up_to():
    share = Share(TERMS, 100.0)
    assert taken(share, 100.0) == 10
    share.connected(100.0)
    assert share.ask(100.0) == (10, 10)
    share.told(10, 0.2, 3, 100.0, answer=True)
    share.disconnected()
    share.connected(101.0)
    assert share.ask(101.0) == (0, 0), "said once; and a slice is still to come"


def test_it_asks_when_half_a_slice_is_left_and_once():
    share = Share(TERMS, 100.0)
    assert not share.hungry, "nobody to ask"
    share.connected(100.0)
    share.ask(100.0)
    share.told(0, 0.0, 1, 100.0, answer=True)
    left = []
    while not share.hungry:
        assert share.take(100.0) == 0.0
        left.append(share.tokens)
    assert left[-1] == 5
    assert share.ask(100.0) == (10, 0)
    assert not share.hungry
    share.told(10, 0.5, 1, 100.0, answer=True)
    assert not share.hungry, "a slice is to come"
    share.take(100.6)
    assert (share.tokens, share.hungry) == (14, False)


def test_a_slice_counts_from_its_date():
    share = leased()
    share.ask(100.0)
    share.told(10, 0.5, 1, 100.0, answer=True)
    assert share.take(100.2) == pytest.approx(0.3)
    assert taken(share, 100.5) == 10
    assert share.take(100.5) > 0


def test_an_ask_that_is_under_way_is_waited_for_a_moment_and_then_it_is_alone():
    share = leased(sharers=2)
    share.ask(100.0)
    assert share.take(100.0 + PATIENCE) == pytest.approx(0.02)
    assert not share.alone(100.0 + PATIENCE)
    now = 100.1 + PATIENCE
    assert share.alone(now)
    assert taken(share, now) == 0, "its own bucket begins empty"
    assert taken(share, now + 0.1) == 5, "half of 100 a second"
    share.told(10, 0.0, 2, now + 0.1, answer=True)
    assert taken(share, now + 0.1) == 10


def test_news_are_no_answer():
    share = leased()
    share.ask(100.0)
    share.told(0, 0.0, 4, 100.0, answer=False)
    assert share.sharers == 4
    assert share.alone(100.1 + PATIENCE)


# --- alone ------------------------------------------------------------------------------------------------------------


def admitted_alone(share, now, seconds):
    return sum(taken(share, now + millisecond / 1000) for millisecond in range(seconds * 1000 + 1))


@pytest.mark.parametrize(("sharers", "rate"), [(1, 100), (3, 100 / 3), (50, 2)])
def test_alone_it_admits_its_part(sharers, rate):
    share = leased(sharers=sharers)
    share.disconnected()
    assert abs(admitted_alone(share, 200.0, 10) - rate * 10) <= 1


def test_all_parts_together_are_the_quota():
    shares = [leased(sharers=7) for _ in range(7)]
    for share in shares:
        share.disconnected()
    assert sum(admitted_alone(share, 200.0, 10) for share in shares) in range(1000 - 7, 1001)


def test_what_it_holds_is_used_first_and_a_slice_to_come_too():
    share = leased()
    share.ask(100.0)
    share.told(10, 5.0, 1, 100.0, answer=True)
    share.disconnected()
    assert taken(share, 101.0) == 0
    assert taken(share, 106.0) == 10 + 20, "the slice, and what its own bucket holds at most"


def test_one_that_was_never_told_how_many_share_takes_a_tenth():
    share = Share(TERMS, 100.0)
    assert taken(share, 100.0) == 10
    assert share.take(100.0 + PATIENCE) > 0
    assert abs(admitted_alone(share, 102.0, 10) - 1000 / UNKNOWN) <= 1


def test_a_control_plane_that_has_just_come_back_has_not_heard_of_all():
    share = leased(sharers=3)
    share.disconnected()
    share.connected(200.0)
    share.ask(200.0)
    share.told(0, 0.0, 1, 200.0, answer=True)
    assert share.sharers == 3, "the first to come back would take all of it, should the control plane go again"
    share.told(0, 0.0, 5, 201.0, answer=False)
    assert share.sharers == 5
    share.told(0, 0.0, 1, 200.0 + SETTLED, answer=False)
    assert share.sharers == 1


# --- the stream -------------------------------------------------------------------------------------------------------


class Served:
    """A control plane by hand: what it was asked, and `answer` to what it says."""

    def __init__(self):
        self.streams, self.heard, self.up = 0, [], True
        self.news = trio.Event()

    async def lease(self, call):
        if not self.up:
            raise Abort("UNAVAILABLE", "away")
        self.streams += 1
        while (data := await call.receive()) is not None:
            message = pb.LeaseRequest.FromString(data)
            self.heard.append(
                ([(ask.quota, ask.tokens, ask.taken) for ask in message.asks], list(message.release))
            )
            slices = [
                pb.QuotaSlice(quota=ask.quota, tokens=ask.tokens, after_seconds=0.0, sharers=2, answer=True)
                for ask in message.asks
            ]
            await call.send(pb.LeaseResponse(slices=slices).SerializeToString())


@asynccontextmanager
async def leasing():
    served, leases = Served(), Leases(trio.current_time)
    async with (
        memory_server({"/tulle.v1.Quota/Lease": served.lease}) as server,
        open_channel("test:1", dial_with=server.dial, backoff=Backoff(longest=1.0)) as channel,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(leases.run, channel)
        served.server = server
        yield served, leases
        nursery.cancel_scope.cancel()


Q = "policy app-b requests"
QUOTA = f"{Q} 100/1s burst 20 by 10"


@pytest.mark.trio
async def test_nothing_is_opened_before_a_policy_wants_a_lease(autojump_clock):
    async with leasing() as (served, leases):
        await trio.sleep(100)
        assert served.streams == 0
        lease = leases.lease(Q, TERMS)
        await trio.sleep(0.01)
        assert served.heard == [([(QUOTA, 0, 10)], [])]
        assert [lease.take() for _ in range(20)] == [0.0] * 10 + [pytest.approx(0.02)] * 10
        await trio.sleep(0.01)
        assert served.heard[1:] == [([(QUOTA, 10, 0)], [])]
        assert lease.take() == 0.0
        assert leases.describe() == {QUOTA: {"tokens": 9, "sharers": 2, "alone": False}}


@pytest.mark.trio
async def test_the_same_quota_in_two_handlers_is_one_lease_and_other_terms_are_another(autojump_clock):
    async with leasing() as (_, leases):
        first = leases.lease(Q, TERMS)
        assert leases.lease(Q, TERMS) is first
        assert leases.lease(Q, OTHER) is not first, "a configuration that is refused must not starve the one in force"


@pytest.mark.trio
async def test_a_lease_that_no_handler_holds_is_released(autojump_clock):
    async with leasing() as (served, leases):
        kept, gone = leases.lease(Q, TERMS), leases.lease(Q, OTHER)
        await trio.sleep(1)
        assert len(served.heard) == 1
        del gone
        gc.collect()
        await trio.sleep(RELEASE_SECONDS)
        assert served.heard[1:] == [([], [f"{Q} 5/1s burst 3 by 1"])]
        assert kept.take() == 0.0


@pytest.mark.trio
async def test_a_control_plane_that_goes_and_comes_back(autojump_clock, caplog):
    async with leasing() as (served, leases):
        lease = leases.lease(Q, TERMS)
        await trio.sleep(1)
        served.up = False
        served.server.drop_connections()
        await trio.sleep(1)
        assert leases.describe()[QUOTA]["alone"]
        while lease.take() == 0.0:
            pass
        start = trio.current_time()
        admitted = 0
        for _ in range(1000):
            await trio.sleep(0.01)
            admitted += lease.take() == 0.0
        assert abs(admitted - (trio.current_time() - start) * 50) <= 1, "half of 100 a second"
        assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
            "nobody leases quotas; this proxy keeps to its part of them"
        ], "said once, not at each try"
        served.up = True
        await trio.sleep(5)
        assert served.heard[-1] == ([(QUOTA, 10, 0)], []), "asked anew, owing nothing"
        assert not leases.describe()[QUOTA]["alone"]
        assert [lease.take() for _ in range(11)].count(0.0) == 10


@pytest.mark.parametrize("terms", [Terms(0, 1, 1, 1), Terms(1, 1, 1, 0), Terms(1, -1, 1, 1)])
def test_terms_that_make_no_sense_are_refused(terms):
    with pytest.raises(ValueError, match="a quota's terms are more than 0"):
        Leases(count().__next__).lease("x", terms)
