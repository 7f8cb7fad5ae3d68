"""A TCP relay: accept a connection, dial the server, carry bytes both ways until both sides are done.

    client ──────────> relay :9000 ──────────> server :7000
           <──────────             <──────────

A proxy is this, and then decisions. Run it by hand with:  python relay.py 9000 localhost 7000
"""

import sys

import trio

CHUNK = 65536


async def pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    """Carry what `source` sends to `sink`, until `source` has ended; then let `sink` know of that end.

    TCP has two directions, and each ends by itself (RFC 9293 section 3.6). A client may say "that was my request" by
    ending its direction, and still wait for the answer on the other one. So the end has to be passed on, and only
    that: the other direction must stay open.
    """
    # TODO: receive pieces of at most CHUNK bytes and send each on, until receive_some() gives b"".
    #       Then end the sink's direction, without closing the stream.


async def relay(client: trio.SocketStream, server: trio.SocketStream) -> None:
    """Carry both directions at once, until both have ended, or until one of the two breaks.

    However this ends, both streams are closed when it returns: nobody may be left waiting.
    """
    # TODO: run pump(client, server) and pump(server, client) at the same time, and wait for both.
    #       When one raises (trio.BrokenResourceError: somebody vanished), the other one must not go on for ever.
    #       Close both streams at the end, whatever happened.


async def main(port: int, host: str, upstream_port: int) -> None:
    """Serve for ever; one connection's misfortune is nobody else's."""

    async def handle(client: trio.SocketStream) -> None:
        try:
            server = await trio.open_tcp_stream(host, upstream_port)
        except OSError as error:
            print(f"cannot reach {host}:{upstream_port}: {error}", flush=True)
            return
        try:
            await relay(client, server)
        except* (trio.BrokenResourceError, trio.ClosedResourceError) as group:
            print(f"a connection broke: {group.exceptions[0]!r}", flush=True)

    await trio.serve_tcp(handle, port)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
