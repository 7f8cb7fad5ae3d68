"""Endpoints: what policies may know of, and do to, the backends of one destination (Runtime.endpoints).

Owns the way from a policy's words to a backend's ejections, which `balance` obeys. Keeps nothing of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tulle_plugin_api import Endpoint

from tulle_data_plane.layers.balance import Backend


class BackendEndpoints:
    """A tulle_plugin_api.Endpoints over a destination's backends."""

    def __init__(self, backends: Mapping[str, Backend], now: Callable[[], float]) -> None:
        self._backends, self._now = backends, now

    def all(self, backend: str) -> Sequence[Endpoint]:
        """Every endpoint of that backend."""
        known = self._backends.get(backend)
        return known.endpoints if known is not None else ()

    def eject(self, backend: str, endpoint: Endpoint, seconds: float) -> None:
        """Leave it out of balancing for a while."""
        known = self._backends.get(backend)
        if known is not None and endpoint in known.endpoints:  # one that has left must not be remembered
            known.ejections.eject(endpoint, self._now() + seconds)

    def readmit(self, backend: str, endpoint: Endpoint) -> None:
        """Balance over it again."""
        known = self._backends.get(backend)
        if known is not None:
            known.ejections.readmit(endpoint)


NO_ENDPOINTS = BackendEndpoints({}, lambda: 0.0)
"""Inbound, where there is one application and nothing to balance."""
