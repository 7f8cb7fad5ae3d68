"""Listening sockets: accepts connections and starts a strand for each.

Owns the listeners. Out of descriptors, it backs off and says so once, without spinning; what is open goes on.
"""

from __future__ import annotations

import errno
import logging
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from tulle_data_plane.driver import Driver, Watch
from tulle_data_plane.log import say
from tulle_data_plane.nursery import Nursery, open_nursery
from tulle_data_plane.shell.channel import keep_alive
from tulle_data_plane.shell.descriptors import RESOURCE_ERRORS, probe

BACKLOG = 4096
BATCH = 64
"""Connections accepted before other strands get a turn."""

Handle = Callable[[socket.socket, tuple[str, int]], Coroutine[Any, Any, None]]
"""Serves a connection from that address and port, as a strand: owns the socket, and closes it however it ends."""


def listen(port: int, *, loopback: bool = False) -> list[socket.socket]:
    """Bind `port` on IPv4 and, where the kernel has it, IPv6. Raises OSError saying which port is in use."""
    sockets: list[socket.socket] = []
    try:
        hosts = ("127.0.0.1", "::1") if loopback else ("0.0.0.0", "::")
        for family, host in zip((socket.AF_INET, socket.AF_INET6), hosts, strict=True):
            try:
                sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            except OSError as error:
                if family == socket.AF_INET6 and error.errno == errno.EAFNOSUPPORT:
                    continue
                raise
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by what it accepts
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((host, port))
            except OSError as error:
                if family == socket.AF_INET6 and error.errno == errno.EADDRNOTAVAIL:
                    sockets.pop().close()
                    continue
                raise OSError(
                    error.errno,
                    f"port {port} cannot be bound ({error.strerror}); is another proxy running in this pod? "
                    "Another port: TULLE_OUTBOUND_PORT, TULLE_INBOUND_PORT, TULLE_ADMIN_PORT",
                ) from None
            keep_alive(sock)
            sock.listen(BACKLOG)
            if port == 0:
                port = sock.getsockname()[1]  # the same for both families
        return sockets
    except BaseException:
        for sock in sockets:
            sock.close()
        raise


async def accept_forever(driver: Driver, listener: socket.socket, handle: Handle, ceiling: int = sys.maxsize) -> None:
    """Start `handle` for each connection, as a strand. When cancelled: cancels these, waits for their end, and closes
    `listener`.

    Clients wait in the kernel's queue while descriptors with numbers below `ceiling` are all in use.
    """
    with listener:
        async with open_nursery(driver) as nursery:
            watch = Watch(driver, listener.fileno())
            try:
                await driver.run(_accept, driver, listener, watch, nursery, handle, ceiling)
            finally:
                watch.close()


async def _accept(
    driver: Driver,
    listener: socket.socket,
    watch: Watch,
    nursery: Nursery,
    handle: Handle,
    ceiling: int,
) -> None:
    pause = 0.0
    full = False
    while True:
        await watch.wait_readable()
        for _ in range(BATCH):
            try:
                if full:
                    probe(listener.fileno(), ceiling)
                sock, peer = listener.accept()
            except BlockingIOError:
                watch.readable = False
                break
            except OSError as error:
                if error.errno in RESOURCE_ERRORS:
                    if not pause:
                        say(logging.ERROR, "cannot accept connections; backing off", error=error.strerror,
                            hint="raise the pod's limit of open files, or look for a client that leaks connections")
                    pause = min(1.0, pause * 2 or 0.05)
                    await driver.sleep(pause)
                    break
                continue  # the client gave up while queued (ECONNABORTED and its kin)
            pause = 0.0
            full = sock.fileno() >= ceiling
            nursery.start(handle, sock, peer[:2])
        else:
            await driver.turn()
