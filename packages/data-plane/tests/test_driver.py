"""The driver: what a runtime must not get wrong. Real socket pairs for readiness, a mock clock for time."""

from __future__ import annotations

import functools
import socket
import time

import pytest
import trio
import trio.testing
from tulle_data_plane.clock import Clock
from tulle_data_plane.deadlines import TICK
from tulle_data_plane.driver import Driver, Signal, Watch


class Half:
    """One end of a socket pair, read the way channels read it."""

    def __init__(self, driver: Driver, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock, self.watch, self.receives = sock, Watch(driver, sock.fileno()), 0

    async def recv(self, size: int = 100) -> bytes:
        while True:
            if self.watch.readable:
                self.receives += 1
                try:
                    data = self.sock.recv(size)
                except BlockingIOError:
                    self.watch.readable = False
                else:
                    if len(data) < size and not self.watch.hung_up:
                        self.watch.readable = False
                    return data
            await self.watch.wait_readable()

    def close(self) -> None:
        self.watch.close()
        self.sock.close()


def pair(driver: Driver) -> tuple[Half, socket.socket]:
    near, far = socket.socketpair()
    far.setblocking(False)
    return Half(driver, near), far


def on_driver(test):
    """The test gets a serving driver; whatever it leaves behind fails it."""

    @functools.wraps(test)
    def run():
        async def main():
            driver = Driver()
            async with trio.open_nursery() as outer:
                await outer.start(driver.serve)
                with trio.fail_after(60):
                    await test(driver)
                outer.cancel_scope.cancel()
            assert not driver._ready
            assert not driver.watches, "a descriptor is still watched"
            driver.close()

        trio.run(main)

    del run.__wrapped__  # pytest must not look for a fixture named `driver`
    return run


def on_mock_clock(test):
    """As on_driver, but time jumps whenever everybody waits."""

    @functools.wraps(test)
    def run():
        async def main():
            driver = Driver()
            async with trio.open_nursery() as outer:
                await outer.start(driver.serve)
                await test(driver)
                outer.cancel_scope.cancel()
            driver.close()

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    del run.__wrapped__
    return run


# --- readiness ----------------------------------------------------------------------------------------------


@on_driver
async def test_a_strand_waits_and_is_woken(driver):
    near, far = pair(driver)

    async def strand():
        return await near.recv()

    async def send():
        await trio.testing.wait_all_tasks_blocked()
        far.send(b"hello")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        assert await driver.run(strand) == b"hello"
    near.close()


@on_driver
async def test_an_edge_that_comes_while_nobody_waits_is_remembered(driver):
    near, far = pair(driver)
    far.send(b"early")
    while not near.watch.readable:  # the driver has seen the edge: it will not be told again
        await trio.lowlevel.checkpoint()

    assert await driver.run(near.recv) == b"early"
    near.close()


@on_driver
async def test_after_a_short_read_no_call_is_wasted(driver):
    near, far = pair(driver)
    far.send(b"one")

    async def strand():
        first = await near.recv()
        far.send(b"two")
        return first, await near.recv()

    assert await driver.run(strand) == (b"one", b"two")
    assert near.receives == 2, "a read that was bound to fail was tried"
    near.close()


@on_driver
async def test_after_a_full_read_there_may_be_more_without_an_edge(driver):
    near, far = pair(driver)
    far.send(b"abcdef")

    async def strand():
        return await near.recv(3), await near.recv(3)

    assert await driver.run(strand) == (b"abc", b"def")
    near.close()


@on_driver
async def test_an_end_that_came_with_the_last_bytes_is_not_lost(driver):
    near, far = pair(driver)
    far.send(b"last")
    far.close()
    while not near.watch.hung_up:  # bytes and end in one edge
        await trio.lowlevel.checkpoint()

    async def strand():
        return await near.recv(), await near.recv()

    assert await driver.run(strand) == (b"last", b"")
    near.close()


@on_driver
async def test_waiting_for_room_to_write(driver):
    near, far = pair(driver)

    async def strand():
        sent = 0
        while sent < 2_000_000:
            try:
                sent += near.sock.send(b"x" * 65536)
            except BlockingIOError:
                near.watch.writable = False
                await near.watch.wait_writable()
        near.sock.shutdown(socket.SHUT_WR)
        return sent

    async def drain():
        stream, total = trio.socket.from_stdlib_socket(far), 0
        while data := await stream.recv(65536):
            total += len(data)
        received.append(total)

    received = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain)
        sent = await driver.run(strand)
    assert received == [sent]
    near.close()


