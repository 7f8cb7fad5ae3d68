"""What the server is asked, and what is done with what it says. Pure: messages in, an Answer or edits out.

Owns the translation and its strictness: an answer that cannot be carried out to the letter is no decision at all.
"""

from __future__ import annotations

from collections.abc import Iterable

from tulle_api.v1 import plugin_pb2 as pb
from tulle_plugin_api import Exchange, Headers, Response

FRAMING = frozenset({
    "connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
    "upgrade",
})
"""Of a connection or a message's framing (RFC 9110 section 7.6.1, RFC 9112 section 6): who edits those smuggles."""


REASON = "external-policy"


class Undecided(Exception):
    """The server gave no answer, or none that can be carried out. Says why."""


def question(exchange: Exchange, only: Iterable[str] | None) -> pb.OnRequestRequest:
    """What the server is told of a request; `only`: the fields that it may see, all of them with None."""
    if only is None:
        fields = [pb.Field(name=name.lower(), value=value) for name, value in exchange.headers]
    else:
        fields = [
            pb.Field(name=name.lower(), value=value) for name in only for value in exchange.headers.get_all(name)
        ]
    return pb.OnRequestRequest(
        method=exchange.method,
        path=exchange.path,
        authority=exchange.authority,
        headers=fields,
        source_address=str(exchange.source),
        source_identity=exchange.source_identity,
        destination=exchange.service.authority if exchange.service else str(exchange.destination),
    )


def carry_out(said: pb.OnRequestResponse, exchange: Exchange) -> Response | None:
    """The server's answer instead of the request; None: the request goes on, with its edits. Raises Undecided.

    All edits or none.
    """
    verdict = said.WhichOneof("verdict")
    try:
        if verdict == "continue":
            edits: pb.Continue = getattr(said, "continue")
            exchange.headers = _edited(exchange.headers, edits)
            return None
        if verdict == "answer":
            status = said.answer.status
            if not 200 <= status <= 599:
                raise ValueError(f"status {status}; expected 200 to 599")
            body = b"" if status in (204, 205, 304) else said.answer.body  # RFC 9110: these have none
            headers = Headers.of(_fields(said.answer.headers))
            headers.set("tulle-reason", REASON)  # whoever wonders about this answer learns that the mesh made it
            return Response(status, headers, body, reason=REASON)
    except ValueError as error:
        raise Undecided(f"it said what cannot be done: {error}") from None
    raise Undecided("it said neither `continue` nor `answer`")


def _edited(headers: Headers, edits: pb.Continue) -> Headers:
    if not edits.set_headers and not edits.remove_headers:
        return headers
    edited = headers.copy()
    for name in edits.remove_headers:
        _check(name)
        edited.remove(name)
    for name, value in _fields(edits.set_headers):
        edited.set(name, value)
    return edited


def _fields(fields: Iterable[pb.Field]) -> list[tuple[str, str]]:
    for field in fields:
        _check(field.name)
    return [(field.name, field.value) for field in fields]


def _check(name: str) -> None:
    if name.lower() in FRAMING:
        raise ValueError(f"{name} belongs to the connection, and cannot be set or removed")
