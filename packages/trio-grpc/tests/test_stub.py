"""Stub from a service descriptor: protobuf's own, made here; and that nothing of this imports protobuf or grpcio."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tulle_trio_grpc import StreamStream, StreamUnary, Stub, UnaryStream, UnaryUnary, open_channel

KINDS = {
    "One": (False, False, UnaryUnary),
    "Down": (False, True, UnaryStream),
    "Up": (True, False, StreamUnary),
    "Both": (True, True, StreamStream),
}


@pytest.fixture(scope="module")
def service() -> tuple[Any, Any]:
    """`package t; message N {int32 n = 1;} service S {...}`: the service's descriptor and the class N."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    message = file.message_type.add(name="N")
    message.field.add(name="n", number=1, type="TYPE_INT32", label="LABEL_OPTIONAL")
    methods = file.service.add(name="S").method
    for name, (client_streaming, server_streaming, _) in KINDS.items():
        methods.add(
            name=name,
            input_type=".t.N",
            output_type=".t.N",
            client_streaming=client_streaming,
            server_streaming=server_streaming,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    number = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.N"))
    return pool.FindServiceByName("t.S"), number


@pytest.mark.trio
async def test_every_kind_against_grpcio(service: tuple[Any, Any], grpcio_server: Callable[..., Any]) -> None:
    descriptor, number = service

    async def one(request: Any, context: Any) -> Any:
        return number(n=request.n + 1)

    async def down(request: Any, context: Any) -> AsyncIterator[Any]:
        for n in range(request.n):
            yield number(n=n)

    async def up(requests: AsyncIterator[Any], context: Any) -> Any:
        return number(n=sum([request.n async for request in requests]))

    async def both(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield number(n=-request.n)

    codec = {"request_deserializer": number.FromString, "response_serializer": number.SerializeToString}
    server = grpcio_server(
        {
            "/t.S/One": grpc.unary_unary_rpc_method_handler(one, **codec),
            "/t.S/Down": grpc.unary_stream_rpc_method_handler(down, **codec),
            "/t.S/Up": grpc.stream_unary_rpc_method_handler(up, **codec),
            "/t.S/Both": grpc.stream_stream_rpc_method_handler(both, **codec),
        }
    )
    async with open_channel(server.address) as channel:
        stub = Stub(channel, descriptor)
        for name, (_, _, kind) in KINDS.items():
            assert type(getattr(stub, name)) is kind
        assert (await stub.One(number(n=1))).n == 2
        async with stub.Down.open(number(n=3)) as call:
            assert [reply.n async for reply in call] == [0, 1, 2]
        assert (await stub.Up([number(n=1), number(n=2)])).n == 3
        async with stub.Both.open() as call:
            await call.send(number(n=7))
            assert (await call.receive()).n == -7


@pytest.mark.trio
async def test_a_method_that_is_not_there(service: tuple[Any, Any]) -> None:
    async with open_channel("localhost:1") as channel:
        with pytest.raises(AttributeError, match=r"service t\.S has no method 'Two'; it has One, Down, Up, Both"):
            _ = Stub(channel, service[0]).Two


def test_what_importing_costs(tmp_path: Path) -> None:
    """Neither grpcio nor protobuf, and well under 30 MB resident; bytecode cached, as installed programs have it."""
    probe = (
        "import sys, trio\n"
        "def resident(): return next(l for l in open('/proc/self/status') if l.startswith('VmRSS')).split()[1]\n"
        "alone = resident()\n"
        "import tulle_trio_grpc\n"
        "assert not [m for m in sys.modules if m.split('.')[0] in ('grpc', 'google', 'asyncio', 'email')]\n"
        "print(alone, resident())"
    )
    environment = {"PYTHONPYCACHEPREFIX": str(tmp_path)}
    command = [sys.executable, "-c", probe]
    for _ in range(2):  # the first compiles
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
    alone, kilobytes = map(int, result.stdout.split())
    print(f"resident: {kilobytes / 1024:.1f} MB, of which trio alone {alone / 1024:.1f} MB")
    assert kilobytes < 29 * 1024