@on_driver
async def test_closing_wakes_who_waits(driver):
    near, _far = pair(driver)

    async def strand():
        with pytest.raises(OSError, match="Bad file descriptor"):
            await near.recv()
        return "woken"

    async def close():
        await trio.testing.wait_all_tasks_blocked()
        near.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close)
        assert await driver.run(strand) == "woken"


@on_driver
async def test_a_descriptor_number_that_is_used_again_belongs_to_the_new_watch(driver):
    first, far = pair(driver)
    number = first.watch.fd
    first.close()
    second, far2 = pair(driver)
    second_fd = second.watch.fd
    first.watch.close()  # late, and a second time: must not take the number from its new owner
    assert driver.watches[second_fd] is second.watch
    far2.send(b"mine")
    assert await driver.run(second.recv) == b"mine"
    assert number == second_fd, "the kernel gave another number: the test shows nothing"
    second.close()
    far.close()


# --- entering and leaving -----------------------------------------------------------------------------------


@on_driver
async def test_results_and_errors_come_back_to_trio(driver):
    async def fails():
        raise KeyError("from the strand")

    with pytest.raises(KeyError, match="from the strand"):
        await driver.run(fails)
    await trio.sleep(0)  # trio's again


@on_driver
async def test_cancelling_raises_at_the_wait_and_finally_blocks_run_there(driver):
    near, _far = pair(driver)
    events = []

    async def strand():
        try:
            await near.recv()
        except trio.Cancelled:
            events.append("cancelled at the wait")
            raise
        finally:
            events.append(f"current strand: {driver.current_strand() is not None}")
            with pytest.raises(trio.Cancelled):  # as under trio: every further wait is cancelled, too
                await near.recv()
            events.append("cleaned up")

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run, strand)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
    assert events == ["cancelled at the wait", "current strand: True", "cleaned up"]
    near.close()


@on_driver
async def test_cancelled_before_it_began(driver):
    async def strand():
        raise AssertionError("must not run")

    with trio.CancelScope() as scope:
        scope.cancel()
        await driver.run(strand)
    assert scope.cancelled_caught


@on_driver
async def test_cancelled_between_detaching_and_the_first_step(driver):
    async def strand():
        raise AssertionError("must not run")

    step, scope = driver._step, trio.CancelScope()

    def cancel_first(strand):
        scope.cancel()
        step(strand)

    driver._step = cancel_first
    with scope:
        await driver.run(strand)
    assert scope.cancelled_caught
    driver._step = step
    await driver.run(driver.turn)  # the driver goes on


@on_driver
async def test_trio_is_reached_by_crossing_and_left_again(driver):
    near, far = pair(driver)

    async def under_trio(value):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 0)
        far.send(b"back")
        return value + 1

    async def strand():
        assert await driver.in_trio(under_trio, 1) == 2
        return await near.recv()

    assert await driver.run(strand) == b"back"
    near.close()


@on_driver
async def test_errors_cross_too(driver):
    async def under_trio():
        raise KeyError("x")

    async def strand():
        with pytest.raises(KeyError):
            await driver.in_trio(under_trio)
        return driver.current_strand() is not None

    assert await driver.run(strand)


@on_driver
async def test_cancelling_while_trio_has_it(driver):
    async def strand():
        await driver.in_trio(trio.sleep_forever)

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run, strand)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught


