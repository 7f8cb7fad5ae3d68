"""HTTP/1.1 for this app, both ends: heads, framing and bodies over asyncio streams (RFC 9110, RFC 9112).

What is ambiguous is refused: it is what a proxy in front of the app relies on. Knows nothing of paths or knobs.
Fine here; a production server would also limit how slowly a head may arrive byte by byte.
"""

import re
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from http import HTTPStatus

MAX_HEAD_BYTES = 32 * 1024
PIECE_BYTES = 64 * 1024
CHUNKED = "chunked"
UNTIL_CLOSE = "until close"
Framing = int | str  # a length in bytes, CHUNKED or UNTIL_CLOSE

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2
FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110 5.5; bytes are read as Latin-1
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\n]*)?\r\n")  # RFC 9112 7.1


class HttpError(Exception):
    """The peer's message is not HTTP that this app accepts; `status` is what a server answers."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Headers:
    """Header fields in the order of arrival; names in lower case."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self.fields = [(name.lower(), value) for name, value in fields]

    def all(self, name: str) -> list[str]:
        """Every value of a field, in order."""
        return [value for field, value in self.fields if field == name]

    def get(self, name: str) -> str:
        """The values of a field joined with commas; empty if it is absent."""
        return ", ".join(self.all(name))

    def options(self, name: str) -> set[str]:
        """A comma-separated field as a set of lower-case options."""
        return {option.strip().lower() for option in self.get(name).split(",")} - {""}


@dataclass
class Request:
    """A request's head."""

    method: str
    target: str
    version: str
    headers: Headers

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants the connection to go on (RFC 9112 9.3)."""
        options = self.headers.options("connection")
        return "close" not in options and (self.version == "HTTP/1.1" or "keep-alive" in options)


async def read_request(reader: StreamReader) -> Request | None:
    """Read a request's head; None at a clean end of the connection. Raises HttpError."""
    lines = await _read_head(reader)
    if lines is None:
        return None
    parts = lines[0].split(" ")
    if len(parts) != 3 or not TOKEN.fullmatch(parts[0]) or not parts[1]:
        raise HttpError(400, "the request line is not 'METHOD target HTTP/1.1'")
    if parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise HttpError(505 if parts[2].startswith("HTTP/") else 400, f"version {parts[2]!r} is not spoken here")
    headers = _headers(lines[1:])
    hosts = headers.all("host")
    if len(hosts) > 1 or (not hosts and parts[2] == "HTTP/1.1"):  # RFC 9112 3.2
        raise HttpError(400, f"there are {len(hosts)} Host fields, and there must be one")
    return Request(parts[0], parts[1], parts[2], headers)


async def read_response(reader: StreamReader) -> tuple[int, Headers]:
    """Read a response's status and fields, past interim ones (1xx). Raises HttpError or IncompleteReadError."""
    while True:
        lines = await _read_head(reader)
        if lines is None:
            raise IncompleteReadError(b"", None)
        match = re.fullmatch(r"HTTP/1\.[01] ([1-9][0-9]{2})( .*)?", lines[0])
        if not match:
            raise HttpError(502, f"{lines[0][:40]!r} is not a status line")
        if int(match[1]) >= 200:
            return int(match[1]), _headers(lines[1:])


async def _read_head(reader: StreamReader) -> list[str] | None:
    while True:
        try:
            raw = await reader.readuntil(b"\r\n\r\n")
        except IncompleteReadError as error:
            if error.partial.strip(b"\r\n"):
                raise HttpError(400, "the connection ended within a head") from None
            return None
        except LimitOverrunError:
            raise HttpError(431, f"the head is longer than {MAX_HEAD_BYTES} bytes") from None
        text = raw.lstrip(b"\r\n")  # empty lines before a request line are to be ignored: RFC 9112 2.2
        if text:
            return text.decode("latin-1").rstrip("\r\n").split("\r\n")


def _headers(lines: list[str]) -> Headers:
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not TOKEN.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
            raise HttpError(400, f"the field line {line[:40]!r} is not 'name: value'")
        fields.append((name, value.strip(" \t")))
    return Headers(fields)


def framing(headers: Headers, otherwise: Framing = 0) -> Framing:
    """Decide how a body's end is found (RFC 9112 6.3); `otherwise` if the head does not say. Raises HttpError."""
    codings, lengths = headers.all("transfer-encoding"), headers.all("content-length")
    if codings and lengths:
        raise HttpError(400, "Transfer-Encoding and Content-Length are both there: which one counts?")
    if codings:
        if [coding.lower() for coding in codings] != [CHUNKED]:
            raise HttpError(501, f"Transfer-Encoding {headers.get('transfer-encoding')!r} is not known, only chunked")
        return CHUNKED
    if lengths:
        if len(lengths) > 1 or not re.fullmatch(r"[0-9]{1,15}", lengths[0]):
            raise HttpError(400, f"Content-Length {headers.get('content-length')!r} is not one number")
        return int(lengths[0])
    return otherwise


async def read_body(reader: StreamReader, how: Framing) -> AsyncIterator[bytes]:
    """Yield a body in pieces. Raises HttpError for bad chunks, IncompleteReadError if it ends too early."""
    if isinstance(how, int):
        async for piece in _exactly(reader, how):
            yield piece
    elif how == UNTIL_CLOSE:
        while piece := await reader.read(PIECE_BYTES):
            yield piece
    else:
        while size := await _chunk_size(reader):
            async for piece in _exactly(reader, size):
                yield piece
            if await reader.readexactly(2) != b"\r\n":
                raise HttpError(400, "a chunk is longer than its size says")
        while await _line(reader) != b"\r\n":  # trailers are read and dropped
            pass


async def _exactly(reader: StreamReader, count: int) -> AsyncIterator[bytes]:
    while count:
        piece = await reader.read(min(count, PIECE_BYTES))
        if not piece:
            raise IncompleteReadError(b"", count)
        count -= len(piece)
        yield piece


async def _chunk_size(reader: StreamReader) -> int:
    match = CHUNK_SIZE.fullmatch(await _line(reader))
    if not match:
        raise HttpError(400, "a chunk does not begin with its size in hexadecimal digits")
    return int(match[1], 16)


async def _line(reader: StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n")
    except LimitOverrunError:
        raise HttpError(400, "a line within the body is too long") from None


def render_head(start: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """Render a start line and fields, with the empty line that ends a head."""
    return "".join((start, "\r\n", *(f"{name}: {value}\r\n" for name, value in fields), "\r\n")).encode("latin-1")


def status_line(status: int) -> str:
    """`HTTP/1.1 200 OK`."""
    try:
        return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    except ValueError:  # a status that only an experimenter would ask for
        return f"HTTP/1.1 {status} Unknown"
