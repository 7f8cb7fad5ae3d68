"""A nursery of strands: what it starts ends with it, and goes to trio and back."""

import os
import socket

import pytest
import trio
import trio.testing
from tulle_data_plane.driver import Driver, Signal, Stopped, Watch
from tulle_data_plane.nursery import open_nursery

pytestmark = pytest.mark.trio


@pytest.fixture
async def driver():
    async with trio.open_nursery() as nursery:
        made = Driver()
        await nursery.start(made.serve)
        with trio.fail_after(60):
            yield made
        nursery.cancel_scope.cancel()
    made.close()


async def test_the_block_waits_for_its_strands(driver):
    said, signal = [], Signal(driver)

    async def strand(name):
        await signal.wait()
        said.append(name)

    async with open_nursery(driver) as nursery:
        for name in "ab":
            nursery.start(strand, name)
        await trio.testing.wait_all_tasks_blocked()
        assert not said
        assert len(nursery) == 2
        signal.set()
    assert sorted(said) == ["a", "b"]
    assert not len(nursery)


async def test_a_strand_starts_others_in_the_nursery_that_it_is_in(driver):
    said = []

    async def strand(nursery, left):
        said.append(left)
        if left:
            nursery.start(strand, nursery, left - 1)

    async with open_nursery(driver) as nursery:
        nursery.start(strand, nursery, 3)
    assert said == [3, 2, 1, 0]


async def test_cancelled_its_strands_see_it_at_each_wait_and_end_before_the_block_does(driver):
    seen = []

    async def stubborn():
        for _ in range(3):
            try:
                await Signal(driver).wait()
            except Stopped:
                seen.append("stopped")
        seen.append("end")

    with trio.CancelScope() as scope:
        async with open_nursery(driver) as nursery:
            nursery.start(stubborn)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            await trio.sleep_forever()
    assert seen == ["stopped"] * 3 + ["end"]


@pytest.mark.parametrize("when", ["before its first step", "when the nursery is over"])
async def test_what_a_strand_owns_is_closed_though_it_never_ran(driver, when):
    ours, theirs = socket.socketpair()

    async def owns(sock):
        with sock:
            await Signal(driver).wait()

    with trio.CancelScope() as scope:
        async with open_nursery(driver) as nursery:
            if when == "before its first step":
                nursery.start(owns, ours)
                nursery.cancel()
            else:
                nursery.cancel()
                nursery.start(owns, ours)
            scope.cancel()
    assert theirs.recv(1) == b"", "it was closed"
    theirs.close()


async def test_an_error_of_a_strand_ends_the_others_and_comes_out_of_the_block(driver):
    seen = []

    async def fails():
        raise ValueError("mine")

    async def waits():
        try:
            await Signal(driver).wait()
        except Stopped:
            seen.append("stopped")
            raise

    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_nursery(driver) as nursery:
            nursery.start(waits)
            nursery.start(fails)
            await trio.sleep_forever()
    assert caught.group_contains(ValueError, match="mine")
    assert seen == ["stopped"]


async def test_a_strand_goes_to_trio_and_comes_back(driver):
    said = []

    async def under_trio(value):
        task = trio.lowlevel.current_task()
        async with trio.open_nursery() as inner:
            inner.start_soon(trio.lowlevel.checkpoint)
        crossed = driver.off_trio(back)
        return task.name, await crossed(value)

    async def back(value):
        await driver.turn()
        return value + 1

    async def strand():
        said.append(await driver.in_trio(under_trio, 1))
        await driver.turn()
        said.append("here")

    async with open_nursery(driver) as nursery:
        nursery.start(strand)
    assert said[0][1] == 2
    assert said[1] == "here"


async def test_an_error_under_trio_is_raised_where_the_strand_waits(driver):
    said = []

    async def fails():
        await trio.lowlevel.checkpoint()
        raise ValueError("there")

    async def strand():
        try:
            await driver.in_trio(fails)
        except ValueError as error:
            said.append(str(error))

    async with open_nursery(driver) as nursery:
        nursery.start(strand)
    assert said == ["there"]


@pytest.mark.parametrize("how", ["deadline", "nursery", "alone"])
async def test_what_interrupts_a_strand_that_is_in_trio_ends_its_visit_first(driver, how):
    said, begun, strands = [], trio.Event(), []

    async def long():
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            said.append("visit")

    async def strand():
        strands.append(driver.current_strand())
        try:
            with driver.deadline(0.05 if how == "deadline" else 3600, "time is up"):
                await driver.in_trio(long)
        except BaseException as error:
            said.append(type(error).__name__)
            if how == "deadline":
                return
            raise

    with trio.CancelScope() as scope:
        async with open_nursery(driver) as nursery:
            nursery.start(strand)
            await begun.wait()
            if how == "nursery":
                scope.cancel()
            elif how == "alone":
                nursery.stop(strands[0])
            await nursery.until_empty()
    assert said == ["visit", "TimedOut" if how == "deadline" else "Stopped"]


async def test_a_strand_that_has_ended_is_interrupted_no_more(autojump_clock, driver):
    strands = []

    async def strand():
        mine = driver.current_strand()
        mine.deadline = driver.time + 1  # as http1_server sets it by hand, and leaves it where its connection breaks
        driver.wheel.arm(mine)
        strands.append(mine)

    async with open_nursery(driver) as nursery:
        nursery.start(strand)
    await trio.sleep(3)
    assert strands[0].pending is None


async def test_a_strand_costs_no_task(driver):
    near, far = socket.socketpair()
    near.setblocking(False)
    watch = Watch(driver, near.fileno())
    got = []

    async def strand():
        await watch.wait_readable()
        got.append(os.read(near.fileno(), 10))

    async with open_nursery(driver) as nursery:
        before = trio.lowlevel.current_statistics().tasks_living
        nursery.start(strand)
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == before
        assert len(nursery) == 1
        far.send(b"hello")
    assert got == [b"hello"]
    watch.close()
    near.close()
    far.close()
