"""One connection of the test server, and a server without sockets."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio
import trio.testing
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import H2Error

from tulle_trio_grpc import metadata as md
from tulle_trio_grpc.testing.call import Handler, ServerCall


class ServerConnection:
    """One client's connection."""

    def __init__(self, stream: trio.abc.Stream, handlers: Mapping[str, Handler]) -> None:
        self._stream = stream
        self._handlers = handlers
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self._calls: dict[int, ServerCall] = {}
        self._progress = trio.lowlevel.ParkingLot()
        self._wake = trio.Event()

    async def run(self) -> None:
        """Serve until the client goes or breaks the protocol; handlers still at work are cancelled."""
        self._h2.initiate_connection()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            try:
                while data := await self._stream.receive_some():
                    for event in self._h2.receive_data(data):
                        if isinstance(event, ConnectionTerminated):
                            return
                        self._handle(event, nursery)
                    self._progress.unpark_all()
                    self._wake.set()
            except (H2Error, trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                nursery.cancel_scope.cancel()
                await trio.aclose_forcefully(self._stream)

    def _handle(self, event: object, nursery: trio.Nursery) -> None:
        match event:
            case RequestReceived():
                call = ServerCall(self, event.stream_id, list(event.headers))
                self._calls[event.stream_id] = call
                nursery.start_soon(self._call, event.stream_id, call)
            case DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if call_with_data := self._calls.get(event.stream_id):
                    call_with_data.arrived(event.data)
            case StreamEnded():
                if ended := self._calls.get(event.stream_id):
                    ended.arrived(end=True)
            case StreamReset():
                if reset := self._calls.get(event.stream_id):
                    reset.scope.cancel()

    async def _call(self, stream_id: int, call: ServerCall) -> None:
        try:
            await call.run(self._handlers.get(call.path))
        except (H2Error, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has gone meanwhile
        finally:
            del self._calls[stream_id]

    def send_headers(self, stream_id: int, fields: md.HeaderFields, *, end: bool = False) -> None:
        """Queue a header block; with `end`, also a reset without error if the client is still sending."""
        self._h2.send_headers(stream_id, fields, end_stream=end)
        if end and not self._h2.streams[stream_id].closed:  # PROTOCOL-HTTP2.md, "Early Server Closure"
            self._h2.reset_stream(stream_id, ErrorCodes.NO_ERROR)
        self._wake.set()

    async def send_data(self, stream_id: int, data: memoryview) -> None:
        """Queue all of `data`, waiting for the client's windows."""
        await trio.lowlevel.checkpoint()
        while data:
            room = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
            if room > 0:
                self._h2.send_data(stream_id, data[:room])
                data = data[room:]
                self._wake.set()
            else:
                await self._progress.park()

    async def _write(self) -> None:
        while True:
            if data := self._h2.data_to_send():
                try:
                    await self._stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return  # the reader notices too
            else:
                self._wake = trio.Event()
                await self._wake.wait()


async def serve(stream: trio.abc.Stream, handlers: Mapping[str, Handler]) -> None:
    """Serve one connection; `trio.serve_tcp(partial(serve, handlers=...), 0)` makes a server of it."""
    await ServerConnection(stream, handlers).run()


class MemoryServer:
    """A server without sockets; `connections` counts how often it was dialled."""

    def __init__(self, nursery: trio.Nursery, handlers: Mapping[str, Handler]) -> None:
        self.connections = 0
        self._nursery = nursery
        self._handlers = handlers
        self._scopes: set[trio.CancelScope] = set()  # one for each connection

    async def dial(self) -> trio.abc.Stream:
        """For `open_channel(dial_with=...)`."""
        await trio.lowlevel.checkpoint()
        self.connections += 1
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._serve, theirs)
        return ours

    def drop_connections(self) -> None:
        """Close every connection now, as a crash would; new ones are accepted."""
        for scope in self._scopes:
            scope.cancel()

    async def _serve(self, stream: trio.abc.Stream) -> None:
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await serve(stream, self._handlers)
            finally:
                self._scopes.discard(scope)


@asynccontextmanager
async def memory_server(handlers: Mapping[str, Handler]) -> AsyncIterator[MemoryServer]:
    """A MemoryServer while the block runs."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield MemoryServer(nursery, handlers)
        except Exception as error:
            failure = error  # raised outside the nursery, which would wrap it into a group
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
