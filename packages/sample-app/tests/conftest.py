"""A served app in this process, and conversations with it byte by byte."""

import asyncio
import contextlib
import json

import pytest
from tulle_sample_app.app import App, Identity
from tulle_sample_app.knobs import Knobs
from tulle_sample_app.server import Server
from tulle_sample_app.upstream import Upstream


def run(coroutine):
    """Run a test's coroutine; a test that hangs fails."""
    return asyncio.run(asyncio.wait_for(coroutine, 60))


class Served:
    """An app on a port of its own."""

    def __init__(self, app, server, port):
        self.app, self.server, self.port = app, server, port
        self.url = f"http://127.0.0.1:{port}"

    async def talk(self, *sent, end=True):
        """Send bytes on a new connection and return all that comes back until the server closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for part in sent:
            writer.write(part)
            await writer.drain()
        if end:
            writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    async def ask(self, target="/", method="GET", body=b"", fields=()):
        """One request on a connection of its own: (status, JSON)."""
        lines = [f"{method} {target} HTTP/1.1", "Host: app", "Connection: close", f"Content-Length: {len(body)}",
                 *(f"{name}: {value}" for name, value in fields)]
        answer = await self.talk("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)


@contextlib.asynccontextmanager
async def _serve(handler=None, *, name="app-b", upstream=None, **knobs):
    app = App(Identity(name, f"{name}-pod"), Knobs(**knobs), Upstream(upstream) if upstream else None)
    server = Server(handler or app.handle)
    served = Served(app, server, await server.start(0))
    try:
        yield served
    finally:
        await server.drain(0, 0)
        if app.upstream:
            app.upstream.close()


@pytest.fixture
def serve():
    return _serve


@pytest.fixture(name="run")
def run_fixture():
    return run
