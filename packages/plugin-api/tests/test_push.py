"""Pushing to receivers that are there, away, slow or rude. Virtual clock where time matters; loopback otherwise."""

import logging
import socket

import pytest
import trio
from trio.testing import MockClock
from tulle_plugin_api.push import Backlog, Datagrams, Pusher, SendFailed, Stream, post

PATIENCE = 15  # real seconds; nothing is asserted about time


def patient(test, *arguments):
    async def bounded():
        with trio.fail_after(PATIENCE):
            await test(*arguments)

    trio.run(bounded)


def test_a_backlog_drops_what_comes_when_it_is_full():
    backlog = Backlog(3)
    for number in range(5):
        backlog.put(number)
    assert (len(backlog), backlog.dropped) == (3, 2)
    assert backlog.take(2) == [0, 1]
    backlog.put(9)
    assert backlog.take(10) == [2, 9]
    assert backlog.take(10) == []
    assert backlog.dropped == 2


def test_what_could_not_be_sent_goes_back_to_its_place():
    backlog = Backlog(4)
    for number in range(4):
        backlog.put(number)
    taken = backlog.take(3)
    backlog.put(4)
    backlog.put(5)
    backlog.give_back(taken)
    assert backlog.take(9) == [0, 3, 4, 5]
    assert backlog.dropped == 2


class Sending(Pusher):
    """Sends as it is told: None, or an error to raise."""

    def __init__(self, *outcomes, interval=10.0):
        super().__init__("test", interval)
        self.outcomes, self.at = list(outcomes), []

    def observe(self, exchange):
        pass

    async def send(self):
        self.at.append(trio.current_time())
        if self.outcomes and (error := self.outcomes.pop(0)):
            raise error
        self.sent += 1


def test_it_sends_at_each_interval_and_once_more_at_the_end():
    async def test():
        sending = Sending()
        with trio.move_on_after(35):
            await sending.run()
        assert sending.at == [10, 20, 30]
        await sending.aclose()
        assert sending.at[3:] == [35]
        assert sending.counters() == {"sent_total": 4, "dropped_total": 0, "send_failures_total": 0}

    trio.run(test, clock=MockClock(autojump_threshold=0))


def test_failures_are_counted_and_said_when_they_begin_and_end(caplog):
    away = SendFailed("away")

    async def test():
        sending = Sending(away, away, away, None, None, away)
        with trio.move_on_after(65):
            await sending.run()
        assert sending.counters() == {"sent_total": 2, "dropped_total": 0, "send_failures_total": 4}

    with caplog.at_level(logging.WARNING):
        trio.run(test, clock=MockClock(autojump_threshold=0))
    assert [record.getMessage() for record in caplog.records] == [
        "exporter test cannot send: away; it goes on trying",
        "exporter test sends again",
        "exporter test cannot send: away; it goes on trying",
    ]


