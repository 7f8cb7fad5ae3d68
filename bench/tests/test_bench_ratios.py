"""Ratios are of one round, and what was not measured is no ratio."""

import pytest

from bench import ratios
from bench.ratios import Ratio

ROWS = {
    "row": {
        "tulle": [{"cpu": 2.0, "rate": 10.0}, {"cpu": 9.0}, {"cpu": 3.0}],
        "envoy": [{"cpu": 4.0, "rate": 5.0}, {"cpu": 9.0}, {"cpu": 12.0}],
        "broken": [{"cpu": 0.0}],
    }
}


def test_each_round_is_related_to_the_same_round_of_the_other():
    # by medians it would be 3 / 9; round by round it is the median of 0.5, 1 and 0.25
    assert ratios.ratio(ROWS, "row", "cpu", "tulle", "envoy") == Ratio(0.5, 0.25, 1.0, 3)


def test_rounds_without_the_metric_do_not_count():
    assert ratios.ratio(ROWS, "row", "rate", "tulle", "envoy") == Ratio(2.0, 2.0, 2.0, 1)


@pytest.mark.parametrize(
    ("row", "metric", "subject", "base"),
    [("other", "cpu", "tulle", "envoy"), ("row", "p50", "tulle", "envoy"), ("row", "cpu", "nginx", "envoy"),
     ("row", "cpu", "tulle", "nginx"), ("row", "cpu", "tulle", "broken")],
)
def test_what_was_not_measured_is_none(row, metric, subject, base):
    assert ratios.ratio(ROWS, row, metric, subject, base) is None


def test_a_value_is_of_one_subject():
    assert ratios.value(ROWS, "row", "cpu", "envoy") == Ratio(9.0, 4.0, 12.0, 3)
    assert ratios.value(ROWS, "row", "p50", "envoy") is None


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(Ratio(0.5, 0.25, 1.0, 3), "0.50 (0.25-1.00)"), (Ratio(0.126, 0.126, 0.126, 1), "0.13"),
     (Ratio(33.4, 9.99, 120.0, 2), "33 (9.99-120)")],
)
def test_how_a_ratio_is_written(ratio, text):
    assert str(ratio) == text
