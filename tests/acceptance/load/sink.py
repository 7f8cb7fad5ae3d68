"""Where exporters send to: a receiver that takes everything at once, and one that takes nothing.

    sink.py PORT

| port | |
|---|---|
| PORT | HTTP: every POST is answered with 200 |
| PORT + 1 | TCP: lines, which are read |
| PORT + 2 | UDP: datagrams, which are read |
| PORT + 3 | TCP: connections are never accepted, nothing is read, nobody answers |

Until standard input ends; then prints what came, as JSON. Standard library only.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading


class Sink:
    """What has come."""

    def __init__(self) -> None:
        self.posts = self.lines = self.datagrams = 0

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or b"0"))
                self.posts += 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    async def tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        while data := await reader.read(65536):
            self.lines += data.count(b"\n")
        writer.close()

    def udp(self, sock: socket.socket) -> None:
        """All that is there."""
        try:
            while True:
                sock.recv(65536)
                self.datagrams += 1
        except BlockingIOError:
            pass


async def main(port: int) -> None:
    """Run it."""
    sink, loop, over = Sink(), asyncio.get_running_loop(), asyncio.Event()
    await asyncio.start_server(sink.http, "0.0.0.0", port, limit=1 << 24)
    await asyncio.start_server(sink.tcp, "0.0.0.0", port + 1)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("0.0.0.0", port + 2))
    datagrams.setblocking(False)
    loop.add_reader(datagrams, sink.udp, datagrams)
    hole = socket.create_server(("0.0.0.0", port + 3), backlog=64)

    def wait_for_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    await over.wait()
    hole.close()
    print(json.dumps(vars(sink)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
