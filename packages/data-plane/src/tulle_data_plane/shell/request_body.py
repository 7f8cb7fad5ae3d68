"""The body of a request that did not come whole with its head: read piece by piece off the client's connection.

Owns the framing of one body, "100 Continue", and what the connection holds after it. Refuses to know who reads it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar, TypeVarTuple

from tulle_plugin_api import Exchange, Failure

from tulle_data_plane.driver import Driver
from tulle_data_plane.errors import BodyTimedOut, RequestBroke
from tulle_data_plane.limits import hit
from tulle_data_plane.shell.bulk import pour, worth_it
from tulle_data_plane.shell.channel import Channel, TcpChannel
from tulle_data_plane.shell.splice import Pipes, SourceBroke
from tulle_data_plane.strands import RECEIVE_SIZE
from tulle_data_plane.wire import http1

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LEAST_SECONDS = 0.1
"""A wait for a body that is behind already: for what is there."""

LARGE = 1 << 18
"""Bytes asked of one recv once a body fills such reads: a quarter of the calls. Not from the beginning, since the
memory for it costs more (it comes from the kernel and goes back to it) than a short piece does."""


class Pace(NamedTuple):
    """How slowly a body may come while nothing of its answer has been sent. See limits.py."""

    rate: float  # bytes a second on average, of the time spent waiting for it; 0: any
    grace: float  # seconds that it may be behind that
    silence: float  # seconds in which nothing comes


class RequestBody:
    """A tulle_plugin_api.Body. One reader, as a strand."""

    def __init__(
        self,
        driver: Driver,
        channel: Channel,
        head: http1.RequestHead,
        rest: bytes,
        exchange: Exchange,
        limits: http1.Limits,
        pace: Pace,
        pipes: Pipes | None = None,
    ) -> None:
        """`rest`: what came with the head. `pipes`: for `pour`; None: everything is copied.

        Raises ProtocolError for bad framing in `rest`: then not a byte of the request has gone upstream.
        """
        self._driver = driver
        self._channel = channel
        self._decoder = http1.body_decoder(head.framing, limits)
        self._pieces = self._decoder.feed(rest) if rest else []
        self._continue = head.expect_continue
        self._exchange = exchange
        self._pace = pace
        self._pipes = pipes
        self._last = len(rest)  # bytes that came last, in one go
        self._quick = True  # it has not paused
        self._received = len(rest)  # framing included
        self._waited = 0.0  # seconds, for the client
        self._answered = False
        self._size = RECEIVE_SIZE

    @property
    def done(self) -> bool:
        """It has arrived to its end: the connection can carry another request."""
        return self._decoder.done

    @property
    def at_hand(self) -> bool:
        """Its beginning is here, so that the head need not be sent ahead of it."""
        return bool(self._pieces)

    @property
    def leftover(self) -> bytes:
        """What came after it: the next request's beginning."""
        return self._decoder.leftover

    def answered(self) -> None:
        """The answer begins: a "100 Continue" would now stand in the middle of it (RFC 9110 section 10.1.1)."""
        self._continue = False
        self._answered = True

    async def read(self) -> bytes:
        """The next piece; b"" at the end. Raises RequestBroke, BodyTimedOut, or Failure for bad framing."""
        decoder = self._decoder
        pieces, self._pieces = self._pieces, []
        try:
            while True:
                if pieces:
                    piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                    self._exchange.request_bytes += len(piece)
                    return piece
                if decoder.done:
                    return b""
                if self._continue:
                    self._continue = False
                    await self._channel.send_all(http1.CONTINUE)
                data = await self._recv()
                if not data:
                    raise RequestBroke(f"{self._channel.peer} closed in the middle of its request's body")
                pieces = decoder.feed(data)
        except http1.ProtocolError as error:
            raise Failure(f"{self._channel.peer}: {error}", reason=error.reason) from None
        except OSError as error:
            raise RequestBroke(f"{self._channel.peer} broke off in its request's body: {error.strerror}") from None

    async def pour(self, sink: Channel) -> None:
        """Let the kernel move to `sink` what it can of the rest; `read` gives what is left. Raises as `read`, and
        OSError for a broken sink.
        """
        if self._pipes is None or self._pieces or not worth_it(self._channel, self._decoder, self._last):
            return
        self._last = 0
        try:
            self._quick = await pour(
                self._channel, self._decoder, sink, self._pipes, self._wait,
                taken=self._taken, moved=_uncounted, quick=self._quick,
            )  # fmt: skip
        except SourceBroke as error:
            raise RequestBroke(f"{self._channel.peer} broke off in its request's body: {error.strerror}") from None

    def _taken(self, size: int) -> None:
        """Bytes have left the client's connection, and count as if they had been read: the sink may have lost them."""
        assert isinstance(self._decoder, http1.LengthDecoder)
        self._decoder.skip(size)
        self._exchange.request_bytes += size
        self._received += size

    async def _wait(self, channel: TcpChannel) -> None:
        await self._patiently(channel.watch.wait_readable)

    async def _recv(self) -> bytes:
        data = await self._patiently(self._channel.recv, self._size)
        self._last = len(data)
        self._received += len(data)
        self._size = LARGE if len(data) >= RECEIVE_SIZE else RECEIVE_SIZE
        return data

    async def _patiently(self, arrives: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Wait for more of the body, for as long as it may take. Raises BodyTimedOut."""
        now, pace = self._driver.now, self._pace
        while True:
            seconds = pace.silence
            if pace.rate and not self._answered:
                # Only waiting counts, and not the time in which the upstream took nothing; what is there already is
                # always read.
                behind = pace.grace + self._received / pace.rate - self._waited
                seconds = min(seconds, max(behind, LEAST_SECONDS))
            began = now()
            try:
                with self._driver.deadline(seconds, _Silent()):
                    return await arrives(*args)
            except _Silent:
                if not self._answered:  # else it is a conversation, and may be the other side's turn
                    raise self._too_slow(seconds) from None
            finally:
                self._waited += now() - began

    def _too_slow(self, seconds: float) -> BodyTimedOut:
        pace = self._pace
        if seconds == pace.silence:
            hit("idle_seconds")
            return BodyTimedOut(f"{self._channel.peer} has sent nothing of its body for {seconds:g} s")
        hit("body_rate")
        return BodyTimedOut(
            f"{self._channel.peer} has sent {self._received} bytes of its body in {self._waited + seconds:.0f} s of "
            f"waiting for it: less than {pace.rate:g} a second, and {pace.grace:g} s behind"
        )

    async def aclose(self) -> None:
        """The rest stays unread: the connection is closed after the answer."""


def _uncounted(size: int) -> None:
    """It counted when it was taken."""


class _Silent(Exception):
    """Nothing came."""
