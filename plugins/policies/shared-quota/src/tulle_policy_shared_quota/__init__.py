"""Shared quota: so many requests in so much time for a whole Service, however many proxies serve it; 429 beyond it.

Owns what the quota is, and the answer when it is used up. Refuses to know how it is shared: the proxy leases slices of
it from the control plane (`Runtime.lease`), ahead of need and in the background, so that no request waits.

As in Envoy's and Google's "quota buckets" (Doorman, "global distributed client side rate limiting"), what is given up
is exactness to the single request: a slice that one proxy holds is not there for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Annotated, Any, Literal

from msgspec import Meta
from tulle_plugin_api import (
    PROBE_ROUTE,
    Config,
    Duration,
    Exchange,
    Handler,
    Policy,
    Position,
    Refused,
    Response,
    Runtime,
    Terms,
    duration,
    hookimpl,
)

Number = Annotated[int, Meta(ge=1, le=1_000_000_000)]

SIDES = {"client": "outbound", "server": "inbound"}


class SharedQuotaConfig(Config):
    """How many requests a Service admits in how much time, all of its proxies together."""

    requests: Number
    """So many ..."""
    per: Duration = duration("1s")
    """... in this time, evenly refilled."""
    burst: Number | None = None
    """So many more may come at once, after a quiet time. By default a tenth of `requests`, but at least 3 if it is."""
    slice: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """So many a proxy holds and asks for at a time. By default what comes in within 100 ms, but at least 1."""
    side: Literal["client", "server"] = "server"
    """Shared by the Service's own proxies, for what comes in; or by its clients' proxies, for what goes out."""


SLICE_SECONDS = 0.1


def terms(config: SharedQuotaConfig) -> Terms:
    """The quota, with what was left to us filled in."""
    burst = config.burst or max(min(3, config.requests), config.requests // 10)
    slice = config.slice or max(1, min(1_000_000, int(config.requests / config.per * SLICE_SECONDS)))
    return Terms(config.requests, config.per, burst, slice)


class SharedQuota(Policy[SharedQuotaConfig]):
    """Refuses with 429 what is more than the Service's quota (RFC 6585 section 4)."""

    config = SharedQuotaConfig
    position = Position.LIMIT  # below rate-limit: what one client has too many of takes nothing from the others
    direction = "both"
    uses_trio = False

    def check(self, config: SharedQuotaConfig) -> list[str]:
        """What types cannot say."""
        if config.per <= 0:
            return ["per: more than 0s"]
        if config.slice is not None and config.slice > config.requests:
            return [f"slice: at most `requests`, {config.requests}, got {config.slice}; a proxy would hold all of it"]
        return []

    def build(self, config: SharedQuotaConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, for what is within the quota."""
        if SIDES[config.side] != runtime.direction:
            return next
        take = runtime.lease("requests", terms(config)).take
        quota = f"the Service's quota of {config.requests} requests in {config.per:g} s is used up"
        runtime.count("shared_quota_refused_total", 0)

        async def handle(exchange: Exchange) -> Response:
            if exchange.route == PROBE_ROUTE:  # else a kubelet would restart the pod because it is busy
                return await next(exchange)
            wait = take()
            if wait:
                runtime.count("shared_quota_refused_total")
                # RFC 9110 section 10.2.3: whole seconds
                raise Refused(429, "quota-exhausted", quota, {"retry-after": str(ceil(wait))})
            return await next(exchange)

        return handle


@hookimpl
def tulle_policies() -> Mapping[str, Policy[Any]]:
    """The policy `shared-quota`."""
    return {"shared-quota": SharedQuota()}
