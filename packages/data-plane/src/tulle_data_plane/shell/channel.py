"""A channel: bytes both ways with a peer, over TCP, or over TCP with a stage in between such as TLS.

Owns the protocol and its TCP implementation on the driver. Codecs, pools and relays know only `Channel`, which is
the seam where mutual TLS goes in: a stage is `async (Channel) -> Channel`.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Awaitable
from math import inf
from typing import Protocol

from tulle_plugin_api import Address

from tulle_data_plane.driver import Driver, Watch
from tulle_data_plane.errors import SlowReader
from tulle_data_plane.shell.descriptors import refuse_at
from tulle_data_plane.strands import PARK, RECEIVE_SIZE

AT_ONCE = 16384
"""Bytes that `TcpChannel.ask` leaves to the end of the driver's turn: what a socket takes whole, nearly always."""

KEEP_ALIVE = (
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),  # seconds of silence before the kernel asks the peer,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),  # seconds between one question and the next,
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6),  # and unanswered ones after which the peer is gone: ETIMEDOUT
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
)
"""A peer that vanished without a word (its node died) is found within 2 minutes of silence (RFC 1122 section 4.2.3.6).
Else it would never be: a relay's ends may be silent for ever. While bytes of ours are under way, the kernel's
retransmissions find it, within a quarter of an hour (RFC 1122 section 4.2.3.5); TCP_USER_TIMEOUT would do so sooner,
but also end connections to peers that are there and have stopped reading for a while."""


class Channel(Protocol):
    """What waits does so as a strand. Errors of the network are OSError; b"" from `recv` is the peer's orderly end."""

    peer: Address
    identity: str  # SPIFFE id that the peer proved, or ""
    secured: bool
    patience: float  # seconds that `send_all` waits for a peer that takes nothing; inf, as it begins: for ever

    def recv(self, size: int = RECEIVE_SIZE) -> Awaitable[bytes]:
        """The next bytes, at least one; b"" once the peer has ended its side."""

    def ask(self, data: bytes) -> Awaitable[bytes]:
        """Send `data`, then the next bytes: as `send_all` and `recv`, and cheaper where both are to be done.

        Raises Untaken when not a byte of `data` could be sent. Where only a part could, or the wait is interrupted,
        the next bytes say what the peer makes of it.
        """

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything; returns when the kernel has it. Raises SlowReader when `patience` is over."""

    def send_eof(self) -> None:
        """End our side; the peer's bytes still arrive."""

    def stale(self) -> bool:
        """While nothing is owed to us: has the peer ended, broken, or sent something nobody asked for?"""

    def close(self) -> None:
        """Close in order. May be called twice."""

    def abort(self) -> None:
        """Close with a reset, so that the peer sees a truncation and never a clean end."""


class Untaken(OSError):
    """Of what `Channel.ask` had to send, the peer took nothing."""