@on_driver
async def test_from_trio_back_to_a_strand(driver):
    """What a policy with `uses_trio` does: it calls the next handler, which waits as strands do, from a nursery."""
    near, far = pair(driver)
    far.send(b"abc")

    async def policy():
        results = []

        async def once():
            results.append(await driver.off_trio(near.recv)())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(once)
        return results

    async def strand():
        return await driver.in_trio(policy)

    assert await driver.run(strand) == [b"abc"]
    near.close()


@on_driver
async def test_a_trio_wait_inside_a_strand_is_named_and_the_strand_goes_on(driver):
    async def strand():
        with pytest.raises(RuntimeError, match="uses_trio = True"):
            await trio.sleep(1)
        return "alive"

    assert await driver.run(strand) == "alive"


@on_driver
async def test_waiting_outside_of_a_strand_is_refused(driver):
    with pytest.raises(RuntimeError, match=r"Driver\.run"):
        await Signal(driver).wait()


@on_driver
async def test_a_busy_strand_lets_trio_have_its_turn(driver):
    near, far = pair(driver)
    turns = 0

    async def ping():  # never has to wait
        while turns < 3:
            far.send(b"x")
            await near.recv(1)
            await driver.turn()
        return True

    async def count():
        nonlocal turns
        while turns < 3:
            turns += 1
            await trio.sleep(0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        assert await driver.run(ping)
    near.close()


# --- signals and children -----------------------------------------------------------------------------------


@on_driver
async def test_a_signal_wakes_all_and_stays_set(driver):
    signal, woken = Signal(driver), []

    async def strand(name):
        await signal.wait()
        woken.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run, strand, "a")
        nursery.start_soon(driver.run, strand, "b")
        await trio.testing.wait_all_tasks_blocked()
        signal.set()
    await driver.run(strand, "late")
    assert sorted(woken) == ["a", "b", "late"]


@on_driver
async def test_a_cancelled_wait_is_forgotten_by_its_signal(driver):
    signal = Signal(driver)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run, signal.wait)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert signal.waiting == []


@on_driver
async def test_a_child_runs_beside_and_keeps_its_error(driver):
    async def fails():
        raise ValueError("the child's")

    async def strand():
        child = driver.beside(fails)
        await child.done.wait()
        return child.error

    error = await driver.run(strand)
    assert isinstance(error, ValueError)


@on_driver
async def test_a_child_is_cancelled(driver):
    near, _far = pair(driver)

    async def strand():
        child = driver.beside(near.recv)
        child.cancel()
        await child.done.wait()
        return child.error

    assert await driver.run(strand) is None
    near.close()


@on_driver
async def test_a_child_may_not_go_to_trio(driver):
    async def strand():
        child = driver.beside(driver.in_trio, trio.sleep, 0)
        await child.done.wait()
        return child.error

    with pytest.raises(RuntimeError, match="no task in trio"):
        raise await driver.run(strand)


@on_driver
async def test_what_is_spawned_runs_under_the_driver_and_may_go_to_trio(driver):
    done = Signal(driver)

    async def crosses():
        await driver.in_trio(trio.sleep, 0)
        done.set()

    async def strand():
        driver.spawn(crosses)
        await done.wait()

    await driver.run(strand)


def test_what_was_spawned_ends_with_the_driver():
    """A driver that stopped stepping when it was cancelled would leave them detached for ever, and never end."""
    ended = []

    async def main():
        driver = Driver()

        async def waits():
            try:
                await Signal(driver).wait()
            finally:
                ended.append(True)

        async def strand():
            for _ in range(3):
                driver.spawn(waits)

        async with trio.open_nursery() as nursery:
            await nursery.start(driver.serve)
            await driver.run(strand)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        driver.close()

    trio.run(main)
    assert ended == [True] * 3


# --- time -----------------------------------------------------------------------------------------------------


def test_the_proxys_clock_is_trios_and_costs_no_call_in_python():
    async def main():
        driver = Driver()
        async with trio.open_nursery() as nursery:
            await nursery.start(driver.serve)
            assert driver.now is time.perf_counter
            before = driver.now()
            assert before <= trio.current_time() <= driver.now()
            clock = trio.lowlevel.current_clock()
            assert clock.deadline_to_sleep_time(before) <= 0 < clock.deadline_to_sleep_time(before + 3600)
            nursery.cancel_scope.cancel()
        driver.close()

    trio.run(main, clock=Clock())


