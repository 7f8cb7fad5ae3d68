"""Routes: from a destination's message to the handler of its requests. stack.py says where it sits, and why.

Owns the composition of rules: which policies, filters and backends each has, and what rules share. What comes out is
built when configuration arrives, and swapped whole.

  match     the first row of the table that fits (logic/matching.py); nothing where one rule takes everything
  share     one of the rule's backends by weight, or by the request's session
  policies  of the position REQUEST and above: once a request
  filters   of the rule, then of the backend, in their order: after what refuses requests, before they cost time
  policies  timeout, retry, and what counts tries
  mirrors   below retry: what is sent twice is copied once

Rules with the same policies share them: a retry budget or a circuit breaker is the Service's, however many rules its
routes have. Where only weights, matches or filters change, policies and balancers go on with what they have learnt.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Handler, Position

from tulle_data_plane.background import Background
from tulle_data_plane.host import Host
from tulle_data_plane.layers.balance import Backend, Pick, balance
from tulle_data_plane.layers.dial import dial_http1
from tulle_data_plane.layers.endpoints import BackendEndpoints
from tulle_data_plane.layers.route import Share, route, routed
from tulle_data_plane.logic.table import Row, rows_of, unconditional
from tulle_data_plane.policies import Build, Rejected, chosen, plugin


class ChainKey(NamedTuple):
    """What decides how a chain is built: equal keys, equal chains."""

    policies: tuple[bytes, ...]
    filters: bool
    mirrors: bool
    sticky: bool


@dataclass(frozen=True, slots=True)
class Chain:
    """Policies around the balancer, which rules share, with places where each rule's filters go in."""

    handler: Handler  # from the outermost policy on
    below_filters: Handler
    below_mirrors: Handler
    backgrounds: tuple[Background, ...]  # of its policies: they end when no configuration in force has the chain


