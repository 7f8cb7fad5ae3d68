"""Which protocol does a connection speak? From its first bytes, and within a deadline.

Ports 9080 and 9025 are relayed to a web server and a mail server; so is 25, which is known to be mail's.
"""

import json
import re

import trio

HTTP, OPAQUE = "http/1", "opaque"
DEADLINE = 1.0
"""Seconds that a client has for its first bytes. Then the connection is relayed without knowing what it is."""
OPAQUE_PORTS = {25, 587, 3306, 5432, 6379}
"""Here the server speaks first, or it is no HTTP: nothing to wait for."""
MOST = 64
"""Bytes that are looked at. What is no HTTP by then is none."""

METHOD = re.compile(rb"[A-Za-z-]+")


def detect(first: bytes) -> str | None:
    """HTTP or OPAQUE, as soon as `first` leaves no doubt; None while more bytes could make it either.

    A request begins with a method, one space, and a target, and the target begins with "/", "http://" or "*"
    (RFC 9112 section 3). So b"G" may become one, b"GET /" is one, and b"\x16\x03" (TLS) and b"HELO mesh" are not.
    """
    method = METHOD.match(first)
    if first and method is None:
        return OPAQUE
    after = first[method.end() :] if method else b""
    target = after[1:].lower()
    if not target and after in (b"", b" "):
        return None if len(first) < MOST else OPAQUE
    if after[:1] != b" ":
        return OPAQUE
    if target.startswith((b"/", b"http://", b"*")):
        return HTTP
    return None if b"http://".startswith(target) else OPAQUE


async def decide(client: trio.SocketStream, port: int) -> tuple[str, bytes]:
    """The protocol of a new connection, and the bytes that were read to find out. They are sent on afterwards.

    A port of OPAQUE_PORTS is opaque at once. A client that says nothing, or too little, for DEADLINE seconds is
    opaque; so is one that ended.
    """
    if port in OPAQUE_PORTS:
        return OPAQUE, b""
    first = b""
    with trio.move_on_after(DEADLINE):
        while data := await client.receive_some(MOST):
            first += data
            protocol = detect(first)
            if protocol is not None:
                return protocol, first
    return OPAQUE, first


# --- from here on it is complete ------------------------------------------------------------------------------------

ROUTES = {9080: ("web", 80), 9025: ("mail", 25), 25: ("mail", 25)}


async def pump(source: trio.SocketStream, sink: trio.SocketStream, first: bytes = b"") -> None:
    """Lesson 2, with the bytes that were read already."""
    if first:
        await sink.send_all(first)
    while data := await source.receive_some(65536):
        await sink.send_all(data)
    await sink.send_eof()


async def handle(client: trio.SocketStream, port: int) -> None:
    """One connection: decide, log, dial, relay."""
    began = trio.current_time()
    try:
        protocol, first = await decide(client, port)
        waited = round(trio.current_time() - began, 2)
        print(json.dumps({"port": port, "protocol": protocol, "waited": waited, "read": len(first)}), flush=True)
        server = await trio.open_tcp_stream(*ROUTES[port])
        async with client, server, trio.open_nursery() as both:
            both.start_soon(pump, client, server, first)
            both.start_soon(pump, server, client)
    except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as group:
        print(f"a connection broke: {group.exceptions[0]!r}", flush=True)


async def main() -> None:
    """Serve all ports for ever."""
    async with trio.open_nursery() as nursery:
        for port in ROUTES:
            nursery.start_soon(trio.serve_tcp, lambda client, port=port: handle(client, port), port)
        nursery.start_soon(trio.serve_tcp, trio.SocketStream.aclose, 9000)  # for probes: it only says that we are there


if __name__ == "__main__":
    trio.run(main)
