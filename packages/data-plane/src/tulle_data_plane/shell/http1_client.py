"""HTTP/1.1 towards an upstream: one exchange over one connection, and what becomes of the connection after it.

Owns sending the request, reading the answer's head, and the body that is still arriving. Refuses to know which
endpoint it talks to or why. A connection goes back to the pool only when both messages ended cleanly.

The fast path, nearly every request: head and body leave in one send, head and body of the answer arrive in one recv.
"""

from __future__ import annotations

from collections.abc import Callable

from tulle_plugin_api import Body, Exchange, Failure, Headers, Response, pass_by

from tulle_data_plane.driver import Driver
from tulle_data_plane.errors import BadAnswer, PolicyFailed, UpstreamBroke
from tulle_data_plane.shell.bulk import MANY, pour, worth_it
from tulle_data_plane.shell.channel import Channel, TcpChannel, Untaken
from tulle_data_plane.shell.relay import Tunnel
from tulle_data_plane.shell.request_body import RequestBody
from tulle_data_plane.shell.splice import Pipes, SourceBroke
from tulle_data_plane.wire import http1

MAX_INTERIM = 16
"""1xx answers before the final one."""

TE_TRAILERS = b"te: trailers\r\nconnection: te\r\n"
"""Said anew at each hop (RFC 9110 section 10.1.4)."""

NOT_PLAIN = frozenset({"HEAD", "CONNECT"})
"""Methods whose answers are framed by other rules (RFC 9112 section 6.3)."""

Release = Callable[[Channel], None]


class Nothing(UpstreamBroke):
    """The upstream closed a connection without a byte of an answer: on a kept one, the request may be replayed."""


class Unsent(Nothing):
    """And not a byte of the request has left."""


async def exchange_over(
    channel: Channel, exchange: Exchange, driver: Driver, parser: http1.ResponseParser, release: Release
) -> Response:
    """Send `exchange` over `channel` and return its answer. Owns `channel` from now on.

    `release` gets the channel when it is clean. On any error, and on cancel, the channel is aborted. Raises
    UpstreamBroke, BadAnswer, and whatever reading the request's body raises.
    """
    upload: Upload | None = None
    try:
        body = exchange.body
        if isinstance(body, bytes):
            got = channel.ask(_request(exchange, body))
        else:
            ahead = _request(exchange, b"")
            if not getattr(body, "at_hand", False):  # nobody knows when it comes
                await _send(channel, ahead)
                ahead = b""
            upload = Upload(driver, channel, ahead, body, exchange)
            got = channel.recv()
        try:
            buffer = await got
        except Untaken as error:
            return await _answer_unasked(channel, exchange, parser, release, error)
        except OSError as error:
            raise Nothing(f"{channel.peer} closed without an answer: {error.strerror}") from None
        end = parser.usual_end
        head = parser.known.get(buffer[:end])
        if head is None:
            end = buffer.find(b"\r\n\r\n") + 4
            if 4 <= end <= http1.LARGEST_KNOWN:
                parser.usual_end = end
                head = parser.known.get(buffer[:end])
        if head is None or exchange.upgrade or exchange.method in NOT_PLAIN:
            return await _answer(channel, exchange, buffer, parser, release, upload)
        rest = buffer[end:]
        if upload is None and head.keep_alive and head.length == len(rest):
            release(channel)
            response = Response(head.status, Headers(head.block), rest)
            # Where nobody on the way back changes any of these, the answer need not be looked at again (plain_answer).
            response.agreed = (head.block, rest, head.status)
            return response
        return _response(channel, head, rest, parser.limits, release, upload)
    except BaseException:
        channel.abort()
        if upload is not None:
            await upload.stop()
            if upload.failure is not None:
                raise upload.failure from None  # the client broke off: that is the cause, not what followed from it
        raise


def _request(exchange: Exchange, body: bytes) -> bytes:
    """The head, and `body`, which is as much as is at hand."""
    whole = isinstance(exchange.body, bytes)
    try:
        if whole and not exchange.upgrade and not exchange.wants_trailers:
            return http1.plain_request(exchange.method, exchange.path, exchange.headers.block, body)
        chunked = not whole and "content-length" not in exchange.headers
        framing = http1.CHUNKED_BODY if chunked else http1.NO_BODY  # Content-Length is in the block, where there is one
        head = http1.encode_request(
            exchange.method,
            exchange.path,
            exchange.headers.block,
            framing,
            TE_TRAILERS if exchange.wants_trailers and not exchange.upgrade else b"",
            upgrade=exchange.upgrade,
        )
        return head + body
    except ValueError as error:
        if exchange.method == "CONNECT" and not exchange.path:
            return _connect_head(exchange)
        raise PolicyFailed(str(error)) from error  # a policy made something that cannot go on the wire


def _connect_head(exchange: Exchange) -> bytes:
    """CONNECT has no path, but authority-form (RFC 9112 section 3.2.3). To go there is the server's business: the proxy
    goes where the client went, and dials nothing that a request names.
    """
    try:
        return http1.encode_request("CONNECT", exchange.authority, exchange.headers.block, http1.NO_BODY)
    except ValueError as error:
        raise PolicyFailed(str(error)) from error


