"""Exchanges as rows: queued on the hot path, written in batches by a thread, the oldest deleted.

Owns the table and its size. `observe` makes a tuple and no more; a disk that is full or slow makes no request wait:
the queue is bounded, and what it does not hold is counted as dropped.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import trio
from tulle_plugin_api import Exchange, ExporterContext
from tulle_plugin_api.options import Options
from tulle_plugin_api.push import Backlog, Pusher, SendFailed

COLUMNS = (
    ("ended", "REAL"),  # seconds since 1970
    ("direction", "TEXT"),
    ("protocol", "TEXT"),
    ("source", "TEXT"),
    ("service", "TEXT"),  # namespace/name:port that was called; of a pod's own requests: that was served
    ("route", "TEXT"),
    ("backend", "TEXT"),
    ("pod", "TEXT"),  # who answered, where that is known
    ("method", "TEXT"),
    ("path", "TEXT"),
    ("status", "INTEGER"),  # 0: none was sent
    ("reason", "TEXT"),  # why the mesh answered itself
    ("seconds", "REAL"),
    ("attempts", "INTEGER"),
    ("request_bytes", "INTEGER"),
    ("response_bytes", "INTEGER"),
)
CREATE = f"CREATE TABLE IF NOT EXISTS exchanges ({', '.join(f'{name} {kind}' for name, kind in COLUMNS)})"
INSERT = f"INSERT INTO exchanges VALUES ({', '.join('?' * len(COLUMNS))})"
TRIM = "DELETE FROM exchanges WHERE rowid <= (SELECT max(rowid) FROM exchanges) - ?"
PATH = 256
"""Characters of a path, a method or a name that are kept: what clients send has no end."""

Row = tuple[str | int | float, ...]


class SQLite(Pusher):
    """One for each proxy, with a file of its own: writers of one file would wait for one another."""

    def __init__(self, context: ExporterContext) -> None:
        """Raises ValueError for options that it does not know: the proxy logs its words."""
        options = Options(context.options)
        path = options.text("path", "/tmp/tulle-{pod}.sqlite")
        self._rows = options.whole("rows", 100_000)
        self._backlog: Backlog[Row] = Backlog(options.whole("queue", 10_000))
        super().__init__("sqlite", options.seconds("interval", 1.0))
        options.done()
        self.path = Path(path.replace("{pod}", context.pod or "proxy"))

    def observe(self, exchange: Exchange) -> None:
        """On the hot path."""
        service, endpoint = exchange.service, exchange.endpoint
        self._backlog.put((
            time.time(),
            exchange.direction,
            exchange.protocol,
            exchange.source_identity or exchange.source.ip,
            f"{service.namespace}/{service.name}:{service.port}" if service else str(exchange.destination),
            exchange.route,
            exchange.backend,
            endpoint.pod if endpoint else "",
            exchange.method[:PATH],
            exchange.path.partition("?")[0][:PATH],  # a query may hold secrets
            exchange.status,
            exchange.reason,
            max(0.0, exchange.ended - exchange.started),
            exchange.attempts,
            exchange.request_bytes,
            exchange.response_bytes,
        ))  # fmt: skip

    async def send(self) -> None:
        """Write what is queued, in one transaction."""
        rows = self._backlog.take(len(self._backlog))
        self.dropped = self._backlog.dropped
        if not rows:
            return
        try:
            await trio.to_thread.run_sync(self._write, rows)
        except sqlite3.Error as error:
            self._backlog.give_back(rows)
            raise SendFailed(f"{self.path}: {error}") from error
        self.sent += len(rows)

    def _write(self, rows: Sequence[Row]) -> None:
        # opened for each batch: a file that was moved away or deleted is made anew, and no thread owns it
        database = sqlite3.connect(self.path, timeout=1.0)
        try:
            database.execute("PRAGMA journal_mode=WAL")  # readers do not hold us up, nor we them
            with database:
                database.execute(CREATE)
                database.executemany(INSERT, rows)
                database.execute(TRIM, (self._rows,))
        finally:
            database.close()
