"""follow-header: a request goes to the endpoints whose label has the value that its header asks for.

"x-version: 2" reaches pods labelled `version: "2"`, so that a tester walks the new version through a whole chain of
services while everybody else stays on the old one. Owns the choice of a group; among a group, chance by weight decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tulle_plugin_api import (
    Balancer,
    BalancerFactory,
    Config,
    ConfigError,
    Endpoint,
    Exchange,
    Headers,
    Runtime,
    hookimpl,
)
from tulle_plugin_api.balancing import Draw
from tulle_plugin_api.config import decode

TULLE_CONTRACT = 1


class FollowHeaderConfig(Config):
    """What stands in the MeshPolicy's `spec.config`, beside `name`."""

    header: str = "x-version"
    """The request's field; of several, the first counts."""
    label: str = "version"
    """The pods' label that it is compared with."""
    default: str = ""
    """The value for requests without the field; empty: they may go anywhere."""
    missing: Literal["default", "anywhere"] = "default"
    """Where requests go whose value no endpoint has: where those without the field go, or anywhere."""


class FollowHeader(Balancer):
    """One for each backend, kept while endpoints come and go."""

    def __init__(self, config: Mapping[str, Any], runtime: Runtime) -> None:
        """Raises ConfigError (a ValueError): the webhook refuses the MeshPolicy with its words."""
        self._config = decode(FollowHeaderConfig, config)
        try:
            Headers().get(self._config.header)
        except ValueError as error:
            raise ConfigError([f"spec.config.header: {error}"]) from None
        self._random = runtime.random  # not the module `random`: tests can seed this one
        self._endpoints: Sequence[Endpoint] = ()
        self._groups: dict[str, Draw] = {}
        self._anywhere: Draw | None = None

    def pick(self, endpoints: Sequence[Endpoint], exchange: Exchange) -> Endpoint:
        """Called for each try, on the hot path: a look-up and a draw."""
        if self._anywhere is None or endpoints is not self._endpoints:
            self._group(endpoints)
        assert self._anywhere is not None
        config = self._config
        group = self._groups.get(exchange.headers.get(config.header) or config.default)
        if group is None and config.missing == "default":
            group = self._groups.get(config.default)
        return (group or self._anywhere).one(self._random)

    def _group(self, endpoints: Sequence[Endpoint]) -> None:
        """They have changed: work it out once. Header values make no groups, only labels do, so memory is bounded."""
        groups: dict[str, list[Endpoint]] = {}
        for endpoint in endpoints:
            value = dict(endpoint.labels).get(self._config.label)
            if value:
                groups.setdefault(value, []).append(endpoint)
        self._groups = {value: Draw(group) for value, group in groups.items()}
        self._endpoints, self._anywhere = endpoints, Draw(endpoints)


@hookimpl
def tulle_balancers() -> Mapping[str, BalancerFactory]:
    """The balancer `follow-header`."""
    return {"follow-header": FollowHeader}