async def _answer_unasked(
    channel: Channel, exchange: Exchange, parser: http1.ResponseParser, release: Release, error: OSError
) -> Response:
    """The connection takes not a byte of the request. An answer may be there all the same, as in `_send`."""
    try:
        buffer = await channel.recv()
    except OSError:
        buffer = b""
    if not buffer:
        raise Unsent(f"{channel.peer} takes no request: {error.strerror}")
    return await _answer(channel, exchange, buffer, parser, release, None)


async def _send(channel: Channel, data: bytes) -> None:
    try:
        await channel.send_all(data)
    except OSError:
        # A server may answer and close without having read everything: its answer is still worth reading. Where there
        # is none, reading says so.
        pass


class Upload:
    """Sends a body that is still arriving, beside the strand that waits for the answer."""

    def __init__(self, driver: Driver, channel: Channel, head: bytes, body: Body, exchange: Exchange) -> None:
        """`head`: what goes before the body and with its first piece; b"" when it has gone already."""
        self.failure: Failure | None = None  # why the client's side of it failed
        self.finished = False  # everything was sent; the child itself ends a little later
        self._child = driver.beside(self._run, channel, head, body, "content-length" not in exchange.headers)

    async def stop(self) -> None:
        """Stop sending, and reading what is to be sent: then the client's connection has no other reader."""
        self.give_up()
        await self._child.done.wait()

    def give_up(self) -> None:
        """As `stop`, for those who cannot wait."""
        self._child.cancel()

    async def _run(self, channel: Channel, head: bytes, body: Body, chunked: bool) -> None:
        async def move(body: Body) -> None:
            if isinstance(body, RequestBody):
                await body.pour(channel)

        try:
            while piece := await body.read():
                data = http1.encode_chunk(piece) if chunked else piece
                await channel.send_all(head + data if head else data)
                head = b""
                if not chunked and len(piece) >= MANY:
                    await pass_by(body, move)
            last = head + (http1.LAST_CHUNK if chunked else b"")
            if last:
                await channel.send_all(last)
            self.finished = True
        except Failure as failure:
            self.failure = failure
            channel.abort()  # half a request must never look like a whole one
        except OSError:
            pass  # who waits for the answer finds out why


async def _answer(
    channel: Channel,
    exchange: Exchange,
    buffer: bytes,
    parser: http1.ResponseParser,
    release: Release,
    upload: Upload | None,
) -> Response:
    """The answer that begins with `buffer`; b"": the connection has ended without one."""
    if not buffer:
        raise Nothing(f"{channel.peer} closed without an answer")
    limits = parser.limits
    try:
        for _ in range(MAX_INTERIM):
            end = http1.find_head_end(buffer, 0, limits, too_long="bad-status-line")
            if end < 0:
                buffer, end = await _rest_of_head(channel, buffer, limits)
            head = parser.parse(buffer[:end], exchange.method, exchange.upgrade)
            buffer = buffer[end:]
            if not head.informational:
                if exchange.method == "CONNECT" and 200 <= head.status <= 299:
                    return _tunnel(channel, head, buffer)
                return _response(channel, head, buffer, limits, release, upload)
            # RFC 9110 section 15.2: passed on, but for 100, which answers the Expect that ended at this proxy
            if head.status != 100 and exchange.interim is not None:
                await exchange.interim(head.status, Headers(head.block))
            if not buffer:
                buffer = await _recv(channel, "after an interim answer")
    except http1.ProtocolError as error:
        raise BadAnswer(f"{channel.peer}: {error}") from None
    raise BadAnswer(f"{channel.peer}: more than {MAX_INTERIM} interim answers")


async def _rest_of_head(channel: Channel, buffer: bytes, limits: http1.Limits) -> tuple[bytes, int]:
    partial = http1.PartialHead(limits, too_long="bad-status-line")
    end = partial.add(buffer)
    while end < 0:
        end = partial.add(await _recv(channel, "in the middle of an answer's head"))
    return bytes(partial.data), end


async def _recv(channel: Channel, when: str) -> bytes:
    """More bytes of an answer's head. Raises UpstreamBroke."""
    why = ""
    try:
        data = await channel.recv()
    except OSError as error:
        data, why = b"", f": {error.strerror}"
    if not data:
        raise UpstreamBroke(f"{channel.peer} closed {when}{why}")
    return data


def _tunnel(channel: Channel, head: http1.ResponseHead, rest: bytes) -> Tunnel:
    """A 2xx to CONNECT (RFC 9110 section 9.3.6); `rest` are the tunnel's first bytes."""
    if head.status == 204:  # it says that it is whole: see _no_answer_instead in wire/response.py
        raise BadAnswer(f"{channel.peer}: a 204 to CONNECT: no tunnel, and no refusal")
    return Tunnel(channel, rest, status=head.status, headers=Headers(head.block))


