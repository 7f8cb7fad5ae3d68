"""How much of a request's body is asked for at once."""

import pytest
from tulle_data_plane.driver import Driver
from tulle_data_plane.shell.request_body import LARGE, Pace, RequestBody
from tulle_data_plane.strands import RECEIVE_SIZE
from tulle_data_plane.wire import http1
from tulle_plugin_api import Address, Exchange

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
