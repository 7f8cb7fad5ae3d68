"""Rate limit: a token bucket for the whole proxy, for each client, or for each value of a header; 429 beyond it.

Owns the buckets of one proxy. Refuses to know other proxies: a limit that all share is a quota, and leased.

A bucket is one number, the time at which it will be full again (GCRA, ITU-T I.371 annex A, as a token bucket): a
request is admitted while that is not further away than the burst. No timers, and one that is full need not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import Annotated, Any, Literal

from msgspec import Meta
from tulle_plugin_api import (
    PROBE_ROUTE,
    Config,
    Duration,
    Exchange,
    Handler,
    Headers,
    Policy,
    Position,
    Refused,
    Response,
    Runtime,
    duration,
    hookimpl,
)

Number = Annotated[int, Meta(ge=1, le=1_000_000_000)]

SIDES = {"client": "outbound", "server": "inbound"}


class RateLimitConfig(Config):
    """How many requests are admitted in how much time."""

    requests: Number
    """So many ..."""
    per: Duration = duration("1s")
    """... in this time, evenly refilled."""
    burst: Number | None = None
    """So many may come at once. By default a tenth of `requests`, but at least 3 if `requests` is."""
    by: Literal["proxy", "client", "header"] = "proxy"
    """One bucket for all; one a client (its identity, else its address); or one a value of `header`."""
    header: str = ""
    """For `by: header`. Requests without it share one bucket."""
    side: Literal["client", "server"] = "server"
    """Each server's proxy limits what comes in, or each client's what goes out."""
    max_keys: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    """Buckets that are remembered. Further clients or values share one, until some are full again."""


class Buckets:
    """Token buckets by key. Pure; times in seconds are passed in."""

    def __init__(self, requests: float, per: float, burst: float, most: int) -> None:
        self._cost = per / requests  # seconds until a token is there again
        self._room = self._cost * (burst - 1) + 1e-9  # sums of fractions are a little off
        self._most = most
        self._full_at: dict[str, float] = {}
        self._swept = float("-inf")

    def take(self, key: str, now: float) -> float:
        """0.0: admitted. Else refused, and the seconds after which one would be admitted."""
        full_at = self._full_at.get(key)
        if full_at is None:
            if len(self._full_at) >= self._most:
                key = self._make_room(key, now)
            full_at = self._full_at.get(key, now)
        if full_at <= now:
            self._full_at[key] = now + self._cost
            return 0.0
        wait = full_at - now - self._room
        if wait > 0:
            return wait
        self._full_at[key] = full_at + self._cost
        return 0.0

    def _make_room(self, key: str, now: float) -> str:
        """Forget full buckets: they are as good as new ones. The key to use: `key`, or the shared one if there is none.

        A flood of new keys must not push out those that are used up, or it would be a way round the limit.
        """
        if now >= self._swept + self._room + self._cost:  # not for each of them: a sweep costs what the table is long
            self._swept = now
            self._full_at = {k: full_at for k, full_at in self._full_at.items() if full_at > now}
        return key if len(self._full_at) < self._most else SHARED

    def __len__(self) -> int:
        return len(self._full_at)


SHARED = "\0"
"""Key of the bucket of those who get none of their own. No header or address is this."""


class RateLimit(Policy[RateLimitConfig]):
    """Refuses with 429 what is more than the limit (RFC 6585 section 4)."""

    config = RateLimitConfig
    position = Position.LIMIT
    direction = "both"
    uses_trio = False

    def check(self, config: RateLimitConfig) -> list[str]:
        """What types cannot say."""
        problems = []
        if config.per <= 0:
            problems.append("per: more than 0s")
        if config.by == "header" and not config.header:
            problems.append("header: missing; `by: header` needs the name of one, such as x-api-key")
        if config.by != "header" and config.header:
            problems.append(f"header: without effect unless `by: header`, got `by: {config.by}`")
        elif config.header:
            try:
                Headers().get(config.header)
            except ValueError as error:
                problems.append(f"header: {error}")
        return problems

    def build(self, config: RateLimitConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, for what is within the limit. One set of buckets for all requests that pass here."""
        if SIDES[config.side] != runtime.direction:
            return next
        burst = config.burst or max(min(3, config.requests), config.requests // 10)
        take = Buckets(config.requests, config.per, burst, config.max_keys).take
        key_of, now = _key(config), runtime.now
        limit = f"more than {config.requests} requests in {config.per:g} s" + WHOSE[config.by]

        async def handle(exchange: Exchange) -> Response:
            if exchange.route == PROBE_ROUTE:  # else a kubelet would restart the pod because it is busy
                return await next(exchange)
            wait = take(key_of(exchange), now())
            if wait:
                runtime.count("rate_limit_refused_total")
                # RFC 9110 section 10.2.3: whole seconds
                raise Refused(429, "rate-limited", limit, {"retry-after": str(ceil(wait))})
            return await next(exchange)

        return handle


WHOSE = {"proxy": "", "client": " from one client", "header": " with one value of the header that tells them apart"}


def _key(config: RateLimitConfig) -> Callable[[Exchange], str]:
    if config.by == "client":
        return lambda exchange: exchange.source_identity or exchange.source.ip
    if config.by == "header":
        name = config.header
        return lambda exchange: exchange.headers.get(name) or ""
    return lambda exchange: ""


@hookimpl
def tulle_policies() -> Mapping[str, Policy[Any]]:
    """The policy `rate-limit`."""
    return {"rate-limit": RateLimit()}
