"""The app's client: HTTP/1.1 GETs to one upstream over connections that are kept alive.

Owns its idle connections until `close`. Knows nothing of balancing: that is the mesh's work.
"""

import asyncio
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from tulle_sample_app.http1 import (
    MAX_HEAD_BYTES,
    UNTIL_CLOSE,
    HttpError,
    framing,
    read_body,
    read_response,
    render_head,
)

TIMEOUT_SECONDS = 30.0
MAX_IDLE = 64


class UpstreamError(Exception):
    """The upstream did not answer; `reason` is a short name for counting, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Answer:
    """What the upstream said."""

    status: int
    content_type: str
    body: bytes


class Upstream:
    """One upstream. Many calls may be under way; each has a connection to itself."""

    def __init__(self, url: str) -> None:
        """Take an address such as http://app-b or http://app-b:8080. Raises ValueError for what is not one."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ValueError(f"{url!r} is not an upstream; give http://NAME or http://NAME:PORT"
                             " (TLS is the mesh's work)")
        parts.hostname.encode("idna")  # what name resolution will do to it; a UnicodeError is a ValueError
        self.url = url.rstrip("/")
        self._host, self._port, self._authority = parts.hostname, parts.port or 80, parts.netloc
        self._idle: list[tuple[StreamReader, StreamWriter]] = []
        self.connections = 0

    async def get(self, target: str, fields: Iterable[tuple[str, str]]) -> Answer:
        """Ask for `target`. Raises UpstreamError. Cancelled, it gives the connection up."""
        request = render_head(f"GET {target} HTTP/1.1", [("Host", self._authority), *fields])
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while self._idle:
                    reader, writer = self._idle.pop()
                    if reader.at_eof() or writer.is_closing():
                        writer.close()
                        continue
                    answer = await self._ask(reader, writer, request, reused=True)
                    if answer is not None:
                        return answer
                reader, writer = await asyncio.open_connection(self._host, self._port, limit=MAX_HEAD_BYTES)
                self.connections += 1
                answer = await self._ask(reader, writer, request, reused=False)
                assert answer is not None
                return answer
        except TimeoutError:
            raise UpstreamError("timeout", f"{self.url} did not answer within {TIMEOUT_SECONDS:g} s") from None
        except HttpError as error:
            raise UpstreamError("not-http", f"{self.url} did not answer in HTTP: {error}") from error
        except IncompleteReadError:
            raise UpstreamError("cut-off", f"{self.url} closed the connection before its answer was whole") from None
        except OSError as error:
            raise UpstreamError("connect", f"{self.url} cannot be reached: {error}") from error

    async def _ask(self, reader: StreamReader, writer: StreamWriter, request: bytes, *, reused: bool) -> Answer | None:
        """Exchange one request and answer; None if a reused connection turned out to be dead before any answer.

        Sending again is safe then, because every request is a GET (RFC 9110 9.2.2).
        """
        answered = keep = False
        try:
            writer.write(request)
            await writer.drain()
            status, headers = await read_response(reader)
            answered = True
            how = framing(headers, UNTIL_CLOSE) if status not in (204, 304) else 0
            body = b"".join([piece async for piece in read_body(reader, how)])
            keep = how != UNTIL_CLOSE and "close" not in headers.options("connection")
            return Answer(status, headers.get("content-type"), body)
        except (ConnectionError, IncompleteReadError):
            if reused and not answered:
                return None
            raise
        finally:
            if keep and len(self._idle) < MAX_IDLE:
                self._idle.append((reader, writer))
            else:
                writer.close()

    def close(self) -> None:
        """Close the idle connections."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()
