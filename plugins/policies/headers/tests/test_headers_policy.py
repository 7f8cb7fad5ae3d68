"""Edits of fields, handler by handler."""

import pytest
import trio
from tulle_plugin_api import ConfigError, Exchange, Headers, Position, Response, TrioRuntime, load
from tulle_plugin_api.config import decode
from tulle_policy_headers import FRAMING, HeaderFields, HeadersConfig

REQUEST = [("Host", "app-b"), ("X-User", "me"), ("Accept", "a"), ("accept", "b"), ("Cookie", "c")]
ANSWER = [("Server", "x"), ("Set-Cookie", "a"), ("Set-Cookie", "b")]


def edited(direction="outbound", **given):
    """(fields of the request as the upstream gets them, fields of the answer as the client does)"""
    seen = []

    async def next(exchange):
        seen.append(list(exchange.headers))
        return Response(200, Headers.of(ANSWER))

    async def test():
        runtime = TrioRuntime(direction=direction)
        handler = HeaderFields().build(decode(HeadersConfig, given), next, runtime)
        seen.append(list((await handler(Exchange(Headers.of(REQUEST)))).headers))
        return handler is next

    untouched = trio.run(test)
    assert untouched == (seen == [REQUEST, ANSWER])
    return tuple(seen)


def test_it_is_installed_on_the_fast_path():
    installed = load().policies["headers"]
    assert isinstance(installed, HeaderFields)
    assert (installed.position, installed.uses_trio, installed.direction) == (Position.REQUEST, False, "both")


@pytest.mark.parametrize(
    ("edit", "request_fields"),
    [
        ({"set": {"x-user": "you"}}, [*REQUEST[:1], *REQUEST[2:], ("x-user", "you")]),
        ({"set": {"x-new": "1"}}, [*REQUEST, ("x-new", "1")]),
        ({"set": {"ACCEPT": "z"}}, [*REQUEST[:2], REQUEST[4], ("ACCEPT", "z")]),
        ({"add": {"accept": "c"}}, [*REQUEST, ("accept", "c")]),
        ({"remove": ["accept", "x-nobody"]}, [*REQUEST[:2], REQUEST[4]]),
        ({"set": {"a": "1"}, "add": {"a": "2"}, "remove": ["cookie"]}, [*REQUEST[:4], ("a", "1"), ("a", "2")]),
        ({"set": {"a": "1"}, "remove": ["a"]}, REQUEST),
    ],
)
def test_requests(edit, request_fields):
    seen = []

    async def next(exchange):
        seen.extend(exchange.headers)
        return Response(200)

    async def test():
        handler = HeaderFields().build(decode(HeadersConfig, {"request": edit}), next, TrioRuntime())
        await handler(Exchange(Headers.of(REQUEST)))

    trio.run(test)
    assert seen == request_fields


def test_answers():
    edit = {"set": {"server": "tulle"}, "add": {"set-cookie": "c"}, "remove": ["x-powered-by"]}
    assert edited(response=edit) == (REQUEST, [*ANSWER[1:], ("server", "tulle"), ("set-cookie", "c")])
    assert edited(response={"remove": ["set-cookie"]}) == (REQUEST, ANSWER[:1])


@pytest.mark.parametrize(("side", "direction"), [("client", "outbound"), ("server", "inbound")])
def test_on_one_side_only(side, direction):
    assert edited(direction, side=side, request={"remove": ["cookie"]})[0] == REQUEST[:4]
    other = {"inbound": "outbound", "outbound": "inbound"}[direction]
    assert edited(other, side=side, request={"remove": ["cookie"]}) == (REQUEST, ANSWER)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"request": {"set": {"a": 1}}}, "expected str, got int"),
        ({"reqest": {}}, "spec.config: unknown field 'reqest'; did you mean 'request'?"),
        ({"request": {"del": ["a"]}}, "spec.config.request: unknown field 'del'"),
    ],
)
def test_bad_configuration_is_refused_with_what_would_be_right(given, problem):
    with pytest.raises(ConfigError) as refused:
        decode(HeadersConfig, given)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "request, response: nothing to edit"),
        ({"request": {"set": {"a b": "c"}}}, "request.set: 'a b' is not a field name"),
        ({"response": {"add": {"a": "b\r\nc: d"}}}, "response.add: value of a: control characters and line breaks"),
        ({"request": {"remove": [""]}}, "request.remove: '' is not a field name"),
        ({"request": {"set": {"a": "€"}}}, "request.set: value of a: only latin-1"),
        *[({"response": {"remove": [name.title()]}}, "response.remove: ") for name in sorted(FRAMING)],
        *[({"request": {"set": {name: "1"}}}, "request.set: ") for name in sorted(FRAMING)],
        *[({"request": {"add": {name: "1"}}}, "request.add: ") for name in sorted(FRAMING)],
    ],
    ids=repr,
)
def test_what_types_cannot_say(given, problem):
    (said,) = HeaderFields().check(decode(HeadersConfig, given))
    assert said.startswith(problem)
