"""What comes next, and after which pause: nothing spins, nothing waits for ever."""

import itertools
import random

import pytest
from tulle_catalog_kubernetes.course import ABSENT, LONGEST, WATCH_SECONDS, Course


@pytest.fixture(params=[0, 1, 2])
def course(request):
    return Course(random.Random(request.param))


def test_pauses_grow_to_a_limit_and_a_success_ends_that(course):
    pauses = [course.failed() for _ in range(12)]
    assert 0.3 < pauses[0] < 0.7
    assert all(later > earlier / 1.7 for earlier, later in itertools.pairwise(pauses))
    assert max(pauses) <= LONGEST * 1.25
    assert min(pauses[7:]) >= LONGEST * 0.75
    course.listed()
    assert course.failed() < 0.7


def test_the_servers_wish_is_granted_within_reason(course):
    assert course.failed(retry_after=20) >= 20
    assert course.failed(retry_after=100_000) <= 120


def test_410_lists_at_once_but_not_for_ever(course):
    assert course.gone() == 0
    assert course.gone() > 0.3
    assert course.gone() > 0.6
    course.listed()
    assert course.gone() == 0


def test_a_watch_that_ends_at_once_and_empty_is_a_failure(course):
    assert course.ended(300.0, 0) == 0
    assert course.ended(0.0, 1) == 0
    assert course.ended(0.0, 0) > 0.3
    assert course.ended(0.0, 0) > 0.6


def test_a_kind_is_gone_after_three_looks(course):
    looks = [course.absent() for _ in range(4)]
    assert [forget for _, forget in looks] == [False, False, True, True]
    assert all(0.75 * ABSENT <= pause <= 1.25 * ABSENT for pause, _ in looks)
    course.listed()
    assert course.absent()[1] is False


def test_watches_end_at_times_that_differ():
    chosen = {Course(random.Random(seed)).watch_seconds() for seed in range(50)}
    assert len(chosen) > 20
    assert WATCH_SECONDS[0] <= min(chosen) <= max(chosen) <= WATCH_SECONDS[1]
