"""A control plane that the test moves: grpc.aio in a thread, every message handed to trio, every answer the test's own.

Owns the thread, the server, and its streams. `stop` and `start` keep the port.
"""

from __future__ import annotations

import asyncio
import threading

import grpc
import grpc.aio
import trio
from tulle_api.v1 import discovery_pb2, discovery_pb2_grpc, telemetry_pb2_grpc

PATIENCE = 15
END = object()


class Stream:
    """One call, seen from the server. `requests` are read by the test, in order."""

    def __init__(self, control):
        self._control = control
        self._outgoing = asyncio.Queue()
        self._send, self._receive = trio.open_memory_channel(10_000)

    async def next(self, kind=None):
        """The next message, and where `kind` is given what it holds: `await stream.next("ack")`."""
        with trio.fail_after(PATIENCE):
            message = await self._receive.receive()
        assert message is not END, "the proxy ended the stream"
        if kind is None:
            return message
        assert message.WhichOneof("kind") == kind, message
        return getattr(message, kind)

    async def ended(self):
        with trio.fail_after(PATIENCE):
            while await self._receive.receive() is not END:
                pass

    def nothing(self):
        """Has nothing come?"""
        return self._receive.statistics().current_buffer_used == 0

    def send(self, message):
        self._control.loop.call_soon_threadsafe(self._outgoing.put_nowait, message)

    def finish(self):
        """End it with status OK."""
        self.send(None)

    # --- in the thread ----------------------------------------------------------------------------------------------

    def tell(self, message):
        try:
            self._control.token.run_sync_soon(self._send.send_nowait, message)
        except trio.RunFinishedError:
            pass

    async def serve(self, requests, context):
        reader = asyncio.create_task(self._read(requests))
        try:
            while (message := await self._outgoing.get()) is not None:
                await context.write(message)
        finally:
            reader.cancel()

    async def _read(self, requests):
        try:
            async for request in requests:
                self.tell(request)
            self._outgoing.put_nowait(None)  # whoever says no more has heard all: as the control plane does
        finally:
            self.tell(END)


class Control(discovery_pb2_grpc.DiscoveryServicer, telemetry_pb2_grpc.TelemetryServicer):
    """The server. Made inside trio."""

    def __init__(self):
        self.token = trio.lowlevel.current_trio_token()
        self.loop = asyncio.new_event_loop()
        self.port = 0
        self._server = None
        self._streams = {name: trio.open_memory_channel(100) for name in ("watch", "report")}
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    async def stream(self, name="watch"):
        """The next stream that a proxy opens."""
        with trio.fail_after(PATIENCE):
            return await self._streams[name][1].receive()

    async def introduced(self, inbound=True):
        """The next Watch stream, past its introduction, and with the inbound configuration acknowledged."""
        stream = await self.stream()
        await stream.next("node")
        if inbound:
            stream.send(discovery_pb2.WatchResponse(version="i1", inbound=discovery_pb2.Inbound()))
            # subscriptions that the proxy holds may come first
            self.subscribed = []
            while (message := await stream.next()).WhichOneof("kind") != "ack":
                self.subscribed.append(message.subscribe)
        return stream

    def start(self):
        self._run(self._start())

    def stop(self):
        self._run(self._stop())

    def close(self):
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    async def _start(self):
        # without SO_REUSEPORT: another test's server must not share the port
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        discovery_pb2_grpc.add_DiscoveryServicer_to_server(self, self._server)
        telemetry_pb2_grpc.add_TelemetryServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def _stop(self):
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    async def Watch(self, requests, context):
        await self._serve("watch", requests, context)

    async def Report(self, requests, context):
        await self._serve("report", requests, context)

    async def _serve(self, name, requests, context):
        stream = Stream(self)
        try:
            self.token.run_sync_soon(self._streams[name][0].send_nowait, stream)
        except trio.RunFinishedError:
            return
        await stream.serve(requests, context)