@on_mock_clock
async def test_sleeping_is_coarse_but_never_early(driver):
    async def strand():
        began = driver.now()
        await driver.sleep(1.03)
        return driver.now() - began

    assert 1.03 <= await driver.run(strand) <= 1.03 + TICK + 1e-6


@on_mock_clock
async def test_a_deadline_raises_its_own_error(driver):
    async def strand():
        with pytest.raises(KeyError, match="late"):
            with driver.deadline(2, KeyError("late")):
                await Signal(driver).wait()
        return driver.now()

    began = trio.current_time()
    assert 2 <= await driver.run(strand) - began <= 2 + TICK + 1e-6


@pytest.mark.parametrize(("outer", "inner", "expected"), [(1, 5, "outer"), (5, 1, "inner")])
def test_nested_deadlines_report_the_one_that_passed(outer, inner, expected):
    @on_mock_clock
    async def run(driver):
        async def strand():
            with pytest.raises(KeyError, match=expected):
                with driver.deadline(outer, KeyError("outer")), driver.deadline(inner, KeyError("inner")):
                    await Signal(driver).wait()

        await driver.run(strand)

    run()


@on_mock_clock
async def test_a_deadline_that_was_left_in_time_does_nothing(driver):
    async def strand():
        with driver.deadline(1, KeyError("late")):
            await driver.sleep(0.5)
        await driver.sleep(5)
        return "unharmed"

    assert await driver.run(strand) == "unharmed"


@on_mock_clock
async def test_an_inner_deadline_leaves_the_outer_one_armed(driver):
    async def strand():
        with pytest.raises(KeyError, match="outer"):
            with driver.deadline(3, KeyError("outer")):
                with driver.deadline(1, KeyError("inner")):
                    await driver.sleep(0.1)
                await Signal(driver).wait()

    await driver.run(strand)


@on_mock_clock
async def test_a_deadline_reaches_into_trio(driver):
    async def strand():
        with pytest.raises(KeyError, match="late"):
            with driver.deadline(1, KeyError("late")):
                await driver.in_trio(trio.sleep_forever)
        return driver.current_strand() is not None

    assert await driver.run(strand)


@on_mock_clock
async def test_many_deadlines_cost_one_entry_a_strand(driver):
    async def strand():
        for _ in range(1000):
            with driver.deadline(10, KeyError("late")):
                pass
        return sum(map(len, driver.wheel._buckets.values()))

    assert await driver.run(strand) == 1


@on_mock_clock
async def test_an_earlier_deadline_is_not_held_up_by_a_later_one(driver):
    order = []

    async def strand(name, seconds):
        await driver.sleep(seconds)
        order.append(name)

    async with trio.open_nursery() as nursery:
        for name, seconds in (("third", 30), ("first", 1), ("second", 7)):
            nursery.start_soon(driver.run, strand, name, seconds)
    assert order == ["first", "second", "third"]


@on_mock_clock
async def test_a_deadline_that_is_moved_earlier_is_kept(driver):
    """A strand that is in the wheel for a late deadline gets an early one."""

    async def strand():
        with driver.deadline(100, KeyError("late")):
            began = driver.now()
            with pytest.raises(KeyError, match="early"):
                with driver.deadline(1, KeyError("early")):
                    await Signal(driver).wait()
            return driver.now() - began

    assert await driver.run(strand) <= 1 + TICK + 1e-6


@pytest.mark.parametrize("count", [1, 60])
def test_what_is_spawned_and_still_waits_does_not_keep_the_driver_from_ending(count):
    ended = []

    async def main():
        driver = Driver()

        async def waits():
            try:
                await Signal(driver).wait()
            finally:
                ended.append(1)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                await nursery.start(driver.serve)
                for _ in range(count):
                    driver.spawn(waits)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        driver.close()

    trio.run(main)
    assert len(ended) == count
