"""Nothing stays behind: a cancel at every checkpoint of a call, and many calls that end in every way."""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import trio
import trio.testing
from tulle_trio_grpc import Call, Channel, GrpcError, StatusCode, open_channel
from tulle_trio_grpc.connection import Connection
from tulle_trio_grpc.stream import Stream
from tulle_trio_grpc.testing import Abort, ServerCall, memory_server

pytestmark = pytest.mark.trio


def same(data: bytes) -> bytes:
    return bytes(data)


async def echo(call: ServerCall) -> None:
    while (message := await call.receive()) is not None:
        await call.send(message)


async def unary(channel: Channel) -> None:
    await channel.unary_unary("/t.S/Echo", same, same)(bytes(100_000))


async def stream(channel: Channel) -> None:
    async with channel.stream_stream("/t.S/Echo", same, same).open(timeout=1000) as call:
        for _ in range(3):
            await call.send(bytes(50_000))
            await call.receive()
        await call.initial_metadata()
        await call.done_writing()
        async for _ in call:
            pass


class CancelAt(trio.abc.Instrument):
    """Cancels a scope when one task has run so many steps."""

    def __init__(self, task: Any, scope: trio.CancelScope, steps: int) -> None:
        self.task, self.scope, self.left = task, scope, steps

    def after_task_step(self, task: Any) -> None:
        if task is self.task:
            self.left -= 1
            if self.left == 0:
                self.scope.cancel()


@pytest.mark.parametrize("use", [unary, stream])
async def test_a_cancel_at_every_checkpoint(use: Callable[[Channel], Any], autojump_clock: Any) -> None:
    async with memory_server({"/t.S/Echo": echo}) as server:
        finished, steps = False, 0
        while not finished:
            steps += 1
            assert steps < 200
            async with open_channel("test:1", dial_with=server.dial) as channel:
                with trio.CancelScope() as scope:
                    instrument = CancelAt(trio.lowlevel.current_task(), scope, steps)
                    trio.lowlevel.add_instrument(instrument)
                    try:
                        await use(channel)
                        finished = True
                    finally:
                        trio.lowlevel.remove_instrument(instrument)
                await trio.testing.wait_all_tasks_blocked()
                for connection in channel._caller.connector._connections:
                    assert len(connection.streams) == 0, f"a stream was left by a cancel after {steps} steps"
                    assert connection._session._h2.open_outbound_streams == 0
                await use(channel)  # and the channel is as good as before
        assert steps > 5


async def test_many_calls_that_end_in_every_way_leave_nothing(autojump_clock: Any) -> None:
    async def refuse(call: ServerCall) -> None:
        raise Abort(StatusCode.ABORTED)

    async def hang(call: ServerCall) -> None:
        await trio.sleep_forever()

    handlers = {"/t.S/Echo": echo, "/t.S/Refuse": refuse, "/t.S/Hang": hang}
    async with memory_server(handlers) as server, open_channel("test:1", dial_with=server.dial) as channel:
        await unary(channel)
        before = trio.lowlevel.current_statistics().tasks_living
        for _ in range(50):
            await unary(channel)
            await stream(channel)
            for path in ("Refuse", "Hang"):
                with pytest.raises(GrpcError):
                    await channel.unary_unary(f"/t.S/{path}", same, same)(b"", timeout=1)
            with trio.move_on_after(1):
                await channel.unary_unary("/t.S/Hang", same, same)(b"")
            async with channel.stream_stream("/t.S/Hang", same, same).open() as call:
                await call.send(b"x")
            del call
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == before
        gc.collect()
        assert [each for each in gc.get_objects() if isinstance(each, Stream | Call)] == []
        assert sum(isinstance(each, Connection) for each in gc.get_objects()) == 1
        session = channel._caller.connector._current._session
        assert session._to_credit.keys() == {0}


async def test_descriptors_are_closed(grpcio_server: Callable[..., Any]) -> None:
    async def handler(request: bytes, context: Any) -> bytes:
        return request

    server = grpcio_server({"/t.S/Echo": grpc.unary_unary_rpc_method_handler(handler)})

    async def once() -> None:
        async with open_channel(server.address) as channel:
            await unary(channel)

    def open_sockets() -> int:
        """Of ours: connected to the server."""
        port = int(server.address.rpartition(":")[2])
        inodes = set()
        for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[2].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
        links = []
        for name in os.listdir("/proc/self/fd"):
            try:
                links.append(os.readlink(f"/proc/self/fd/{name}"))
            except OSError:
                pass
        return sum(link == f"socket:[{inode}]" for link in links for inode in inodes)

    async with open_channel(server.address) as channel:
        await unary(channel)
        assert open_sockets() == 1
        for _ in range(5):
            await once()
        assert open_sockets() == 1
    assert open_sockets() == 0
