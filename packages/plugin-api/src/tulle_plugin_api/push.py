"""Pushing: what exporters that send have in common. A loop, a bounded queue, and three ways to the network.

Owns that nothing here ever makes a request wait: datagrams that the kernel does not take are dropped and counted,
streams and HTTP run in a task, or in a thread. Refuses to know any format.

Imported by exporters that push, when they are configured (it needs trio, and `post` the standard library's HTTP
client): a proxy that pushes nothing does not pay for it.
"""

from __future__ import annotations

import logging
import socket
from abc import abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import trio

from tulle_plugin_api.protocols import Exporter

T = TypeVar("T")

log = logging.getLogger("tulle.proxy.exporters")


class SendFailed(Exception):
    """Nothing was delivered: the receiver is away, or would not have it. The message says which.

    `refused`: it was understood and will not be had later either, so that trying again is in vain.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class Backlog(Generic[T]):
    """What waits to be sent: at most `most` items. What comes when it is full is dropped and counted."""

    __slots__ = ("_items", "_most", "dropped")

    def __init__(self, most: int) -> None:
        self._items: deque[T] = deque()
        self._most = most
        self.dropped = 0

    def put(self, item: T) -> None:
        """On the hot path. The oldest stay: they are next to leave."""
        if len(self._items) < self._most:
            self._items.append(item)
        else:
            self.dropped += 1

    def take(self, most: int) -> list[T]:
        """Up to `most` of the oldest, which are then no longer in it."""
        pop = self._items.popleft
        return [pop() for _ in range(min(most, len(self._items)))]

    def give_back(self, items: list[T]) -> None:
        """What was taken and not sent goes to where it was, as far as there is room; the newest give way."""
        room = self._most - len(self._items)
        kept = items[: max(0, room)]
        self.dropped += len(items) - len(kept)
        self._items.extendleft(reversed(kept))

    def __len__(self) -> int:
        return len(self._items)


class Pusher(Exporter):
    """An exporter that sends every `interval` seconds, and once more at the end. Write `observe` and `send`."""

    sent = 0  # what was delivered, in the exporter's own units: lines, spans, ...
    dropped = 0  # what was given up
    failures = 0  # attempts that ended in SendFailed

    def __init__(self, name: str, interval: float) -> None:
        self.name = name
        self.interval = interval
        self._well = True
        self._sending = trio.Lock()

    @abstractmethod
    async def send(self) -> None:
        """Send what there is. Raise SendFailed if that failed; count what is given up in `dropped`."""

    async def attempt(self) -> bool:
        """`send`, one at a time; failures are counted, and logged when they begin and end. True: it went well."""
        async with self._sending:
            try:
                await self.send()
            except SendFailed as error:
                self.failures += 1
                if self._well:
                    log.warning("exporter %s cannot send: %s; it goes on trying", self.name, error)
                self._well = False
            else:
                if not self._well:
                    log.warning("exporter %s sends again", self.name)
                self._well = True
        return self._well

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await trio.sleep(self.interval)
            await self.attempt()

    async def aclose(self) -> None:
        """The last send."""
        await self.attempt()

    def counters(self) -> Mapping[str, float]:
        """What was sent, dropped, and failed."""
        return {"sent_total": self.sent, "dropped_total": self.dropped, "send_failures_total": self.failures}


# --- datagrams ---------------------------------------------------------------------------------------------------

RESOLVE_SECONDS = 30.0
SEND_BUFFER = 1 << 20
"""Bytes that the kernel is asked to hold for a socket of datagrams (it may allow less)."""


class Datagrams:
    """A socket for datagrams to "host:port" (UDP) or to a unix socket's path. Never waits for the receiver."""

    def __init__(self, to: tuple[str, int] | str) -> None:
        self._to = to
        self._socket: socket.socket | None = None
        self._renew_at = 0.0

    async def open(self) -> None:
        """Be ready to send. Names are looked up in a thread, and now and then again. Raises SendFailed."""
        now = trio.current_time()
        if self._socket is not None and now < self._renew_at:
            return
        try:
            fresh = await self._connect()
        except OSError as error:
            self.close()
            raise SendFailed(f"{self._to}: {error}") from error
        self.close()
        self._socket, self._renew_at = fresh, now + RESOLVE_SECONDS

    async def _connect(self) -> socket.socket:
        if isinstance(self._to, str):
            family, address = socket.AF_UNIX, self._to
            place: Any = address
        else:
            found = await trio.socket.getaddrinfo(*self._to, type=socket.SOCK_DGRAM)
            family, place = found[0][0], found[0][4]
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            sock.connect(place)
        except BaseException:
            sock.close()
            raise
        return sock

    def send(self, datagram: bytes) -> bool:
        """Hand one to the kernel, after `open`. False: its buffer is full, and the datagram was not taken.

        Raises SendFailed when the kernel has heard that there is nobody; it may be an earlier datagram that it
        heard of, so none since the last `refused` can be taken to have arrived.
        """
        if self._socket is None:
            raise SendFailed(f"{self._to}: not open")
        try:
            self._socket.send(datagram)
        except BlockingIOError:
            return False
        except OSError as error:
            self.close()
            raise SendFailed(f"{self._to}: {error}") from error
        return True

    def refused(self) -> bool:
        """Whether the kernel has heard (by ICMP) that nobody takes what was sent. Asking forgets it."""
        return self._socket is not None and self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def close(self) -> None:
        """Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


# --- a stream ------------------------------------------------------------------------------------------------------


class Stream:
    """A TCP connection that lines are written to, made when needed and again when it broke."""

    def __init__(self, to: tuple[str, int], timeout: float) -> None:
        """`timeout`: seconds for connecting and writing together."""
        self._to = to
        self._timeout = timeout
        self._stream: trio.SocketStream | None = None

    async def send(self, data: bytes) -> None:
        """All of it. Raises SendFailed; the connection is then closed, and how much arrived is not known."""
        try:
            with trio.fail_after(self._timeout):
                if self._stream is not None and _ended(self._stream.socket):
                    self.close()
                if self._stream is None:
                    self._stream = await trio.open_tcp_stream(*self._to)
                await self._stream.send_all(data)
        except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
            self.close()
            said = f"nothing within {self._timeout:g} s" if isinstance(error, trio.TooSlowError) else error
            raise SendFailed(f"{self._to[0]}:{self._to[1]}: {said}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Idempotent."""
        if self._stream is not None:
            self._stream.socket.close()
            self._stream = None


def _ended(sock: trio.socket.SocketType) -> bool:
    """Whether the other side has closed: the kernel would take what is written, and nobody read it."""
    try:
        with socket.socket(fileno=sock.fileno()) as same:
            try:
                return same.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
            finally:
                same.detach()
    except BlockingIOError:
        return False
    except OSError:
        return True


# --- HTTP ----------------------------------------------------------------------------------------------------------


async def post(url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> None:
    """POST in a thread, TLS included. Raises SendFailed for anything but a 2xx; redirects are not followed.

    When cancelled, the thread is left to its `timeout` (seconds), which bounds each of its waits.
    """
    await trio.to_thread.run_sync(_post, url, body, dict(headers), timeout, abandon_on_cancel=True)


def _post(url: str, body: bytes, headers: dict[str, str], timeout: float) -> None:
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    parts = urlsplit(url)
    make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=timeout)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        said = answer.read(300)
    except (OSError, HTTPException) as error:
        raise SendFailed(f"{parts.netloc}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        refused = 400 <= answer.status < 500 and answer.status not in (401, 403, 404, 408, 429)
        raise SendFailed(f"{parts.netloc}: {answer.status} {answer.reason}: {said!r}", refused=refused)
