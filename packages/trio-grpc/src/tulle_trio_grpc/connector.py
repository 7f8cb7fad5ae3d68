"""Keeps a channel connected, lazily: the current connection, attempts one at a time, backoff between failures.

The states are gRPC's (`connectivity-semantics-and-api.md`): idle until somebody calls; connecting; ready; and after a
failure "transient failure" until the backoff is over. Calls that do not `wait_for_ready` fail at once in that state,
and with the attempt they waited for (`wait-for-ready.md`); those that do, keep attempts going.
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from tulle_trio_grpc.backoff import Backoff
from tulle_trio_grpc.connection import Connection
from tulle_trio_grpc.errors import Cancelled, ConnectFailed
from tulle_trio_grpc.keepalive import Keepalive
from tulle_trio_grpc.transport import DialFailed

_log = logging.getLogger("tulle_trio_grpc")


class Connector:
    """Runs its tasks in `nursery`, and they end with it. `dial` raises DialFailed or OSError, or takes too long."""

    def __init__(
        self,
        nursery: trio.Nursery,
        dial: Callable[[], Awaitable[trio.abc.Stream]],
        *,
        name: str,
        connect_timeout: float,
        stream_window: int,
        keepalive: Keepalive | None,
        backoff: Backoff,
        random: Callable[[], float],
    ) -> None:
        self.name = name
        self.last_failure: str | None = None  # of connecting; None once connected
        self._nursery = nursery
        self._dial = dial
        self._connect_timeout = connect_timeout
        self._stream_window = stream_window
        self._keepalive = keepalive
        self._backoff = backoff
        self._random = random
        self._current: Connection | None = None
        self._connections: set[Connection] = set()  # the current one, and those that drain
        self._attempting = False
        self._failures = 0  # in a row
        self._attempts_failed = 0  # ever
        self._retry_at = -float("inf")
        self._changed = trio.lowlevel.ParkingLot()
        self._closed = False

    async def connection(self, *, wait_for_ready: bool) -> Connection:
        """A connection that takes new calls; raises ConnectFailed, or Cancelled if the channel is closed."""
        await trio.lowlevel.checkpoint()
        while True:
            if self._closed:
                raise Cancelled(f"the channel to {self.name} is closed")
            if self._current is not None:
                if self._current.usable:
                    return self._current
                self._retire(self._current)
            if self.last_failure is not None and trio.current_time() < self._retry_at and not wait_for_ready:
                raise ConnectFailed(f"{self.last_failure} (no new attempt before the backoff is over)")
            if not self._attempting:
                self._attempting = True
                self._nursery.start_soon(self._attempt)
            failed_before = self._attempts_failed
            await self._changed.park()
            if self._attempts_failed != failed_before and not wait_for_ready:
                raise ConnectFailed(self.last_failure or "connecting failed")

    async def close(self) -> None:
        """Close the connections politely; calls that wait for one end with Cancelled."""
        self._closed = True
        self._changed.unpark_all()
        async with trio.open_nursery() as nursery:
            for connection in self._connections:
                nursery.start_soon(connection.close)

    async def _attempt(self) -> None:
        """One attempt, when the backoff allows it."""
        try:
            await trio.sleep_until(self._retry_at)
            with trio.fail_after(self._connect_timeout):
                transport = await self._dial()
                connection = Connection(
                    transport,
                    name=self.name,
                    stream_window=self._stream_window,
                    keepalive=self._keepalive,
                    on_too_many_pings=self._slow_down,
                )
                await self._nursery.start(self._serve, connection)
        except (ConnectFailed, DialFailed, OSError) as error:
            self._failed(error.message if isinstance(error, ConnectFailed) else str(error))
        except trio.TooSlowError:
            self._failed(f"connecting to {self.name} took longer than {self._connect_timeout:g} s (connect_timeout)")
        except Exception as error:  # a stranger's function: what gives the SSL context, or dials
            _log.exception("%s: unforeseen error in connecting", self.name)
            self._failed(f"connecting to {self.name} raised {error!r}")
        else:
            _log.info("%s: connected", self.name)
            self.last_failure = None
            self._current = connection
        finally:
            self._attempting = False
            self._changed.unpark_all()

    async def _serve(self, connection: Connection, task_status: trio.TaskStatus[None]) -> None:
        """Run one connection to its end."""
        self._connections.add(connection)
        try:
            await connection.run(task_status)
        finally:
            self._connections.discard(connection)
            if self._current is connection:
                self._retire(connection)

    def _retire(self, connection: Connection) -> None:
        """The current connection takes no more calls: it drains, or has ended."""
        self._current = None
        if connection.streams.answered:
            self._failures = 0
        else:  # it accepted us and answered nothing: do not run in circles
            self._pause()

    def _slow_down(self) -> None:
        if self._keepalive is not None:
            self._keepalive = self._keepalive.slower()
            interval = self._keepalive.interval
            _log.warning("%s: pings were too many for the server; from now on every %g s", self.name, interval)

    def _failed(self, message: str) -> None:
        self.last_failure = message
        self._attempts_failed += 1
        self._pause()
        _log.info("%s", message)

    def _pause(self) -> None:
        self._failures += 1
        self._retry_at = trio.current_time() + self._backoff.delay(self._failures, self._random)
