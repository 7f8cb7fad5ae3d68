"""A balancer under load, on virtual time: what share each endpoint gets, and how long requests take.

Owns a closed loop of clients, each of which asks, waits and asks again. Endpoints take the time that they are said to
take, however busy: fine for comparing balancers; a real one grows slower with load, which makes the differences larger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tulle_plugin_api.contract import samples
from tulle_plugin_api.contract.stepping import SteppingRuntime
from tulle_plugin_api.exchange import Address, Endpoint, Exchange
from tulle_plugin_api.protocols import Balancer


@dataclass
class Seen:
    """What came of it."""

    picks: Counter[Endpoint] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    most: Counter[Endpoint] = field(default_factory=Counter)  # the most requests that were under way at one time

    def share(self, endpoint: Endpoint) -> float:
        """0 to 1."""
        return self.picks[endpoint] / self.picks.total()

    def quantile(self, part: float) -> float:
        """Of the seconds that requests took: 0.99 for p99."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(len(self.seconds) * part))]


def request(number: int) -> Exchange:
    """Requests of different users: header `x-user`, cookie `session` and source differ with `number`."""
    one = samples.exchange()
    one.headers.set("x-user", f"user-{number}")
    one.headers.set("cookie", f"theme=dark; session=s{number}")
    one.source = Address(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 40000)
    return one


def simulate(
    balancer: Balancer,
    runtime: SteppingRuntime,
    endpoints: Sequence[Endpoint],
    *,
    requests: int = 10_000,
    clients: int = 16,
    seconds: Callable[[Endpoint], float] = lambda endpoint: 0.01,
    make: Callable[[int], Exchange] = request,
) -> Seen:
    """`requests` in all by `clients` at one time; `seconds`: what a try takes, on average (it varies by half)."""
    seen, numbers, under_way = Seen(), iter(range(requests)), Counter[Endpoint]()

    async def client() -> None:
        for number in numbers:
            endpoint = balancer.pick(endpoints, make(number))
            balancer.started(endpoint)
            seen.picks[endpoint] += 1
            under_way[endpoint] += 1
            seen.most[endpoint] = max(seen.most[endpoint], under_way[endpoint])
            taken = seconds(endpoint) * runtime.random.uniform(0.5, 1.5)
            await runtime.sleep(taken)
            under_way[endpoint] -= 1
            seen.seconds.append(taken)
            balancer.finished(endpoint, taken, failed=False)

    for strand in runtime.run_all([client() for _ in range(clients)]):
        if strand.error is not None:
            raise strand.error
    return seen


def chi_square(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Pearson's statistic of `counts` against the expected `shares` (sum 1)."""
    total = sum(counts)
    return sum((count - total * share) ** 2 / (total * share) for count, share in zip(counts, shares, strict=True))
