"""A circuit's states as time goes by, on a virtual clock: `python test_trace.py` prints them, the test compares them.

One request a second goes to each usable of five endpoints, one of which fails for its first 100 s. What is told is
every change of that one's circuit, with the whole policy around it.
"""

import trio
import tulle_policy_circuit_breaker as module
from trio.testing import MockClock
from tulle_plugin_api import Address, Endpoint, Exchange, ListedEndpoints, Response, TrioRuntime
from tulle_plugin_api.config import decode
from tulle_policy_circuit_breaker import Circuit, CircuitBreaker, CircuitBreakerConfig, State

BACKEND = "default/app-b:80"
NODES = [Endpoint(Address("10.0.0.1", port)) for port in range(1, 6)]
BAD = NODES[2]
WELL_AGAIN, END = 100, 300
ANSWER_SECONDS = 0.25


class Trace:
    """Changes of circuits' states: (seconds, state, length of the ejection)."""

    def __init__(self):
        self.rows = []

    def told(self):
        """In words."""
        words = {State.CLOSED: "closed", State.HALF_OPEN: "half-open"}
        return ", ".join(f"{at:g} s {words.get(state) or f'open for {length:g} s'}" for at, state, length in self.rows)


def traced(trace):
    """The policy's Circuit, telling of each change."""

    class Traced(Circuit):
        __slots__ = ()

        def __setattr__(self, name, value):
            before = getattr(self, "state", None)
            super().__setattr__(name, value)
            if name == "state" and value is not before and (before is not None or value is not State.CLOSED):
                trace.rows.append((trio.current_time() - trace.began, value, self.length))

    return Traced


async def live(trace):
    """The bad endpoint's life, and how often it was asked, by whether it failed."""
    trace.began = trio.current_time()
    asked = {"failed": 0, "served": 0}

    async def endpoint(exchange):
        fails = exchange.endpoint is BAD and trio.current_time() - trace.began < WELL_AGAIN
        await trio.sleep(ANSWER_SECONDS)
        if exchange.endpoint is BAD:
            asked["failed" if fails else "served"] += 1
        return Response(503 if fails else 200)

    endpoints = ListedEndpoints({BACKEND: NODES}, trio.current_time)
    kept, module.Circuit = module.Circuit, traced(trace)
    try:
        runtime = TrioRuntime(1, endpoints=endpoints)
        handler = CircuitBreaker().build_endpoint(decode(CircuitBreakerConfig, {}), endpoint, runtime)
        for second in range(1, END):
            await trio.sleep_until(trace.began + second)
            for each in list(endpoints.usable(BACKEND)):
                exchange = Exchange()
                exchange.backend, exchange.endpoint = BACKEND, each
                if each is BAD:
                    await handler(exchange)
    finally:
        module.Circuit = kept
    return asked


def run():
    trace = Trace()
    return trace, trio.run(live, trace, clock=MockClock(autojump_threshold=0))


def test_closed_open_half_open_open_twice_as_long_closed():
    trace, asked = run()
    assert trace.told() == (
        "5.25 s open for 30 s, 36 s half-open, 36.25 s open for 60 s, 97 s half-open, 97.25 s open for 120 s, "
        "218 s half-open, 218.25 s closed"
    )
    assert asked == {"failed": 7, "served": 82}  # five in a row and two probes; the third probe, and from then on


if __name__ == "__main__":
    found, asked = run()
    print(f"trace: {found.told()}; asked {asked['failed']} times while it failed, {asked['served']} times afterwards")
