"""docs/headers.md, row by row: what is passed on, set and taken off, on each path."""

import pytest
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Address
from tulle_testkit import Answer, http_upstream

pytestmark = pytest.mark.trio

PASSED = {
    "x-forwarded-for": "203.0.113.7, 10.0.0.1",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "shop.example",
    "forwarded": "for=203.0.113.7;proto=https",
    "via": "1.1 edge",
    "x-request-id": "7b1d",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "a=b",
    "b3": "0",
    "x-b3-traceid": "0af7651916cd43dd",
    "date": "Sat, 21 Nov 2026 12:00:00 GMT",
    "server": "app",
    "user-agent": "curl/8.5.0",
}
TAKEN_OFF = {"keep-alive": "timeout=5", "proxy-connection": "keep-alive", "te": "gzip", "x-hop": "1"}
NEVER_ADDED = ("via", "x-forwarded-for", "x-forwarded-proto", "forwarded", "x-request-id", "server", "date", "x-envoy",
               "tulle-reason", "traceparent")  # fmt: skip
DIRECTIONS = ("outbound", "inbound")


async def through(m, harness, app, direction):
    """Where to dial so that the request passes a proxy in this direction on its way to `app`."""
    if direction == "outbound":
        await m.service(harness.VIP, app.port)
        return harness.VIP
    here = Address("127.0.0.1", app.port)
    m.table.apply_inbound(pb.Inbound(ports=[pb.InboundPort(port=app.port)]))
    return here


async def exchanged(mesh, harness, direction, fields, answer):
    """What the app saw of a request with these fields, and what the client saw of this answer."""
    async with mesh() as m, http_upstream(lambda request: answer) as app:
        address = await through(m, harness, app, direction)
        async with m.client(address, direction) as client:
            got = await client.get("/", **{name.replace("-", "_"): value for name, value in fields.items()})
        return app.requests[0], got


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_what_is_passed_on_is_passed_as_it_is(mesh, harness, direction):
    request, got = await exchanged(mesh, harness, direction, PASSED, Answer(headers=tuple(PASSED.items())))
    for name, value in PASSED.items():
        assert request.header(name) == [value], name
        assert got.headers[name] == value


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_what_concerns_one_connection_goes_no_further(mesh, harness, direction):
    named = {"connection": "keep-alive, x-hop", **TAKEN_OFF}
    request, got = await exchanged(mesh, harness, direction, named, Answer(headers=tuple(named.items())))
    for name in named:
        assert request.header(name) == [], name
        assert name not in got.headers, name


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_nothing_is_added(mesh, harness, direction):
    request, got = await exchanged(mesh, harness, direction, {}, Answer())
    for name in NEVER_ADDED:
        assert request.header(name) == [], name
        assert name not in got.headers, name


@pytest.mark.parametrize(("status", "kept"), [(200, True), (404, False), (503, False)])
async def test_only_proxies_give_reasons_for_errors(mesh, harness, status, kept):
    answer = Answer(status, (("tulle-reason", "forged"),))
    _, got = await exchanged(mesh, harness, "inbound", {}, answer)
    assert ("tulle-reason" in got.headers) == kept


async def test_outbound_a_reason_is_passed_on(mesh, harness):
    _, got = await exchanged(mesh, harness, "outbound", {}, Answer(503, (("tulle-reason", "no-endpoints"),)))
    assert got.reason == "no-endpoints"


async def test_a_proxys_own_answer_says_why(mesh, harness):
    async with mesh() as m:
        await m.service(harness.VIP)
        async with m.client() as client:
            got = await client.get()
    assert (got.status, got.reason) == (503, "no-endpoints")
