"""A small gRPC server for tests, in memory or on any trio stream, made of the same pure parts as the client.

A stand-in for a control plane in tests of what talks to one, without sockets and on a mock clock:

    async def watch(call): await call.send(b"snapshot")
    async with memory_server({"/tulle.v1.Discovery/Watch": watch}) as server:
        async with open_channel("test:1", dial_with=server.dial) as channel: ...

Not for production: it takes what comes into memory (window given back at once), and has no limits, keepalive or
graceful shutdown. Messages are bytes.
"""

from tulle_trio_grpc.testing.call import Abort, Handler, ServerCall
from tulle_trio_grpc.testing.server import MemoryServer, memory_server, serve

__all__ = ["Abort", "Handler", "MemoryServer", "ServerCall", "memory_server", "serve"]
