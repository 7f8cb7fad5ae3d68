"""A policy: so many requests a second for each tenant, and a few more at once. Token buckets."""

import math

from tulle_plugin_api import Config, Exchange, Handler, Policy, Position, Refused, Response, Runtime, hookimpl


class MyLimitConfig(Config):
    """What stands under `config` in the MeshPolicy."""

    header: str
    """Whose value says which tenant asks; requests without it are one tenant more."""
    rate: float
    """Requests a second, for each tenant."""
    burst: float
    """So many may come at once, after a while without any."""


class Bucket:
    """One tenant's. Pure: the time, in seconds, is passed in."""

    def __init__(self, config: MyLimitConfig, now: float) -> None:
        self.rate, self.most = config.rate, config.burst
        self.tokens, self.filled = config.burst, now  # how many there are, and when that was so

    def take(self, now: float) -> float:
        """Take a token for one request: 0.0. When there is none: seconds until there is one, and nothing is taken."""
        # TODO. No timer fills the bucket: since `filled`, (now - filled) * rate tokens have come; never more than most.
        return 0.0


class MyLimit(Policy[MyLimitConfig]):
    """Refuses what is too much, before anything is spent on it."""

    config = MyLimitConfig
    position = Position.LIMIT
    uses_trio = False

    def build(self, config: MyLimitConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, for those who have a token."""
        buckets: dict[str, Bucket] = {}

        async def handle(exchange: Exchange) -> Response:
            # TODO. The tenant's own bucket (make it when there is none), and a token out of it. Without one:
            #       raise Refused(429, "my-limit", "a sentence", {"retry-after": "whole seconds, at least 1"})
            return await next(exchange)

        return handle


@hookimpl
def tulle_policies():
    """The policy `my-limit`."""
    return {"my-limit": MyLimit()}
