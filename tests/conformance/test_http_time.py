"""HTTPRouteRule.timeouts and .retry (GEP-1742, GEP-1731). In one process on a clock of the test's own, in the lab on
the wall's: what is asserted is what came to the echo servers and when, never that something was quick.
"""

from itertools import pairwise

import pytest
from conformance_objects import backend, policy, route, rule

pytestmark = pytest.mark.trio

APP_B = {"kind": "Service", "name": "app-b"}


async def test_request_timeout(cluster, patient_clock):
    """Extended, HTTPRouteRequestTimeout: "If the gateway has not been able to respond before this deadline ..."."""
    async with cluster("app-b") as c:
        await c.silent("mute")
        c.tell(route({"backendRefs": [backend("mute")], "timeouts": {"request": "500ms"}}))
        answer = await c.get()
        assert (answer.status, answer.reason) == (504, "timeout")
        assert len(await c.received("mute")) == 1


async def test_backend_request_timeout(cluster, patient_clock):
    """Extended, HTTPRouteBackendTimeout: of each try; here with two of them."""
    async with cluster("app-b") as c:
        await c.silent("mute")
        rule_ = {"timeouts": {"request": "30s", "backendRequest": "500ms"}, "retry": {"attempts": 1, "backoff": "10ms"}}
        c.tell(route({"backendRefs": [backend("mute")], **rule_}))
        assert (await c.get()).status == 504
        assert len(await c.received("mute", 2)) == 2


async def test_a_timeout_of_zero_is_none(cluster, patient_clock):
    """ "Setting a timeout to the zero duration SHOULD disable the timeout": nearer than the Service's policy. A retry
    that has to wait longer than the policy would allow shows which of the two is in force."""
    async with cluster("app-b") as c:
        c.tell(policy("short", "timeout", APP_B, {"request": "300ms"}))
        retry = {"codes": [503], "attempts": 1, "backoff": "900ms"}
        for timeouts, status in (({}, 504), ({"timeouts": {"request": "0s"}}, 200)):
            await c.be("app-b", 503, 200)
            c.tell(route(rule("app-b", retry=retry, **timeouts)))
            assert (await c.get()).status == status


async def test_retry_of_the_codes_that_are_named(cluster, patient_clock):
    """Extended, HTTPRouteRetryBackendError: codes, attempts, and that the last answer is passed on."""
    async with cluster("app-b") as c:
        c.tell(route(rule("app-b", retry={"codes": [500, 503], "attempts": 3, "backoff": "20ms"})))
        # "the maximum number of times an individual request ... should be retried"; 502 is none of the codes
        for statuses, last, tries in (((503, 500, 200), 200, 3), ((503,), 503, 4), ((502,), 502, 1)):
            await c.be("app-b", *statuses)
            assert (await c.get()).status == last
            assert len(await c.received("app-b", tries)) == tries


async def test_retry_of_connections_that_are_cut_off(cluster, real_servers):
    """Extended, HTTPRouteRetryConnectionError (GEP-1731): also without a code that stands for it."""
    async with cluster("app-b") as c:
        c.tell(route(rule("app-b", retry={"codes": [500], "attempts": 2, "backoff": "10ms"})))
        await c.be("app-b", 0, 0, 200)
        assert (await c.get()).service == "app-b"
        assert len(await c.received("app-b", 3)) == 3
        await c.be("app-b", 0)
        assert (await c.get()).status == 502
        # one more for each try that a kept connection took: that replay is HTTP's own (RFC 9112 section 9.3.1)
        assert 3 <= len(await c.received("app-b", 3)) <= 6


async def test_backoff_is_a_minimum(cluster, patient_clock):
    """ "as long as unsuccessful backend requests are not retried before the configured minimum duration"."""
    async with cluster("app-b") as c:
        await c.be("app-b", 503, 503, 503, 200)
        c.tell(route(rule("app-b", retry={"codes": [503], "attempts": 3, "backoff": "700ms"})))
        assert (await c.get()).status == 200
        tries = await c.received("app-b", 4)
        assert len(tries) == 4
        # in the lab the clock is the echo server's: a try may have been on its way for longer than the next
        margin = 0.2 if c.form == "lab" else 0
        assert all(later.at - earlier.at >= 0.7 - margin for earlier, later in pairwise(tries))


async def test_no_attempts_switch_retry_off(cluster, patient_clock):
    """A rule's own field is nearer than the Service's policy, also where it says "never"."""
    async with cluster("app-b") as c:
        await c.be("app-b", 503)
        c.tell(policy("often", "retry", APP_B, {"attempts": 3}))
        c.tell(route(rule("app-b")))
        assert (await c.get()).status == 503
        assert len(await c.received("app-b", 2)) > 1
        await c.be("app-b", 503)
        c.tell(route(rule("app-b", retry={"attempts": 0})))
        assert (await c.get()).status == 503
        assert len(await c.received("app-b")) == 1


async def test_the_request_timeout_bounds_all_tries(cluster, patient_clock):
    """ "the entire duration of the initial request and any retry attempts MUST not exceed the Request timeout"."""
    async with cluster("app-b") as c:
        await c.be("app-b", 503)
        rule_ = {"timeouts": {"request": "3s"}, "retry": {"codes": [503], "attempts": 9, "backoff": "1s"}}
        c.tell(route(rule("app-b", **rule_)))
        answer = await c.get()
        assert (answer.status, answer.reason) == (504, "timeout")
        # a try each second, the first at once: 9 would take longer than the rule allows
        assert 2 <= len(await c.received("app-b", 2)) <= 3
