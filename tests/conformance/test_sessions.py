"""HTTPRouteRule.sessionPersistence (GEP-1619)."""

import pytest

pytestmark = pytest.mark.trio


def cookie(answer):
    """(name=value, attributes) of Set-Cookie; None where there is none."""
    text = answer.headers.get("set-cookie")
    return None if text is None else tuple(text.split("; ", 1))


async def test_a_cookie_keeps_a_session_at_its_endpoint(cluster):
    """Core for type Cookie: the first answer sets it; with it, the same pod serves."""
    async with cluster("app-b", "app-b@v2", "app-b@v3") as c:
        c.tell(c.route(c.rule("app-b", sessionPersistence={"sessionName": "my-session"})))
        first = await c.get()
        pair, attributes = cookie(first)
        assert pair.startswith("my-session=")
        assert attributes == "Path=/; HttpOnly; SameSite=Lax"
        again = [await c.get(cookie=f"other=1; {pair}") for _ in range(8)]
        assert {answer.version for answer in again} == {first.version}
        assert all(cookie(answer) is None for answer in again)
        assert {(await c.get()).version for _ in range(8)} == {"v1", "v2", "v3"}


async def test_a_header_field_does_it_too(cluster):
    """Extended: type Header."""
    async with cluster("app-b", "app-b@v2") as c:
        c.tell(c.route(c.rule("app-b", sessionPersistence={"type": "Header", "sessionName": "x-session"})))
        first = await c.get()
        token = first.headers["x-session"]
        assert {(await c.get(x_session=token)).version for _ in range(6)} == {first.version}


async def test_a_session_stays_with_its_backend_whatever_the_weights(cluster):
    """GEP-1619: what is split by weight are sessions."""
    async with cluster("app-b", "app-b2") as c:
        persistence = {"sessionName": "s"}
        c.tell(c.route({"backendRefs": [c.backend("app-b"), c.backend("app-b2")], "sessionPersistence": persistence}))
        first = await c.get()
        pair, _ = cookie(first)
        assert {(await c.get(cookie=pair)).service for _ in range(12)} == {first.service}


async def test_an_endpoint_that_has_left_is_replaced(cluster):
    async with cluster("app-b", "app-b@v2") as c:
        c.tell(c.route(c.rule("app-b", sessionPersistence={"sessionName": "s"})))
        first = await c.get()
        pair, _ = cookie(first)
        gone = c.apps["app-b" if first.version == "v1" else "app-b@v2"]
        c.delete("EndpointSlice", f"app-b-{gone.port}")
        after = await c.get(cookie=pair)
        assert after.status == 200
        assert after.version != first.version
        new, _ = cookie(after)
        assert new != pair


@pytest.mark.parametrize("token", ["s=", "s=x", "s=0011223344556677.1.1", "s=..", "s=x.-1.2", "s=x.9999999999999.1"])
async def test_a_token_that_nobody_gave_begins_a_session(cluster, token):
    async with cluster("app-b") as c:
        c.tell(c.route(c.rule("app-b", sessionPersistence={"sessionName": "s"})))
        answer = await c.get(cookie=token)
        assert answer.service == "app-b"
        assert cookie(answer) is not None


async def test_sessions_end(cluster, monkeypatch):
    """absoluteTimeout from the beginning, idleTimeout from the last request; a Permanent cookie says when it ends."""
    from tulle_data_plane import routes

    now = [1_000_000.0]
    monkeypatch.setattr(routes.time, "time", lambda: now[0])
    async with cluster("app-b", "app-b@v2") as c:
        rule = {"sessionName": "s", "absoluteTimeout": "100s", "cookieConfig": {"lifetimeType": "Permanent"}}
        c.tell(c.route(c.rule("app-b", sessionPersistence=rule)))
        pair, attributes = cookie(await c.get())
        assert attributes.endswith("Max-Age=100")
        now[0] += 99
        assert cookie(await c.get(cookie=pair)) is None
        now[0] += 2
        assert cookie(await c.get(cookie=pair)) is not None
        c.tell(c.route(c.rule("app-b", sessionPersistence={"sessionName": "s", "idleTimeout": "10s"})))
        pair, _ = cookie(await c.get())
        for _ in range(3):
            now[0] += 9
            first = pair.split(".")[0]
            pair, _ = cookie(await c.get(cookie=pair))  # seen: the token says so
            assert pair.split(".")[0] == first
        now[0] += 11
        begun = pair.split(".")[1]
        pair, _ = cookie(await c.get(cookie=pair))
        assert pair.split(".")[1] != begun
