"""Compression: answers leave the pod as gzip, to clients that take it (RFC 9110 section 8.4.1.3, RFC 1952).

Owns which answers are compressed, and what their fields then say. How a body is, is gzipped.py's; what a client takes,
accepted.py's. An answer is another representation once it is compressed (RFC 9110 section 8.4), so its length, its
strong validator and its ranges are not the application's any more; what vouches for its bytes keeps it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta
from tulle_plugin_api import Config, Exchange, Handler, Headers, Policy, Position, Response, Runtime, hookimpl

from tulle_policy_compression.accepted import takes_gzip
from tulle_policy_compression.gzipped import GzippedBody, gzipped

TYPES = (
    "text/*", "application/json", "application/*+json", "application/javascript", "application/xml",
    "application/*+xml", "application/x-ndjson", "application/wasm", "image/svg+xml",
)  # fmt: skip


class CompressionConfig(Config):
    """Which answers are compressed, and how hard."""

    types: tuple[str, ...] = TYPES
    """Content types; "text/*" and "application/*+json" are patterns. Images and archives are compressed already."""
    minimum: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 1024
    """Bytes. Shorter answers leave as they are; one whose length is not known does not count as short."""
    level: Annotated[int, Meta(ge=1, le=9)] = 1
    """zlib's. 1 is fast, and most of the gain; nothing else moves in this proxy while it compresses."""
    at_once: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """So many bodies of unknown end are compressed at one time (0.1 MB each); further ones leave as they are."""


class Compression(Policy[CompressionConfig]):
    """Compresses answers at the server, where it saves the network between the pods."""

    config = CompressionConfig
    position = Position.REQUEST
    direction = "inbound"
    uses_trio = False

    def check(self, config: CompressionConfig) -> list[str]:
        """What types cannot say."""
        problems = []
        for pattern in config.types:
            kind, slash, name = pattern.partition("/")
            if not (kind and slash and name) or "*" in kind or name.count("*") > 1 or ";" in pattern:
                problems.append(
                    f'types: expected a content type such as "application/json", "text/*" or "application/*+json", '
                    f"got {pattern!r}"
                )
            if pattern.lower() == EVENT_STREAM:
                problems.append(f"types: {EVENT_STREAM} is never compressed: who reads one waits for each event")
        return problems

    def build(self, config: CompressionConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, compressed."""
        wanted, level, under_way = _Types(config.types), config.level, [0]

        def compress(exchange: Exchange, answer: Response) -> None:
            headers, body = answer.headers, answer.body
            if exchange.method == "HEAD":  # as GET would have said, without the length of what nobody compresses
                _describe(headers)
            elif isinstance(body, bytes):
                small = gzipped(body, level)
                if len(small) < len(body):
                    answer.body = small
                    _describe(headers)
                    runtime.count("compression_bytes_saved_total", len(body) - len(small))
            elif under_way[0] < config.at_once:
                under_way[0] += 1
                answer.body = GzippedBody(body, level, done, runtime.count)
                _describe(headers)
            else:
                runtime.count("compression_too_many_total")

        def done() -> None:
            under_way[0] -= 1

        async def handle(exchange: Exchange) -> Response:
            answer = await next(exchange)
            if _may_be(exchange, answer, config.minimum) and answer.headers.get("content-type") in wanted:
                _vary(answer.headers)
                if takes_gzip(exchange.headers.get_all("accept-encoding")):
                    compress(exchange, answer)
            return answer

        return handle


EVENT_STREAM = "text/event-stream"
VOUCHED = ("content-range", "content-digest", "repr-digest", "digest", "content-md5")
"""What says something of exactly these bytes (RFC 9110 section 14.4, RFC 9530): they then stay."""
WITHOUT = frozenset({204, 205, 206, 304})
"""No content, or a part of it (RFC 9110 section 15); and 1xx."""


def _may_be(exchange: Exchange, answer: Response, minimum: int) -> bool:
    """Is this an answer that another coding may be put on?"""
    headers = answer.headers
    if answer.status < 200 or answer.status in WITHOUT or exchange.method == "CONNECT":
        return False
    coding = headers.get("content-encoding")
    if coding is not None and coding.lower() != "identity":
        return False
    if any(name in headers for name in VOUCHED):
        return False
    if isinstance(answer.body, bytes) and exchange.method != "HEAD":
        length: str | None = str(len(answer.body))
    else:
        length = headers.get("content-length")
    if length is not None and length.isdecimal() and int(length) < max(1, minimum):
        return False
    # RFC 9111 sections 5.2.1.6 and 5.2.2.6: either side may forbid it
    return not (_no_transform(exchange.headers) or _no_transform(headers))


def _no_transform(headers: Headers) -> bool:
    return any(
        directive.strip().lower() == "no-transform"
        for value in headers.get_all("cache-control")
        for directive in value.split(",")
    )


def _vary(headers: Headers) -> None:
    """A cache must not give what one client takes to another (RFC 9110 section 12.5.5)."""
    said = {name.strip().lower() for value in headers.get_all("vary") for name in value.split(",")}
    if not said & {"*", "accept-encoding"}:
        headers.add("vary", "Accept-Encoding")


def _describe(headers: Headers) -> None:
    """The fields of the compressed representation."""
    headers.set("content-encoding", "gzip")
    headers.remove("content-length")
    headers.remove("accept-ranges")  # ranges of the application's bytes are not ranges of these
    tag = headers.get("etag")
    if tag is not None and not tag.startswith("W/"):
        headers.set("etag", f"W/{tag}")  # the same thing, not the same bytes (RFC 9110 section 8.8.1)


class _Types:
    """Content types and patterns; a value with parameters is looked up without them."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        lowered = [pattern.lower() for pattern in patterns]
        self._exact = frozenset(pattern for pattern in lowered if "*" not in pattern)
        self._around = tuple(tuple(pattern.split("*")) for pattern in lowered if "*" in pattern)

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, str):
            return False
        kind = value.partition(";")[0].strip().lower()
        if kind in self._exact:
            return True
        if kind == EVENT_STREAM:
            return False
        return any(kind.startswith(start) and kind.endswith(end) for start, end in self._around)


@hookimpl
def tulle_policies() -> Mapping[str, Policy[Any]]:
    """The policy `compression`."""
    return {"compression": Compression()}
