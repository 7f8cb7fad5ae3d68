"""HTTPRouteRule.sessionPersistence (GEP-1619)."""

import pytest
from conformance_objects import SPREAD, backend, route, rule, share, versions

pytestmark = pytest.mark.trio


def cookie(answer):
    """(name=value, attributes) of Set-Cookie; None where there is none."""
    text = answer.headers.get("set-cookie")
    return None if text is None else tuple(text.split("; ", 1))


async def test_a_cookie_keeps_a_session_at_its_endpoint(cluster):
    """Core for type Cookie: the first answer sets it; with it, the same pod serves."""
    async with cluster("app-b", "app-b@v2", "app-b@v3") as c:
        c.tell(route(rule("app-b", sessionPersistence={"sessionName": "my-session"})))
        first = await c.get()
        pair, attributes = cookie(first)
        assert pair.startswith("my-session=")
        assert attributes == "Path=/; HttpOnly; SameSite=Lax"
        again = await c.many(SPREAD, cookie=f"other=1; {pair}")
        assert {answer.version for answer in again} == {first.version}
        assert all(cookie(answer) is None for answer in again)
        assert await versions(c) == {"v1", "v2", "v3"}


async def test_a_header_field_does_it_too(cluster):
    """Extended: type Header."""
    async with cluster("app-b", "app-b@v2") as c:
        c.tell(route(rule("app-b", sessionPersistence={"type": "Header", "sessionName": "x-session"})))
        first = await c.get()
        token = first.headers["x-session"]
        assert await versions(c, x_session=token) == {first.version}


async def test_a_session_stays_with_its_backend_whatever_the_weights(cluster):
    """GEP-1619: what is split by weight are sessions."""
    async with cluster("app-b", "app-b2") as c:
        persistence = {"sessionName": "s"}
        c.tell(route({"backendRefs": [backend("app-b"), backend("app-b2")], "sessionPersistence": persistence}))
        first = await c.get()
        pair, _ = cookie(first)
        assert await share(c, SPREAD, cookie=pair) == {first.service: SPREAD}


async def test_an_endpoint_that_has_left_is_replaced(cluster):
    """GEP-1619: a session whose endpoint is gone goes to another one, and is a new session from there."""
    async with cluster("app-b", "app-b@v2") as c:
        c.tell(route(rule("app-b", sessionPersistence={"sessionName": "s"})))
        first = await c.get()
        pair, _ = cookie(first)
        await c.leave("app-b" if first.version == "v1" else "app-b@v2")
        after = await c.get(cookie=pair)
        assert after.status == 200
        assert after.version != first.version
        new, _ = cookie(after)
        assert new != pair


@pytest.mark.parametrize("token", ["s=", "s=x", "s=0011223344556677.1.1", "s=..", "s=x.-1.2", "s=x.9999999999999.1"])
async def test_a_token_that_nobody_gave_begins_a_session(cluster, token):
    """GEP-1619: what a client made up, or somebody else gave, is no session."""
    async with cluster("app-b") as c:
        c.tell(route(rule("app-b", sessionPersistence={"sessionName": "s"})))
        answer = await c.get(cookie=token)
        assert answer.service == "app-b"
        assert cookie(answer) is not None


# Tokens have whole seconds: a session may end up to one early.


async def test_sessions_end(cluster, wall):
    """absoluteTimeout: from the beginning, whatever is asked meanwhile. A Permanent cookie says when it ends."""
    async with cluster("app-b", "app-b@v2") as c:
        limits = {"sessionName": "s", "absoluteTimeout": "3s", "cookieConfig": {"lifetimeType": "Permanent"}}
        c.tell(route(rule("app-b", sessionPersistence=limits)))
        await c.send()
        start = wall()
        pair, attributes = cookie(await c.get())
        assert attributes.endswith(("Max-Age=2", "Max-Age=3"))  # tokens have whole seconds
        asked = 0
        while cookie(await c.get(cookie=pair)) is None:
            asked += 1
            wall()
        assert wall() - start >= 2
        assert asked


async def test_sessions_that_are_idle_end(cluster, wall):
    """idleTimeout: counted from the last request; who goes on asking keeps the session, beyond that time."""
    async with cluster("app-b", "app-b@v2") as c:
        c.tell(route(rule("app-b", sessionPersistence={"sessionName": "s", "idleTimeout": "2s"})))
        pair, _ = cookie(await c.get())
        first = pair
        start = last = wall()
        while wall() - start < 3.5:
            asked = wall()
            new = cookie(await c.get(cookie=pair))
            pair = new[0] if new else pair  # seen: the token says so
            if wall() - last > 0.9:  # so slow a machine that the session may have been idle: from the start again
                first, start = pair, asked
            last = asked
            assert begun(pair) == begun(first)
        while wall() - last < 2.2:
            assert (await c.get()).status == 200  # somebody else's requests; ours is idle
        new, _ = cookie(await c.get(cookie=pair))
        assert begun(new) != begun(first)


def begun(pair):
    """When a token's session has begun."""
    return pair.split(".")[1]