def test_two_sends_never_run_at_once():
    async def test():
        running = []

        class Slow(Sending):
            async def send(self):
                assert not running
                running.append(1)
                await trio.sleep(5)
                running.clear()

        slow = Slow(interval=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(slow.run)
            await trio.sleep(2)
            await slow.aclose()
            nursery.cancel_scope.cancel()

    trio.run(test, clock=MockClock(autojump_threshold=0))


# --- datagrams ------------------------------------------------------------------------------------------------------


def test_datagrams_over_udp():
    async def test():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            out = Datagrams(("127.0.0.1", receiver.getsockname()[1]))
            with pytest.raises(SendFailed, match="not open"):
                out.send(b"too early")
            await out.open()
            assert out.send(b"one") is True
            assert receiver.recv(100) == b"one"
            assert not out.refused()
            out.close()
            out.close()
            assert not out.refused()

    patient(test)


def test_datagrams_over_a_unix_socket_that_comes_later(tmp_path):
    path = str(tmp_path / "statsd.socket")

    async def test():
        out = Datagrams(path)
        with pytest.raises(SendFailed, match=r"statsd\.socket"):
            await out.open()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(path)
            await out.open()
            assert out.send(b"one") is True
            assert receiver.recv(100) == b"one"
        with pytest.raises(SendFailed, match="refused"):
            out.send(b"nobody")
        out.close()

    patient(test)


def test_a_udp_receiver_that_is_away_is_noticed_and_never_waited_for():
    async def test():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            port = gone.getsockname()[1]
        out = Datagrams(("127.0.0.1", port))
        await out.open()
        assert out.send(b"x") is True  # the kernel took it; that it was refused is heard by now, on loopback
        assert out.refused()
        assert not out.refused()
        with pytest.raises(SendFailed, match="refused"):
            for _ in range(10):
                out.send(b"x")
        await out.open()
        out.close()

    patient(test)


def test_a_receiver_that_does_not_read_costs_datagrams_not_time(tmp_path):
    path = str(tmp_path / "slow.socket")

    async def test():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(path)
            out = Datagrams(path)
            await out.open()
            told = [out.send(b"x" * 1000) for _ in range(5000)]
            assert told[0] is True
            assert told[-1] is False
            out.close()

    patient(test)


def test_a_name_that_nobody_knows_is_a_failure_of_sending():
    async def test():
        with pytest.raises(SendFailed, match=r"no-such\.invalid"):
            await Datagrams(("no-such.invalid", 1)).open()

    patient(test)


# --- streams --------------------------------------------------------------------------------------------------------


async def listener():
    (found,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    return found, found.socket.getsockname()[1]


def test_a_stream_is_kept_and_made_again_when_the_receiver_closed_it():
    async def test():
        listening, port = await listener()
        async with listening:
            out = Stream(("127.0.0.1", port), PATIENCE)
            await out.send(b"one\n")
            async with await listening.accept() as first:
                assert await first.receive_some(100) == b"one\n"
                await out.send(b"two\n")
                assert await first.receive_some(100) == b"two\n"
            await trio.lowlevel.wait_readable(out._stream.socket)  # its end has arrived
            await out.send(b"three\n")
            async with await listening.accept() as second:
                assert await second.receive_some(100) == b"three\n"
            out.close()

    patient(test)


def test_a_receiver_that_is_away_or_does_not_read_is_a_failure():
    async def test():
        listening, port = await listener()
        async with listening:
            stuck = Stream(("127.0.0.1", port), 0.05)
            with pytest.raises(SendFailed, match=r"127\.0\.0\.1:\d+: nothing within 0.05 s"):
                await stuck.send(b"x" * (64 << 20))
            assert stuck._stream is None
        with pytest.raises(SendFailed, match=r"127\.0\.0\.1"):
            await Stream(("127.0.0.1", port), PATIENCE).send(b"x")

    patient(test)


# --- HTTP ------------------------------------------------------------------------------------------------------------


async def answered(reply, then):
    listening, port = await listener()
    seen = bytearray()
    async with listening, trio.open_nursery() as nursery:

        async def serve():
            async with await listening.accept() as stream:
                while not seen.endswith(b"hello"):
                    seen.extend(await stream.receive_some(65536))
                await stream.send_all(reply)

        nursery.start_soon(serve)
        await then(f"http://127.0.0.1:{port}/write?db=x")
    return bytes(seen)


def test_a_post_says_what_it_should():
    async def test():
        async def send(url):
            await post(url, b"hello", {"Content-Type": "text/plain"}, PATIENCE)

        seen = await answered(b"HTTP/1.1 204 No Content\r\n\r\n", send)
        head, _, body = seen.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /write?db=x HTTP/1.1\r\n")
        assert b"Content-Type: text/plain" in head
        assert body == b"hello"

    patient(test)


@pytest.mark.parametrize(
    ("reply", "says", "refused"),
    [
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 5\r\n\r\nspans", "400 Bad: b'spans'", True),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\n\r\nlogin", "401 Unauthorized: b'login'", False),
        (b"HTTP/1.1 429 Later\r\nContent-Length: 0\r\n\r\n", "429 Later", False),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "302 Found", False),
        (b"", "Remote end closed connection", False),
        (b"SSH-2.0\r\n", "SSH-2.0", False),
    ],
)
def test_anything_but_2xx_is_a_failure(reply, says, refused):
    async def test():
        async def send(url):
            with pytest.raises(SendFailed) as failed:
                await post(url, b"hello", {}, PATIENCE)
            assert says in str(failed.value)
            assert failed.value.refused is refused

        await answered(reply, send)

    patient(test)


def test_nobody_there_is_a_failure():
    async def test():
        listening, port = await listener()
        await listening.aclose()
        with pytest.raises(SendFailed, match=f"127.0.0.1:{port}: "):
            await post(f"http://127.0.0.1:{port}/", b"", {}, PATIENCE)

    patient(test)
