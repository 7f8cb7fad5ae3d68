"""A body, gzipped (RFC 1952): whole, or piece by piece as it arrives.

Owns the compressor's life: what it is given leaves at once (a piece is flushed), so that nothing waits in it for what
may never come; its memory is given back when the body has ended, broken, or been given up, whichever is first.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from tulle_plugin_api import Body, WrappedBody

GZIP = 16
WINDOW, MEMORY = 13, 7
"""8 KiB of window: (1 << 15) + (1 << 16) bytes a body (zconf.h), a third of zlib's default, for a few per cent more."""


def _compressor(level: int) -> zlib._Compress:
    return zlib.compressobj(level, zlib.DEFLATED, GZIP + WINDOW, MEMORY)


def gzipped(body: bytes, level: int) -> bytes:
    """All of it."""
    compressor = _compressor(level)
    return compressor.compress(body) + compressor.flush()


class GzippedBody(WrappedBody):
    """`inner`, gzipped. `done` is called once; `count` is told what was saved."""

    def __init__(self, inner: Body, level: int, done: Callable[[], None], count: Callable[[str, float], None]) -> None:
        super().__init__(inner)
        self._compressor: zlib._Compress | None = _compressor(level)
        self._done, self._count = done, count
        self._read = self._made = 0

    async def read(self) -> bytes:
        """See Body."""
        if self._compressor is None:
            return b""
        try:
            piece = await self.inner.read()
        except BaseException:
            self._end()
            raise
        self._read += len(piece)
        if piece:
            made = self._compressor.compress(piece) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        else:
            made = self._compressor.flush()
            self._made += len(made)
            self._count("compression_bytes_saved_total", max(0, self._read - self._made))
            self._end()
            return made  # the last block and the checksum: never b"", which comes with the next read
        self._made += len(made)
        return made

    async def aclose(self) -> None:
        """See Body."""
        self._end()
        await self.inner.aclose()

    def _end(self) -> None:
        if self._compressor is not None:
            self._compressor = None
            self._done()