class TcpChannel:
    """A connected, non-blocking TCP socket."""

    __slots__ = (
        "_greedy", "_low_water", "_recv", "_send", "_socket", "identity", "patience", "peer", "secured", "watch",
    )  # fmt: skip

    def __init__(self, driver: Driver, connected: socket.socket, peer: Address) -> None:
        """Owns `connected` from now on: `close` or `abort` ends it."""
        self._socket = connected
        self._recv = connected.recv
        self._send = connected.send
        self._greedy = False
        self._low_water = 1
        self.watch = Watch(driver, connected.fileno())
        self.watch.send = connected.send
        self.peer = peer
        self.identity = ""
        self.secured = False
        self.patience = inf

    @property
    def socket(self) -> socket.socket:
        """The socket itself, for relays that let the kernel move the bytes."""
        return self._socket

    async def recv(self, size: int = RECEIVE_SIZE) -> bytes:
        """As Channel.recv: one system call where bytes are known to be there, none where not.

        Watch.wait_readable is written out here and in `ask`: each exchange waits here twice, and each coroutine on the
        way to a wait is passed through, to it and back.
        """
        watch = self.watch
        if self._greedy:
            self._greedy = False
            await watch.driver.turn()
        while True:
            if watch.taken is not None:
                return self._taken(size)
            if watch.readable:
                try:
                    data = self._recv(size)
                except BlockingIOError:
                    watch.readable = False
                else:
                    if len(data) < size:
                        if not watch.hung_up:  # as in Watch.take
                            watch.readable = False
                    else:
                        self._greedy = True  # there is more at once: others first
                    return data
            watch.reader = watch.driver.current or watch.driver.current_strand()
            if size == RECEIVE_SIZE:
                watch.receive = self._recv
            try:
                while not watch.readable and watch.taken is None:
                    await PARK
            finally:
                watch.reader = watch.receive = None

    async def ask(self, data: bytes) -> bytes:
        """As Channel.ask. The driver sends `data` at the end of its turn, and steps us when it has received."""
        watch = self.watch
        before = watch.taken  # (a name of its own, or mypy believes that it stays None while we wait)
        if watch.readable or watch.hung_up or before is not None or len(data) > AT_ONCE:
            return await self._ask_at_once(data)
        watch.reader = watch.driver.current or watch.driver.current_strand()
        watch.receive = self._recv
        watch.post(data)
        try:
            await PARK
            while not watch.readable and watch.taken is None and watch.unsent is None:
                await PARK
        except BaseException:
            watch.flush()  # as if it had been sent at once
            watch.unsent = None
            raise
        finally:
            watch.reader = watch.receive = None
        rest = watch.unsent
        if rest is None:
            taken = watch.taken
            if isinstance(taken, bytes) and len(taken) < RECEIVE_SIZE:  # nearly always
                watch.taken = None
                return taken
            return await self.recv()
        watch.unsent = None
        if watch.refused is not None:
            raise Untaken(*watch.refused.args)
        return await (self._ask_at_once(rest) if len(rest) == len(data) else self._ask_rest(rest))

    async def _ask_at_once(self, data: bytes) -> bytes:
        """`ask`, without waiting for the end of the driver's turn."""
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise Untaken(*error.args) from None
        return await (self._ask_rest(data[sent:]) if sent < len(data) else self.recv())

    async def _ask_rest(self, rest: bytes) -> bytes:
        """`ask`, when all but `rest` has been sent."""
        try:
            await self.send_all(rest)
        except OSError:
            pass  # a peer may answer and close without having read everything: its answer is still worth reading
        return await self.recv()

    def _taken(self, size: int) -> bytes:
        """Of what the driver has received for us: up to `size` bytes, or the error that it met."""
        watch = self.watch
        taken, watch.taken = watch.taken, None
        if not isinstance(taken, bytes):
            assert taken is not None
            raise taken
        if len(taken) > size:
            taken, watch.taken = taken[:size], taken[size:]
        elif len(taken) == RECEIVE_SIZE:
            self._greedy = True
        return taken

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As Channel.send_all. Nearly always one call and no wait."""
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        if sent == len(data):
            return
        watch, rest = self.watch, memoryview(data)[sent:]
        watch.writable = False  # what the kernel did not take, it will announce
        while rest:
            with watch.driver.deadline(self.patience, SlowReader()):
                await watch.wait_writable()
            try:
                sent = self._send(rest)
            except BlockingIOError:
                sent = 0
            rest = rest[sent:]
            if rest:
                watch.writable = False

    def low_water(self, size: int) -> None:
        """Be readable only with so many bytes, or at the peer's end (SO_RCVLOWAT, socket(7)). 1 is usual, and what it
        stays where the kernel knows no other."""
        if size != self._low_water:
            self._low_water = size
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
            except OSError:
                pass  # or it is closed

    def send_eof(self) -> None:
        """As Channel.send_eof."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise

    def stale(self) -> bool:
        """As Channel.stale. Nearly always without a system call: nothing has happened since the last read."""
        watch = self.watch
        if watch.taken is not None:
            return True
        if not watch.readable:
            return watch.hung_up or watch.closed
        if watch.hung_up:
            return True
        try:
            self._recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            # an edge that was announced after the read that already took its bytes
            watch.readable = False
            return False
        except OSError:
            pass
        return True

    def close(self) -> None:
        """As Channel.close."""
        if not self.watch.closed:
            self.watch.close(unregister=False)
            self._socket.close()

    def abort(self) -> None:
        """As Channel.abort."""
        if not self.watch.closed:
            try:
                # SO_LINGER with a time of zero: close() sends RST (RFC 9293 section 3.10.4, ABORT)
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass  # it is broken already, which is what we want
        self.close()


async def connect(driver: Driver, address: Address, ceiling: int = sys.maxsize) -> TcpChannel:
    """Connect to `address`. As a strand, under the caller's deadline. Raises OSError; leaks nothing on cancel.

    `ceiling`: of descriptors, see descriptors.py.
    """
    family = socket.AF_INET6 if ":" in address.ip else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    channel: TcpChannel | None = None
    try:
        refuse_at(sock.fileno(), ceiling)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(sock)
        started = sock.connect_ex((address.ip, address.port))
        channel = TcpChannel(driver, sock, address)
        if started == errno.EINPROGRESS:
            channel.watch.writable = False
            await channel.watch.wait_writable()
            started = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if started != 0:
            raise OSError(started, errno.errorcode.get(started, "error"))
        return channel
    except BaseException:
        if channel is not None:
            channel.close()
        sock.close()
        raise


def keep_alive(sock: socket.socket) -> None:
    """Have the kernel see whether the peer is still there. What a listening socket accepts inherits this."""
    for level, option, value in KEEP_ALIVE:
        sock.setsockopt(level, option, value)


def accepted(driver: Driver, sock: socket.socket, peer: tuple[str, int]) -> TcpChannel:
    """A channel over a socket just accepted from `peer`, whose options are the listener's (see `listen`)."""
    try:
        sock.setblocking(False)
        return TcpChannel(driver, sock, Address(unmapped(peer[0]), peer[1]))
    except BaseException:
        sock.close()
        raise


def unmapped(ip: str) -> str:
    """"::ffff:10.0.0.1" as "10.0.0.1": a dual-stack listener sees IPv4 peers mapped (RFC 4291 section 2.5.5.2)."""
    return ip[7:] if ip.startswith("::ffff:") and "." in ip else ip
