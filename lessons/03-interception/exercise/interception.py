"""How a proxy gets connections that were meant for others: rules in the kernel, and the question where they were going.

    python interception.py rules      prints your rules
    python interception.py apply      gives them to iptables-restore: what the init container does
    python interception.py proxy      the proxy: takes connections on 4140 and 4143, and carries them on
"""

import json
import socket
import struct
import subprocess
import sys

import trio

OUTBOUND, INBOUND, ADMIN = 4140, 4143, 4191
PROXY_UID = 4140
SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h


def rules() -> list[str]:
    """The rules of the nat table, one a line, in the order in which the kernel reads them.

    Two chains of the kernel's are consulted once for each new connection:

        OUTPUT        connections that programs in this pod open
        PREROUTING    connections that arrive at this pod from the network

    A rule is `-A CHAIN match... -j TARGET`. The first one that matches and has a target decides:

        -j RETURN                        leave it as it is
        -j REDIRECT --to-ports 4140      this connection goes to a port of this machine instead

    Matches that you need: `-p tcp`, `--dport 4191` (after -p tcp), `-o lo` (it leaves by loopback),
    `-m owner --uid-owner 4140` (a program of this user opened it; only in OUTPUT).
    """
    # TODO: five rules.
    #   OUTPUT:      what the proxy itself opens stays as it is. Why? It would come back to the proxy, for ever.
    #                what goes over loopback stays as it is: the pod talks to itself.
    #                all other TCP goes to OUTBOUND.
    #   PREROUTING:  the proxy's admin port (ADMIN) is reached directly: probes must work without the proxy's help.
    #                all other TCP goes to INBOUND.
    return []


def destination(raw: bytes) -> tuple[str, int]:
    """Address and port out of a `struct sockaddr_in` (16 bytes), as getsockopt(SO_ORIGINAL_DST) gives it.

        bytes 0 to 1     address family, in this machine's byte order
        bytes 2 to 3     port, in network byte order (the big end first)
        bytes 4 to 7     IPv4 address
        the rest         nothing
    """
    # TODO: int.from_bytes(..., "big") or struct.unpack; socket.inet_ntoa makes text of four bytes.
    return "127.0.0.1", 1


# --- from here on it is complete ------------------------------------------------------------------------------------

MOST = 24
"""Connections at a time. A real proxy takes thousands; here a loop must be seen, and not harm the machine."""


def restore_input() -> str:
    """What iptables-restore reads: a whole table, committed at once, so that there are all rules or none."""
    return "\n".join(["*nat", ":PREROUTING ACCEPT", ":OUTPUT ACCEPT", *rules(), "COMMIT", ""])


async def pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    """Lesson 2."""
    while data := await source.receive_some(65536):
        await sink.send_all(data)
    await sink.send_eof()


async def proxy() -> None:
    """Take connections, ask where they were going, log it, and relay them there."""
    open_now = 0

    def say(**line: object) -> None:
        print(json.dumps(line), flush=True)

    async def handle(client: trio.SocketStream, direction: str) -> None:
        nonlocal open_now
        raw = client.socket.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
        ip, port = destination(raw)
        if open_now >= MOST:
            say(direction=direction, refused=f"{MOST} connections are open: is this a loop?")
            return
        say(direction=direction, destination=f"{ip}:{port}")
        open_now += 1
        try:
            server = await trio.open_tcp_stream(ip, port)
            async with client, server, trio.open_nursery() as both:
                both.start_soon(pump, client, server)
                both.start_soon(pump, server, client)
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as group:
            say(direction=direction, destination=f"{ip}:{port}", failed=str(group.exceptions[0]))
        finally:
            open_now -= 1

    async def admin(client: trio.SocketStream) -> None:
        await client.receive_some(65536)
        await client.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nready\n")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_tcp, lambda client: handle(client, "outbound"), OUTBOUND)
        nursery.start_soon(trio.serve_tcp, lambda client: handle(client, "inbound"), INBOUND)
        nursery.start_soon(trio.serve_tcp, admin, ADMIN)


if __name__ == "__main__":
    if sys.argv[1] == "rules":
        print(restore_input())
    elif sys.argv[1] == "apply":
        subprocess.run(["iptables-restore", "-w"], input=restore_input(), text=True, check=True)
    else:
        trio.run(proxy)
