"""One HTTP/2 connection at work: three tasks around a Session, from the first byte until it has drained or broken.

A reader feeds the session and hands events to the streams; a writer is alone in writing, so that no cancelled call can
tear a frame; keepalive watches. Decides nothing about reconnecting: the connector does.
"""

import logging
from collections.abc import Callable

import trio
from h2.errors import ErrorCodes
from h2.events import Event, RemoteSettingsChanged, WindowUpdated

from tulle_trio_grpc.errors import ConnectFailed
from tulle_trio_grpc.gate import GoAway
from tulle_trio_grpc.keepalive import Keepalive, KeepaliveTimer, Step
from tulle_trio_grpc.metadata import HeaderFields
from tulle_trio_grpc.session import Session, SessionError, StreamsExhausted
from tulle_trio_grpc.status import reset_name
from tulle_trio_grpc.stream import Stream
from tulle_trio_grpc.streams import Streams

_log = logging.getLogger("tulle_trio_grpc")
_READ_SIZE = 65_536
#: How long a connection that ends may take to write what it still has to say, in seconds.
_LAST_WORDS = 1.0
_CLOSED_HERE = "the channel was closed"


class Draining(Exception):
    """The connection takes no further streams; nothing was sent."""


class Connection:
    """Owns `transport`: it is closed when `run` ends, however that happens, and all streams have ended by then."""

    def __init__(
        self,
        transport: trio.abc.Stream,
        *,
        name: str,
        stream_window: int,
        keepalive: Keepalive | None,
        on_too_many_pings: Callable[[], None],
    ) -> None:
        self.usable = True  # new streams may be opened
        self._on_too_many_pings = on_too_many_pings
        self._transport = transport
        self._name = name
        self._session = Session(stream_window=stream_window)
        self.streams = Streams(self._session, self._wake_writer, self._on_idle)
        self._keepalive = keepalive
        self._timer = KeepaliveTimer(keepalive or Keepalive(), trio.current_time())
        self._settled = trio.Event()  # the server's SETTINGS have come
        self._busy = trio.Event()  # a stream is open
        self._wake = trio.Event()
        self._leaving = False  # write what is left, then end
        self._reason: str | None = None  # why it ended
        self._scope = trio.CancelScope()
        self._closed = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until closed; `started` when the server has sent its SETTINGS, ConnectFailed if it never does."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read)
                    nursery.start_soon(self._write)
                    if self._keepalive is not None:
                        nursery.start_soon(self._keep_alive, self._keepalive)
                    await self._settled.wait()
                    task_status.started()
        finally:
            self._end(_CLOSED_HERE)
            self._closed.set()
            await trio.aclose_forcefully(self._transport)
        if not self._settled.is_set():
            raise ConnectFailed(f"{self._name}: {self._reason}")

    async def open_stream(self, fields: Callable[[], HeaderFields], message_limit: int) -> Stream:
        """Start a call, when the server allows one more; raises Draining. `fields` is asked when its turn has come."""
        await trio.lowlevel.checkpoint()
        while self.usable and not self._session.has_room:
            await self.streams.progress.park()
        if not self.usable:
            raise Draining
        try:
            stream_id = self._session.open(fields())
        except StreamsExhausted:
            self._drain("its stream identifiers are used up")
            raise Draining from None
        self._busy.set()
        self._wake_writer()
        return self.streams.add(stream_id, message_limit)

    async def close(self) -> None:
        """Say goodbye and end, within a second; open calls end with ConnectionLost."""
        if self._reason is None:
            self._session.say_goodbye()
            self._end(_CLOSED_HERE, flush=True)
        await self._closed.wait()

    # --- the three tasks

    async def _read(self) -> None:
        while True:
            try:
                data = bytes(await self._transport.receive_some(_READ_SIZE))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                return self._end(f"the connection broke ({error.__cause__ or error})")
            if not data:
                hint = "" if self._settled.is_set() else " at once: does this port speak gRPC, and with or without TLS?"
                return self._end("the server closed the connection" + hint)
            if self._leaving:
                continue  # our goodbye is on its way; nobody here is interested any more
            self._timer.heard(trio.current_time())
            try:
                for event in self._session.receive(data):
                    self._handle(event)
            except SessionError as error:
                return self._end(str(error), flush=True)
            except Exception:  # a mistake of ours must cost this connection, not the process around it
                _log.exception("%s: unforeseen error; the connection is given up", self._name)
                return self._end("an error of the client's own; the log has it")
            self._wake_writer()

    async def _write(self) -> None:
        while True:
            if data := self._session.output():
                try:
                    await self._transport.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    return self._end(f"the connection broke ({error.__cause__ or error})")
                self.streams.progress.unpark_all()
            elif self._leaving:
                return self._scope.cancel()
            else:
                self._wake = trio.Event()
                await self._wake.wait()

    async def _keep_alive(self, config: Keepalive) -> None:
        while True:
            if not config.without_calls:
                await self._busy.wait()
            step, again_at = self._timer.poll(trio.current_time())
            if step is Step.DEAD:
                return self._end(f"no answer to a keepalive ping for {config.timeout:g} s: server or network is gone")
            if step is Step.PING:
                self._session.ping()
                self._wake_writer()
            await trio.sleep_until(again_at)

    # --- what happens to the connection

    def _handle(self, event: Event | GoAway) -> None:
        match event:
            case GoAway():
                self._on_goaway(event)
            case RemoteSettingsChanged():
                self._settled.set()
                self.streams.progress.unpark_all()
            case WindowUpdated():
                self.streams.progress.unpark_all()
            case _:
                self.streams.handle(event)

    def _on_goaway(self, event: GoAway) -> None:
        debug = event.debug.decode("utf-8", "replace")
        if event.error_code == ErrorCodes.ENHANCE_YOUR_CALM and event.debug == b"too_many_pings":
            self._on_too_many_pings()
        why = f"the server said goodbye ({reset_name(event.error_code)}{', ' + debug if debug else ''})"
        self.streams.fail(f"{self._name}: {why}", above=event.last_stream_id, not_processed=True)
        self._drain(why)

    def _drain(self, why: str) -> None:
        """No new streams; end when the last one has."""
        if self.usable:
            _log.info("%s: %s; finishing %d open calls", self._name, why, len(self.streams))
        self.usable = False
        self.streams.progress.unpark_all()
        if not self.streams:
            self._end(why, flush=True)

    def _on_idle(self) -> None:
        self._busy = trio.Event()
        if not self.usable:
            self._end("drained", flush=True)

    def _end(self, reason: str, *, flush: bool = False) -> None:
        """The first reason counts. All streams end now; the tasks, when the last words are written if `flush`."""
        if self._reason is None:
            self._reason = reason
            self.usable = False
            _log.info("%s: connection closed: %s", self._name, reason)
            self.streams.fail(f"{self._name}: {reason}")
            self.streams.progress.unpark_all()
            if flush:
                self._leaving = True
                self._scope.deadline = trio.current_time() + _LAST_WORDS
                return self._wake_writer()
        elif flush:
            return None
        self._scope.cancel()
        return None

    def _wake_writer(self) -> None:
        self._wake.set()
