"""How much of a request's body is asked for at once, and what goes upstream with its head."""

import pytest
import trio
from tulle_data_plane.driver import Driver
from tulle_data_plane.shell.http1_client import exchange_over
from tulle_data_plane.shell.request_body import LARGE, Pace, RequestBody
from tulle_data_plane.strands import RECEIVE_SIZE, Signal
from tulle_data_plane.wire import http1
from tulle_plugin_api import Address, Exchange, Failure, WrappedBody

pytestmark = pytest.mark.trio


class Bytes:
    """A channel that gives what is asked of it, as far as it has it."""

    peer = Address("10.1.0.1", 1)

    def __init__(self, *arriving):
        self.arriving, self.asked = list(arriving), []

    async def recv(self, size):
        self.asked.append(size)
        data = self.arriving.pop(0)
        if len(data) > size:
            self.arriving.insert(0, data[size:])
        return data[:size]


async def test_a_body_that_fills_its_reads_is_asked_for_more_at_once(nursery):
    driver = Driver()
    await nursery.start(driver.serve)
    body = b"x" * (RECEIVE_SIZE + 2 * LARGE)
    parts = [body, b"tail", b"more", b"end"]
    head = http1.parse_request(
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % sum(map(len, parts)), http1.Limits()
    )
    channel = Bytes(*parts)

    async def read_all():
        reader = RequestBody(driver, channel, head, b"", Exchange(head.headers), http1.Limits(), Pace(100, 30, 600))
        found = b""
        while piece := await reader.read():
            found += piece
        return found

    assert await driver.run(read_all) == b"".join(parts)
    # what came short is followed by a modest question: a slow body pays for no large ones
    assert channel.asked == [RECEIVE_SIZE, LARGE, LARGE, LARGE, RECEIVE_SIZE, RECEIVE_SIZE]
    nursery.cancel_scope.cancel()
    driver.close()


class Server(Bytes):
    """Answers when it has got the end; knows what came in one go."""

    watch = None

    def __init__(self, driver, end):
        self.got, self.whole, self.end, self.aborted = [], Signal(driver), end, False

    async def send_all(self, data):
        self.got.append(bytes(data))
        if data.endswith(self.end):
            self.whole.set()

    async def recv(self, size=RECEIVE_SIZE):
        await self.whole.wait()
        if self.aborted:
            raise ConnectionResetError(104, "reset")
        return b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

    def abort(self):
        self.aborted = True
        self.whole.set()

    def stale(self):
        return False


async def sent(rest, *arriving, chunked=False, wrap=lambda body: body):
    """What a server got, in its pieces, of a request of which `rest` came with the head; and the failure, if any."""
    driver, limits = Driver(), http1.Limits()
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: 6"
    head = http1.parse_request(b"POST / HTTP/1.1\r\nhost: a\r\n%s\r\n\r\n" % framing, limits)
    exchange = Exchange(head.headers)
    exchange.method, exchange.path = "POST", "/"
    exchange.body = wrap(RequestBody(driver, Bytes(*arriving), head, rest, exchange, limits, Pace(100, 30, 600)))
    server = Server(driver, b"0\r\n\r\n" if chunked else b"def")

    async def ask():
        return await exchange_over(server, exchange, driver, http1.ResponseParser(limits), lambda channel: None)

    failure = None
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.serve)
        try:
            assert (await driver.run(ask)).status == 200
        except Failure as error:
            failure = error
        nursery.cancel_scope.cancel()
    driver.close()
    return server.got, failure


async def test_a_head_goes_with_what_has_come_of_its_body():
    got, _ = await sent(b"abc", b"def")
    assert [part.partition(b"\r\n\r\n")[2] for part in got[:1]] + got[1:] == [b"abc", b"def"]


async def test_a_head_goes_at_once_when_nothing_of_its_body_has_come():
    got, _ = await sent(b"", b"abc", b"def")
    assert got[0].endswith(b"\r\n\r\n")
    assert got[1:] == [b"abc", b"def"]


async def test_a_head_goes_with_the_first_chunk():
    got, _ = await sent(b"3\r\nabc\r\n", b"0\r\n\r\n", chunked=True)
    assert got[0].endswith(b"\r\n\r\n3\r\nabc\r\n")
    assert got[1:] == [b"0\r\n\r\n"]


async def test_nothing_is_sent_of_a_request_whose_body_fails_at_its_beginning():
    class Fails(WrappedBody):
        async def read(self):
            raise Failure("no", reason="bad-chunk")

    got, failure = await sent(b"abc", b"def", wrap=Fails)
    assert (got, failure.reason) == ([], "bad-chunk")


async def test_a_head_goes_though_its_body_turns_out_to_be_nothing():
    class Swallows(WrappedBody):
        async def read(self):
            while await self.inner.read():
                pass
            return b""

    got, _ = await sent(b"3\r\nabc\r\n", b"0\r\n\r\n", chunked=True, wrap=Swallows)
    assert [part[-9:] for part in got] == [b"\r\n\r\n0\r\n\r\n"]
