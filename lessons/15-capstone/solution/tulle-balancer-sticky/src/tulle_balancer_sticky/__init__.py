"""StickyBalancer: requests of one user go to the same endpoint, whichever proxy asks.

Rendezvous hashing (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM Transactions on
Networking 1998): user and endpoint together give a number, and the endpoint with the largest one gets the request. When
an endpoint leaves, only its own users move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from tulle_plugin_api import Balancer, BalancerFactory, Config, Endpoint, Exchange, Runtime, hookimpl
from tulle_plugin_api.balancing import Draw, usable
from tulle_plugin_api.config import decode

TULLE_CONTRACT = 1


class StickyBalancerConfig(Config):
    """What stands in the MeshPolicy's `spec.config`, beside `name`."""

    header: str = "x-user"
    """Whose value says who asks. Requests without it go anywhere, by weight."""


class StickyBalancer(Balancer):
    """One for each backend, kept while endpoints come and go."""

    def __init__(self, config: Mapping[str, Any], runtime: Runtime) -> None:
        """Raises ConfigError (a ValueError): the webhook refuses the MeshPolicy with its words."""
        self._header = decode(StickyBalancerConfig, config).header
        self._random = runtime.random

    def pick(self, endpoints: Sequence[Endpoint], exchange: Exchange) -> Endpoint:
        """The user's own; anyone where nobody says who asks."""
        user = exchange.headers.get(self._header)
        if user is None:
            return Draw(endpoints).one(self._random)
        # not hash(): it differs from process to process, and each proxy is one
        return max(usable(endpoints), key=lambda one: blake2b(f"{user} {one.address}".encode(), digest_size=8).digest())


@hookimpl
def tulle_balancers() -> Mapping[str, BalancerFactory]:
    """The balancer `sticky`."""
    return {"sticky": StickyBalancer}
