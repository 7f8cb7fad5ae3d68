"""What browsers are told, and what the application never sees."""

import pytest
import trio
from tulle_plugin_api import ConfigError, Exchange, Headers, Position, Response, TrioRuntime, load
from tulle_plugin_api.config import decode
from tulle_policy_cors import Cors, CorsConfig

SHOP = "https://shop.example"


def answer_to(method="GET", theirs=(), config=None, **fields):
    """(fields of the answer, whether the application was asked)"""
    asked = []

    async def next(exchange):
        asked.append(exchange)
        return Response(200, Headers.of([("content-type", "text/plain"), *theirs]))

    async def test():
        exchange = Exchange(Headers.of([(name.replace("_", "-"), value) for name, value in fields.items()]))
        exchange.method = method
        given = decode(CorsConfig, {"allow_origins": [SHOP], **(config or {})})
        assert Cors().check(given) == []
        return await Cors().build(given, next, TrioRuntime(direction="inbound"))(exchange)

    response = trio.run(test)
    assert response.status == (200 if asked else 204)
    fields = dict(response.headers)
    assert len(fields) == len(response.headers), "no field twice"
    fields.pop("content-type", None)
    return {name.removeprefix("access-control-"): value for name, value in fields.items()}, asked


def preflight(origin=SHOP, method="PUT", headers=None, **config):
    fields = {"origin": origin, "access_control_request_method": method}
    if headers:
        fields["access_control_request_headers"] = headers
    got, asked = answer_to("OPTIONS", config=config, **fields)
    assert not asked, "the application knows nothing of preflights"
    assert got.pop("tulle-reason") == "cors-preflight", "an answer that the proxy made says so"
    assert got.pop("vary") == "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    return got


def test_it_is_installed_before_authorization_and_on_the_fast_path():
    installed = load().policies["cors"]
    assert isinstance(installed, Cors)
    assert installed.position < Position.AUTHORIZE
    assert (installed.uses_trio, installed.direction) == (False, "inbound")


def test_preflights():
    assert preflight() == {"allow-origin": SHOP, "allow-methods": "GET, HEAD, POST", "max-age": "5"}
    assert preflight(allow_methods=["PUT"], allow_headers=["x-a", "x-b"], allow_credentials=True, max_age="1h") == {
        "allow-origin": SHOP, "allow-credentials": "true", "allow-methods": "PUT", "allow-headers": "x-a, x-b",
        "max-age": "3600",
    }
    assert preflight(headers="x-c, x-d", allow_methods=["*"], allow_headers=["*"]) == {
        "allow-origin": SHOP, "allow-methods": "PUT", "allow-headers": "x-c, x-d", "max-age": "5",
    }
    assert preflight(allow_origins=["*"])["allow-origin"] == "*"


def test_a_page_that_is_not_allowed_is_told_nothing():
    assert preflight("https://evil.example") == {}
    got, asked = answer_to(origin="https://evil.example")
    assert (got, len(asked)) == ({"vary": "Origin"}, 1)


def test_calls():
    assert answer_to(origin=SHOP)[0] == {"allow-origin": SHOP, "vary": "Origin"}
    got, _ = answer_to(origin=SHOP, config={"expose_headers": ["x-a", "x-b"], "allow_credentials": True})
    assert got == {"allow-origin": SHOP, "allow-credentials": "true", "expose-headers": "x-a, x-b", "vary": "Origin"}
    assert answer_to(origin=SHOP, config={"allow_origins": ["*"]})[0] == {"allow-origin": "*"}


def test_a_call_without_origin_is_none_from_another_page_but_caches_must_know():
    assert answer_to()[0] == {"vary": "Origin"}
    assert answer_to(config={"allow_origins": ["*"]})[0] == {}


def test_an_options_request_that_is_no_preflight_is_the_applications():
    for fields in ({"origin": SHOP}, {"access_control_request_method": "PUT"}):
        assert answer_to("OPTIONS", **fields)[1]


def test_what_the_application_says_of_it_is_replaced():
    theirs = [("Access-Control-Allow-Origin", "*"), ("access-control-allow-credentials", "true")]
    assert answer_to(theirs=theirs, origin=SHOP)[0] == {"allow-origin": SHOP, "vary": "Origin"}
    assert answer_to(theirs=theirs, origin="https://evil.example")[0] == {"vary": "Origin"}


@pytest.mark.parametrize(
    ("pattern", "origin", "allowed"),
    [
        ("https://*.example", "https://shop.example", True),
        ("https://*.example", "https://a.shop.example", True),
        ("https://*.example", "https://example", False),
        ("https://*.example", "https://.example", False),
        ("https://*.example", "http://shop.example", False),
        ("https://*.example", "https://shop.example:8443", False),
        ("https://*.example:8443", "https://shop.example:8443", True),
        ("https://*.example", "https://evil.test/.example", False),
        ("https://*.example", "https://shop.example.evil.test", False),
        ("https://*.example", "https://shopXexample", False),
        ("https://shop.example", "https://shopXexample", False),
        ("http://[::1]:8080", "http://[::1]:8080", True),
        ("https://*", "https://anything.at.all", True),
        ("https://*", "http://anything.at.all", False),
        ("https://shop.example", "null", False),
        ("*", "null", True),
    ],
)
def test_origins(pattern, origin, allowed):
    got, _ = answer_to(origin=origin, config={"allow_origins": [pattern, "https://other.test"]})
    assert ("allow-origin" in got) is allowed


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "spec.config: object missing required field allow_origins"),
        ({"allow_origins": "*"}, "spec.config.allow_origins: expected array, got str"),
        ({"allow_origins": ["*"], "allow_orgins": []}, "did you mean 'allow_origins'?"),
        ({"allow_origins": ["*"], "max_age": 60}, "spec.config.max_age: expected a duration"),
    ],
)
def test_bad_configuration_is_refused_with_what_would_be_right(given, problem):
    with pytest.raises(ConfigError) as refused:
        decode(CorsConfig, given)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"allow_origins": []}, "allow_origins: empty"),
        ({"allow_origins": ["shop.example"]}, "allow_origins: expected scheme://host[:port]"),
        ({"allow_origins": ["https://shop.example/"]}, "allow_origins: expected scheme://host[:port]"),
        ({"allow_origins": ["https://Shop.example"]}, "allow_origins: expected scheme://host[:port] in lower case"),
        ({"allow_origins": ["https://a.*.example"]}, "allow_origins: expected"),
        ({"allow_origins": ["*"], "allow_credentials": True}, 'allow_origins: "*" with allow_credentials'),
        ({"allow_origins": [SHOP], "allow_headers": ["a b"]}, "allow_headers: expected a name, got 'a b'"),
        ({"allow_origins": [SHOP], "expose_headers": ["a\r\nb"]}, "expose_headers: expected a name"),
    ],
)
def test_what_types_cannot_say(given, problem):
    (said,) = Cors().check(decode(CorsConfig, given))
    assert said.startswith(problem)
