"""The token bucket that all sides count with, and the lease that tests are given. Times are passed in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tulle_plugin_api.lease import Bucket, OwnLease, Terms

TEN = Terms(10, 1, 5, 2)  # a token in 100 ms, 5 at most


def test_a_full_bucket_gives_its_burst_and_an_empty_one_nothing():
    full, empty = Bucket(), Bucket(100.0)
    assert (full.due(5, TEN, 100), full.due(6, TEN, 100)) == (0.0, pytest.approx(0.1))
    assert empty.due(1, TEN, 100) == pytest.approx(0.1)
    assert (full.full(TEN, 100), empty.full(TEN, 100), empty.full(TEN, 100.5)) == (True, False, True)


def test_what_is_taken_ahead_comes_in_one_after_the_other():
    bucket = Bucket(100.0)
    assert [bucket.take(2, TEN, 100) for _ in range(3)] == [pytest.approx(due) for due in (0.2, 0.4, 0.6)]
    assert bucket.take(2, TEN, 100.7) == pytest.approx(0.1)


def test_to_look_takes_nothing():
    bucket = Bucket(100.0)
    assert bucket.due(3, TEN, 100) == bucket.due(3, TEN, 100)


def test_equal_shares_are_the_whole():
    share = TEN.share(4)
    assert (share.requests * 4, share.burst, share.cost) == (10, 1.25, pytest.approx(0.4))
    assert TEN.share(100).burst == 1.0, "a bucket that never holds a whole token would admit nobody"


@settings(deadline=None)
@given(
    st.integers(1, 50), st.floats(0.1, 60), st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 60)), max_size=50), st.floats(0, 4e9),
)
def test_no_span_of_time_gives_more_than_the_bucket_holds(requests, per, burst, asks, start):
    bucket, terms, now, given = Bucket(), Terms(requests, per, burst, 1), start, []
    for gap, tokens in asks:
        now += gap
        given.append((now + bucket.take(tokens, terms, now), tokens))  # when they may be used
    for first in range(len(given)):
        for last in range(first, len(given)):
            # of the first only the last token need have come in when it is used
            tokens = sum(tokens for _, tokens in given[first + 1 : last + 1]) + 1
            assert tokens <= burst + (given[last][0] - given[first][0]) * requests / per + 1 + 1e-3


def test_a_lease_that_shares_with_nobody():
    now = [100.0]
    lease = OwnLease(TEN, lambda: now[0])
    assert [lease.take() for _ in range(6)] == [0.0] * 5 + [pytest.approx(0.1)]
    now[0] += 0.1
    assert [lease.take() for _ in range(2)] == [0.0, pytest.approx(0.1)]
