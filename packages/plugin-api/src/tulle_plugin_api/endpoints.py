"""What a policy may know of, and do to, the endpoints that its requests are balanced over.

Owns the protocol, and an implementation that holds lists, for plugins' tests. Refuses to choose: that is a balancer's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tulle_plugin_api.exchange import Endpoint


class Endpoints(Protocol):
    """`Runtime.endpoints`. Backends are named as in `Exchange.backend`; one that is not known has no endpoints."""

    def all(self, backend: str) -> Sequence[Endpoint]:
        """Every endpoint, ejected ones too. Empty inbound, where there is one application."""

    def eject(self, backend: str, endpoint: Endpoint, seconds: float) -> None:
        """Leave `endpoint` out of balancing for `seconds` from now, whatever was said before.

        Where all that are left are ejected, requests are sent all the same: better one that may fail than none.
        """

    def readmit(self, backend: str, endpoint: Endpoint) -> None:
        """Balance over `endpoint` again, at once. Harmless when it is not ejected."""


class ListedEndpoints:
    """`Endpoints` from lists, on a clock that is passed in: for tests. `usable` is what a balancer would see."""

    def __init__(self, backends: Mapping[str, Sequence[Endpoint]], now: Callable[[], float]) -> None:
        self._backends, self._now = dict(backends), now
        self._until: dict[tuple[str, Endpoint], float] = {}

    def all(self, backend: str) -> Sequence[Endpoint]:
        """See Endpoints."""
        return self._backends.get(backend, ())

    def eject(self, backend: str, endpoint: Endpoint, seconds: float) -> None:
        """See Endpoints."""
        self._until[backend, endpoint] = self._now() + seconds

    def readmit(self, backend: str, endpoint: Endpoint) -> None:
        """See Endpoints."""
        self._until.pop((backend, endpoint), None)

    def usable(self, backend: str) -> Sequence[Endpoint]:
        """Those that are not ejected now; all of them when all are."""
        now = self._now()
        endpoints = self.all(backend)
        return [e for e in endpoints if now >= self._until.get((backend, e), 0.0)] or endpoints
