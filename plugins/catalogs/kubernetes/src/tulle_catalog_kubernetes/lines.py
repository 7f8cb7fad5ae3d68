"""A watch's bytes to its events: one JSON object a line. Pure; how the bytes are cut into chunks does not matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

MOST_BYTES = 16 * 1024 * 1024
"""A line longer than this is no object of a cluster (etcd takes 1.5 MiB)."""


class Unreadable(Exception):
    """The stream is not what the API promises. The message says how."""


class Lines:
    """Takes chunks, gives events. What is left when a stream ends was cut off, and is forgotten with it."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """The events that are complete now. Raises Unreadable."""
        start = len(self._rest)
        self._rest += chunk
        done = 0
        while (end := self._rest.find(b"\n", start)) >= 0:
            line = bytes(self._rest[done:end])
            done = start = end + 1
            if line.strip():
                yield _event(line)
        del self._rest[:done]
        if len(self._rest) > MOST_BYTES:
            raise Unreadable(f"a line of more than {MOST_BYTES} bytes")


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = msgspec.json.decode(line)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Unreadable(f"not JSON: {error}") from None
    if not isinstance(event, dict):
        raise Unreadable("a line that is no JSON object")
    if not isinstance(event.get("type"), str) or not isinstance(event.get("object"), dict):
        raise Unreadable("a line that is no watch event: expected {type, object}")
    return event
