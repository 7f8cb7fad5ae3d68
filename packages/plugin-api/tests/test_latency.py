"""Histograms: bounds, counting, quantiles."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_plugin_api.latency import BUCKET_COUNT, LATENCY_BUCKETS, bucket, quantile


def test_bounds_ascend_and_no_step_is_wider_than_double():
    steps = [upper / lower for lower, upper in pairwise(LATENCY_BUCKETS)]
    assert min(steps) > 1
    assert max(steps) <= 2
    assert len(LATENCY_BUCKETS) == BUCKET_COUNT - 1


@given(st.floats(0, 100))
def test_a_bucket_holds_what_is_at_most_its_bound(seconds):
    index = bucket(seconds)
    assert index == BUCKET_COUNT - 1 or seconds <= LATENCY_BUCKETS[index]
    assert index == 0 or seconds > LATENCY_BUCKETS[index - 1]


@given(st.lists(st.floats(0.0001, 59), min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(observed, q):
    counts = [0] * BUCKET_COUNT
    for seconds in observed:
        counts[bucket(seconds)] += 1
    rank = max(1, -(-q * len(observed) // 1))  # the nearest-rank quantile
    true = bucket(sorted(observed)[int(rank) - 1])
    found = quantile(q, counts)
    lower = LATENCY_BUCKETS[true - 1] if true else 0.0
    assert lower <= found <= LATENCY_BUCKETS[true] * (1 + 1e-9)


def test_nothing_counted_has_no_quantile():
    assert quantile(0.5, [0] * BUCKET_COUNT) is None


def test_above_the_last_bound_at_least_that():
    assert quantile(0.99, [0] * (BUCKET_COUNT - 1) + [5]) == LATENCY_BUCKETS[-1]


@pytest.mark.parametrize(("q", "counts"), [(0.5, [1]), (-0.1, [0] * BUCKET_COUNT), (1.1, [1] * BUCKET_COUNT)])
def test_what_is_no_histogram_or_no_quantile(q, counts):
    with pytest.raises(ValueError, match=r"a latency histogram has|a quantile is between"):
        quantile(q, counts)
