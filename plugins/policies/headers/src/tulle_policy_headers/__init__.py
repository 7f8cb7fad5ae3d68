"""Headers: sets, adds and removes fields of requests and answers, as the Gateway API's header modifiers do.

Owns the edits. Refuses to touch fields that say where a message begins and ends: who edits those smuggles requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import field
from tulle_plugin_api import Config, Exchange, Handler, Headers, Policy, Position, Response, Runtime, hookimpl

SIDES = {"client": "outbound", "server": "inbound"}

FRAMING = frozenset({
    "connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
    "upgrade",
})
"""Of a connection or a message's framing (RFC 9110 section 7.6.1, RFC 9112 section 6), and the host that was asked."""


class EditConfig(Config):
    """Edits of one message, in this order."""

    set: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it
    """The only field of its name afterwards."""
    add: dict[str, str] = {}  # noqa: RUF012
    """One more; those of the same name stay."""
    remove: tuple[str, ...] = ()


class HeadersConfig(Config):
    """What to edit."""

    request: EditConfig = field(default_factory=EditConfig)
    response: EditConfig = field(default_factory=EditConfig)
    """Also of answers that a policy further in made; not of those that the proxy makes of failures."""
    side: Literal["client", "server"] = "client"
    """In clients' proxies, or in the service's own."""


class HeaderFields(Policy[HeadersConfig]):
    """Edits header fields."""

    config = HeadersConfig
    position = Position.REQUEST
    direction = "both"
    uses_trio = False

    def check(self, config: HeadersConfig) -> list[str]:
        """What types cannot say."""
        problems = []
        if not _edits(config.request) and not _edits(config.response):
            problems.append("request, response: nothing to edit; at least one of set, add and remove in one of them")
        for where, edit in (("request", config.request), ("response", config.response)):
            problems += _problems(where, edit)
        return problems

    def build(self, config: HeadersConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, with other fields."""
        if SIDES[config.side] != runtime.direction:
            return next
        request, response = _editor(config.request), _editor(config.response)

        async def handle(exchange: Exchange) -> Response:
            if request is not None:
                exchange.headers = request(exchange.headers)
            answer = await next(exchange)
            if response is not None:
                answer.headers = response(answer.headers)
            return answer

        return handle


def _edits(edit: EditConfig) -> bool:
    return bool(edit.set or edit.add or edit.remove)


def _problems(where: str, edit: EditConfig) -> list[str]:
    problems: list[str] = []
    for verb, fields in (("set", edit.set), ("add", edit.add), ("remove", dict.fromkeys(edit.remove, ""))):
        for name, value in fields.items():
            try:
                Headers.of([(name, value)])
            except ValueError as error:
                problems.append(f"{where}.{verb}: {error}")
            if name.lower() in FRAMING:
                problems.append(f"{where}.{verb}: {name} belongs to the connection or the route, and cannot be edited")
    return problems


def _editor(edit: EditConfig) -> Callable[[Headers], Headers] | None:
    """The edits as one function; None for none. What can be worked out beforehand is, validation included."""
    if not _edits(edit):
        return None
    removed = {name.lower() for name in edit.remove}
    given = (*edit.set.items(), *edit.add.items())
    block = Headers.of([(name, value) for name, value in given if name.lower() not in removed]).block
    gone = tuple(removed.union(name.lower() for name in edit.set))

    def edited(headers: Headers) -> Headers:
        for name in gone:
            headers.remove(name)
        return Headers(headers.block + block) if block else headers

    return edited


@hookimpl
def tulle_policies() -> Mapping[str, Policy[Any]]:
    """The policy `headers`."""
    return {"headers": HeaderFields()}