def _response(
    channel: Channel,
    head: http1.ResponseHead,
    rest: bytes,
    limits: http1.Limits,
    release: Release,
    upload: Upload | None,
) -> Response:
    if head.status == 101:
        if upload is not None and not upload.finished:  # RFC 9110 section 7.8: only once the request is complete
            raise BadAnswer(f"{channel.peer} switched protocols in the middle of the request")
        return Tunnel(channel, rest, status=101, headers=Headers(head.block), upgrade=head.upgrade)
    kind, length = head.framing
    # the whole body is here: the common case
    if upload is None and (kind == http1.NONE or (kind == http1.LENGTH and len(rest) >= length)):
        if len(rest) == length and head.keep_alive:
            release(channel)
            return Response(head.status, Headers(head.block), rest)
        channel.close()  # told to, or bytes that nobody asked for: they must poison nothing
        return Response(head.status, Headers(head.block), rest[:length])
    decoder = http1.body_decoder(head.framing, limits)
    try:
        pieces = decoder.feed(rest)  # now: nothing has been answered yet, so bad framing in it is still a 502
    except http1.ProtocolError as error:
        raise BadAnswer(f"{channel.peer}: {error}") from None
    body = AnswerBody(channel, head, decoder, pieces, release, upload)
    return Response(head.status, Headers(head.block), body)


async def _readable(channel: TcpChannel) -> None:
    await channel.watch.wait_readable()


class AnswerBody:
    """The body of an answer, as it arrives. Owns the connection until its end."""

    def __init__(
        self,
        channel: Channel,
        head: http1.ResponseHead,
        decoder: http1.BodyDecoder,
        pieces: list[bytes],
        release: Release,
        upload: Upload | None,
    ) -> None:
        """`decoder`, and the `pieces` that it has made of what came with the head."""
        self._channel = channel
        self._decoder = decoder
        self._pieces = pieces
        self._keep = head.keep_alive
        self._release = release
        self._upload = upload
        self._closed = False
        self._last = 0  # bytes that came last, in one go
        self._quick = True  # it has not paused

    @property
    def trailers(self) -> Headers | None:
        """What came after it."""
        return self._decoder.trailers

    @property
    def at_hand(self) -> bool:
        """Its beginning came with the head: head and first piece can leave together."""
        return bool(self._pieces) or self._decoder.done

    async def read(self) -> bytes:
        """The next piece; b"" at the end. Raises UpstreamBroke (a truncated body) or BadAnswer."""
        decoder = self._decoder
        try:
            pieces, self._pieces = self._pieces, []
            while not self._closed:
                if decoder.done:
                    await self._end()
                if pieces:
                    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
                if decoder.done:
                    break
                data = await self._channel.recv()
                self._last = len(data)
                if not data:
                    decoder.finish()
                    await self._end()
                pieces = decoder.feed(data)
        except http1.ProtocolError as error:
            await self.aclose()
            kind = UpstreamBroke if error.reason == "truncated-body" else BadAnswer
            raise kind(f"{self._channel.peer}: {error}") from None
        except OSError as error:
            await self.aclose()
            raise UpstreamBroke(
                f"{self._channel.peer} broke off in the middle of an answer's body: {error.strerror}"
            ) from None
        except BaseException:
            await self.aclose()
            raise
        return b""

    async def pour(self, sink: Channel, pipes: Pipes | None, moved: Callable[[int], None]) -> None:
        """Let the kernel move to `sink` what it can of the rest; `read` gives what is left, and must be called. Raises
        UpstreamBroke, and for the sink OSError or SlowReader.
        """
        if pipes is None or self._closed or self._pieces or not worth_it(self._channel, self._decoder, self._last):
            return
        self._last = 0
        assert isinstance(self._decoder, http1.LengthDecoder)
        try:
            self._quick = await pour(
                self._channel, self._decoder, sink, pipes, _readable,
                taken=self._decoder.skip, moved=moved, quick=self._quick,
            )  # fmt: skip
        except SourceBroke as error:
            await self.aclose()
            raise UpstreamBroke(
                f"{self._channel.peer} broke off in the middle of an answer's body: {error.strerror}"
            ) from None
        except BaseException:
            await self.aclose()
            raise

    async def _end(self) -> None:
        if self._closed:
            return
        if self._upload is not None and not self._upload.finished:
            await self.aclose()  # an early, final answer: the rest of the request is of no use to anybody
            return
        self._closed = True
        if self._keep and not self._decoder.leftover:
            self._release(self._channel)
        else:
            self._channel.close()

    async def aclose(self) -> None:
        """Give up the rest: the connection cannot be kept."""
        if not self._closed:
            self._closed = True
            self._channel.abort()
            if self._upload is not None:
                await self._upload.stop()

    def __del__(self) -> None:
        # A policy that answers in this answer's stead should close it; where one forgets, nothing stays open.
        if not self._closed:
            self._closed = True
            self._channel.abort()
            if self._upload is not None:
                self._upload.give_up()
