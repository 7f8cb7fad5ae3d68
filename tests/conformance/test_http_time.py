"""HTTPRouteRule.timeouts and .retry (GEP-1742, GEP-1731), on a clock of the test's own: nothing here takes long."""

from itertools import pairwise

import pytest
from tulle_testkit import Answer

pytestmark = pytest.mark.trio


def answers(*statuses):
    """Each of them in turn, the last one for ever."""
    left = list(statuses)
    return lambda request: Answer(left.pop(0) if len(left) > 1 else left[0])


async def test_request_timeout(cluster, patient_clock):
    """Extended, HTTPRouteRequestTimeout: "If the gateway has not been able to respond before this deadline ..."."""
    async with cluster("app-b") as c, c.silent("mute") as mute:
        c.tell(c.route({"backendRefs": [c.backend("mute")], "timeouts": {"request": "500ms"}}))
        answer = await c.get()
        assert (answer.status, answer.reason) == (504, "timeout")
        assert len(mute.peers) == 1


async def test_backend_request_timeout(cluster, patient_clock):
    """Extended, HTTPRouteBackendTimeout: of each try; here with two of them."""
    async with cluster("app-b") as c, c.silent("mute") as mute:
        rule = {"timeouts": {"request": "10s", "backendRequest": "500ms"}, "retry": {"attempts": 1, "backoff": "10ms"}}
        c.tell(c.route({"backendRefs": [c.backend("mute")], **rule}))
        assert (await c.get()).status == 504
        assert len(mute.peers) == 2


async def test_a_timeout_of_zero_is_none(cluster):
    """ "Setting a timeout to the zero duration SHOULD disable the timeout": nearer than the Service's policy."""
    async with cluster("app-b") as c:
        c.policy("short", "timeout", {"kind": "Service", "name": "app-b"}, {"request": "1ms"})
        c.tell(c.route(c.rule("app-b", timeouts={"request": "0s"})))
        address = await c.send()
        (route,) = c.last.routes
        assert [(policy.type, policy.config) for policy in route.policies] == [("timeout", '{"request":"0s"}')]
        async with c.m.client(address) as client:
            assert (await client.get("/")).status == 200


async def test_retry_of_the_codes_that_are_named(cluster, patient_clock):
    """Extended, HTTPRouteRetryBackendError: codes, attempts, and that the last answer is passed on."""
    async with cluster("app-b") as c:
        app = c.apps["app-b"]
        retry = {"codes": [500, 503], "attempts": 3, "backoff": "20ms"}
        c.tell(c.route(c.rule("app-b", retry=retry)))
        app.answer = answers(503, 500, 200)
        assert (await c.request("GET")).status == 200
        assert len(app.requests) == 3
        app.requests.clear()
        app.answer = answers(503)
        assert (await c.request("GET")).status == 503
        assert len(app.requests) == 4  # "the maximum number of times an individual request ... should be retried"
        app.requests.clear()
        app.answer = answers(502)
        assert (await c.request("GET")).status == 502
        assert len(app.requests) == 1


async def test_backoff_is_a_minimum(cluster, patient_clock):
    """ "as long as unsuccessful backend requests are not retried before the configured minimum duration"."""
    import trio

    async with cluster("app-b") as c:
        at = []

        def answer(request):
            at.append(trio.current_time())
            return Answer(503 if len(at) < 4 else 200)

        c.apps["app-b"].answer = answer
        c.tell(c.route(c.rule("app-b", retry={"codes": [503], "attempts": 3, "backoff": "2s"})))
        assert (await c.request("GET")).status == 200
        assert all(later - earlier >= 2 for earlier, later in pairwise(at))


async def test_no_attempts_switch_retry_off(cluster, patient_clock):
    """A rule's own field is nearer than the Service's policy, also where it says "never"."""
    async with cluster("app-b") as c:
        app = c.apps["app-b"]
        app.answer = answers(503)
        c.policy("often", "retry", {"kind": "Service", "name": "app-b"}, {"attempts": 3})
        c.tell(c.route(c.rule("app-b", retry={"attempts": 0})))
        assert (await c.request("GET")).status == 503
        assert len(app.requests) == 1


async def test_the_request_timeout_bounds_all_tries(cluster, patient_clock):
    """ "the entire duration of the initial request and any retry attempts MUST not exceed the Request timeout"."""
    import trio

    async with cluster("app-b") as c:
        c.apps["app-b"].answer = answers(503)
        rule = {"timeouts": {"request": "3s"}, "retry": {"codes": [503], "attempts": 9, "backoff": "1s"}}
        c.tell(c.route(c.rule("app-b", **rule)))
        began = trio.current_time()
        assert (await c.request("GET")).status == 504
        assert trio.current_time() - began < 3.2
        assert 2 <= len(c.apps["app-b"].requests) <= 3