@dataclass
class Routes:
    """Builds one destination's rules. `chains`: those of the configuration before, which are kept where they can be."""

    message: pb.Destination
    host: Host
    backends: Mapping[str, Backend]
    before: Mapping[ChainKey, Chain]

    def __post_init__(self) -> None:
        self.chains: dict[ChainKey, Chain] = {}
        self._build = self._new_build()  # for filters, which no two configurations share
        self._low: dict[str, bool] = {}  # by a filter's type: whether it belongs below retry
        self._common = {policy.type: policy for policy in self.message.policies}
        self._common_key = _serialized(self._common)
        self._routes: Sequence[pb.Route] = list(self.message.routes) or [
            pb.Route(backends=[pb.WeightedBackend(backend=b.name, weight=1) for b in self.message.backends[:1]])
        ]

    @property
    def backgrounds(self) -> list[Background]:
        """Of the filters' policies."""
        return self._build.backgrounds

    def _new_build(self) -> Build:
        endpoints = BackendEndpoints(self.backends, self.host.driver.now)
        return Build(self.host, "outbound", endpoints, self.message.service.authority)

    def handlers(self, connected: Handler) -> tuple[Handler, Handler]:
        """For requests, and for bytes that are no HTTP (which lead to `connected`). Raises Rejected."""
        try:
            with self._build:
                return self._handlers(connected)
        except BaseException:
            for key, chain in self.chains.items():
                if self.before.get(key) is not chain:  # made for what has been refused
                    for background in chain.backgrounds:
                        background.end()
            raise

    def _handlers(self, connected: Handler) -> tuple[Handler, Handler]:
        rows = self._rows()
        rules = [self._rule(each) for each in self._routes]
        if unconditional(rows):
            only = self._routes[rows[0].route]
            shares, name = self._plain(only.backends), only.name
            handler = rules[rows[0].route]
        else:
            # what is no request fits no condition: it goes where it would go without routes
            shares, name = [Share(backend.name, 1) for backend in self.message.backends[:1]], ""
            from tulle_data_plane.logic.matching import Matcher  # a proxy whose routes match nothing does not load it

            handler = routed(Matcher(rows, self.host.source), [rules[row.route] for row in rows])
        return handler, route(name, shares, self.host.random, connected)

    def _rows(self) -> tuple[Row, ...]:
        message = self.message
        try:
            rows = rows_of(message.matches)
        except ValueError as error:
            raise Rejected(f"{message.address}: {error}") from None
        if not rows and len(self._routes) > 1:
            raise Rejected(f"{len(self._routes)} routes for {message.address}, and no matches that choose among them")
        for number, row in enumerate(rows):
            if row.route >= len(self._routes):
                raise Rejected(
                    f"match {number} for {message.address} leads to route {row.route}; there are {len(self._routes)}"
                )
        return rows or (Row(0),)

    def _plain(self, backends: Sequence[pb.WeightedBackend]) -> list[Share]:
        return [Share(share.backend, share.weight) for share in backends]

    def _rule(self, rule: pb.Route) -> Handler:
        for weighted in rule.backends:
            if weighted.backend not in self.backends:
                raise Rejected(
                    f"route {rule.name} names the backend {weighted.backend!r}, which is not in the configuration"
                )
        chain = self._chain(rule)
        shares = [
            Share(each.backend, each.weight, *self._parts((*rule.filters, *each.filters), chain))
            for each in rule.backends
        ]
        if not shares and any(each.WhichOneof("kind") == "redirect" for each in rule.filters):
            shares = [Share("", 1, *self._parts(rule.filters, chain))]  # it answers itself
        random = self.host.random
        if rule.HasField("session"):
            from tulle_data_plane.layers.session import session  # a proxy without sessions does not load it

            return session(rule.name, shares, rule.session, self.backends, random, time.time, chain.handler)
        return route(rule.name, shares, random, chain.handler)

    def _chain(self, rule: pb.Route) -> Chain:
        nearest, policies = self._common, self._common_key
        if rule.policies or rule.without_policies:
            nearest = {type_: each for type_, each in nearest.items() if type_ not in rule.without_policies}
            nearest.update({policy.type: policy for policy in rule.policies})
            policies = _serialized(nearest)
        filters = [*rule.filters, *(each for share in rule.backends for each in share.filters)]
        low = [self._is_low(each) for each in filters]
        key = ChainKey(policies, not all(low), any(low), rule.HasField("session"))
        found = self.chains.get(key) or self.before.get(key)
        if found is None:
            found = self._make(key, list(nearest.values()))
        self.chains[key] = found
        return found

    def _make(self, key: ChainKey, specs: Sequence[pb.Policy]) -> Chain:
        with self._new_build() as build:
            return self._chain_with(build, key, specs)

    def _chain_with(self, build: Build, key: ChainKey, specs: Sequence[pb.Policy]) -> Chain:
        host = self.host
        policies = chosen(specs, "outbound", host)
        above = [pair for pair in policies if pair[0].position <= Position.REQUEST]
        below = [pair for pair in policies if Position.REQUEST < pair[0].position < Position.ENDPOINT]
        each_try = [pair for pair in policies if pair[0].position >= Position.ENDPOINT]
        dialled = dial_http1(host.driver, host.outbound_pool, host.answers, trust_reason=True)
        at_endpoint = build.wrapped(each_try, build.endpoint_parts(policies, dialled))
        pick: Pick = Backend.pick
        if key.sticky:
            from tulle_data_plane.layers.session import pinned

            pick = pinned
        balanced = balance(self.backends, host.driver.now, at_endpoint, pick, ejected=host.ejected)
        if key.mirrors or key.filters:
            from tulle_data_plane.layers.filters import filtered, mirrored
        inner = build.wrapped(below, mirrored(balanced) if key.mirrors else balanced)
        outer = build.wrapped(above, filtered(inner) if key.filters else inner)
        return Chain(outer, inner, balanced, tuple(build.backgrounds))

    def _is_low(self, each: pb.Filter) -> bool:
        """Whether it belongs below retry."""
        if each.WhichOneof("kind") != "policy":
            return False
        low = self._low.get(each.policy.type)
        if low is None:  # asked once a type: a Service may have thousands of rules
            low = self._low[each.policy.type] = plugin(each.policy, self.host).position >= Position.RETRY
        return low

    def _parts(self, filters: Sequence[pb.Filter], chain: Chain) -> tuple[Handler | None, Handler | None]:
        """The filters, and those of them that belong below retry, as handlers; None for none."""
        if not filters:
            return None, None
        low = [each for each in filters if self._is_low(each)]
        high = [each for each in filters if each not in low]
        return (
            self._around(high, chain.below_filters) if high else None,
            self._around(low, chain.below_mirrors) if low else None,
        )

    def _around(self, filters: Sequence[pb.Filter], innermost: Handler) -> Handler:
        handler = innermost
        for each in reversed(filters):  # the first is the outermost: requests meet them in their order
            kind = each.WhichOneof("kind")
            if kind == "policy":
                handler = self._build.wrapped([(plugin(each.policy, self.host), each.policy)], handler)
            elif kind == "redirect":
                from tulle_data_plane.layers.filters import redirect

                handler = redirect(each.redirect)
            elif kind == "rewrite":
                from tulle_data_plane.layers.filters import rewrite

                handler = rewrite(each.rewrite, handler)
            else:
                raise Rejected(f"{self.message.address}: a filter that this proxy does not know")
        return handler


def _serialized(policies: Mapping[str, pb.Policy]) -> tuple[bytes, ...]:
    """What makes two rules' policies the same."""
    return tuple(policies[type_].SerializeToString(deterministic=True) for type_ in sorted(policies))
