"""Two balancers: each endpoint in turn, and the less busy of two drawn at random.

`pick` is called for every try of every request, in the client's proxy. There is one instance for each Service.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tulle_plugin_api import Balancer, Endpoint, Exchange, Runtime, hookimpl


class RoundRobin(Balancer):
    """Each endpoint in turn."""

    def __init__(self, config: Mapping[str, Any], runtime: Runtime) -> None:
        self.turn = 0

    def pick(self, endpoints: Sequence[Endpoint], exchange: Exchange) -> Endpoint:
        """The next one. `endpoints` is never empty, and may be longer or shorter than at the last call."""
        self.turn += 1
        return endpoints[self.turn % len(endpoints)]


class TwoChoices(Balancer):
    """Of two endpoints drawn at random, the one with fewer requests under way."""

    def __init__(self, config: Mapping[str, Any], runtime: Runtime) -> None:
        self.random = runtime.random
        self.busy: dict[Endpoint, int] = {}  # requests under way

    def pick(self, endpoints: Sequence[Endpoint], exchange: Exchange) -> Endpoint:
        """The less busy of two; the first of them when they are alike."""
        if len(endpoints) == 1:
            return endpoints[0]
        first, second = self.random.sample(endpoints, 2)
        return second if self.busy.get(second, 0) < self.busy.get(first, 0) else first

    def started(self, endpoint: Endpoint) -> None:
        """A try was sent to `endpoint`."""
        self.busy[endpoint] = self.busy.get(endpoint, 0) + 1

    def finished(self, endpoint: Endpoint, seconds: float, failed: bool) -> None:
        """That try ended."""
        left = self.busy.get(endpoint, 0) - 1
        if left > 0:
            self.busy[endpoint] = left
        else:
            self.busy.pop(endpoint, None)  # endpoints come and go: none under way is no entry


@hookimpl
def tulle_balancers():
    """Both, by the names that a MeshPolicy gives."""
    return {"my-round-robin": RoundRobin, "my-two-choices": TwoChoices}
