"""The budget alone: what it admits, for any sequence of events."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tulle_policy_retry import Budget

events = st.lists(
    st.tuples(st.floats(0, 3), st.sampled_from(["request", "request", "request", "withdraw", "refund"])), max_size=300
)


@settings(deadline=None)  # on a busy machine any example may be slow
@given(events, st.sampled_from([0.0, 0.2, 1.0]), st.sampled_from([0.0, 0.5, 2.0]), st.sampled_from([1.0, 10.0]))
def test_failed_retries_are_bounded_whatever_happens(happened, ratio, per_second, window):
    start = now = 1000.0
    budget = Budget(ratio, per_second, window)
    requests, spent = [], []
    for passed, what in happened:
        now += passed
        if what == "request":
            budget.request(now)
            requests.append(now)
        elif what == "withdraw":
            if budget.withdraw(now):
                spent.append(now)
                least = per_second * (now - start) + (max(1, per_second) if per_second else 0)
                assert len(spent) <= ratio * len(requests) + least + 1e-6
            else:
                # a request's share is never lost while its slot is in the window, unless it was spent
                recent = sum(at > now - window * 0.8 for at in requests)
                taken = sum(at > now - window * 1.2 for at in spent)
                assert taken + max(1, per_second) + 1 > ratio * recent - 1e-6
        elif spent:
            spent.pop(0)
            budget.refund()


@settings(deadline=None)
@given(st.floats(6, 100), st.integers(1, 10))
def test_the_larger_of_both_bounds_holds_and_not_their_sum(rate, attempts):
    """20% of `rate` is more than 1 a second: then 20% it is, once the first second's tokens are paid back."""
    budget, spent = Budget(0.2, 1, 10), 0
    count = int(rate * 60)
    for number in range(count):
        budget.request(number / rate)
        spent += sum(budget.withdraw(number / rate) for _ in range(attempts))
    assert 0.2 * count - 2 <= spent <= 0.2 * count + 1


def test_good_times_leave_a_windows_worth():
    budget = Budget(0.2, 0, 10)
    for number in range(10_000):
        budget.request(number / 100)
    assert sum(budget.withdraw(100) for _ in range(1000)) in range(180, 201)
    assert not budget.withdraw(100)


def test_what_is_left_is_forgotten_with_the_window():
    budget = Budget(0.2, 0, 10)
    for _ in range(100):
        budget.request(0)
    assert budget.withdraw(9)
    assert not budget.withdraw(11)


def test_a_refund_is_a_token():
    budget = Budget(0.2, 0, 10)
    for _ in range(5):
        budget.request(0)
    assert budget.withdraw(0)
    assert not budget.withdraw(0)
    budget.refund()
    assert budget.withdraw(0)


def test_time_fills_a_seconds_worth_and_no_more():
    budget = Budget(0, 10, 10)
    assert sum(budget.withdraw(1000) for _ in range(50)) == 10
    assert sum(budget.withdraw(1000.5) for _ in range(50)) == 5
    assert sum(budget.withdraw(2000) for _ in range(50)) == 10


@pytest.mark.parametrize("start", [0.0, 12345.678, 3e9])
def test_any_clock_will_do(start):
    budget = Budget(0.2, 0, 10)
    for number in range(100):
        budget.request(start + number * 0.05)
    assert sum(budget.withdraw(start + 5) for _ in range(100)) == 20
