"""Probe: marks kubelet's health probes, so that they are told apart from traffic.

Sits outside everything else inbound: a probe is served like any request, but `tulle stat` and success rates are about
what clients ask, and a pod that says "not ready yet" has failed nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection

from tulle_plugin_api import PROBE_ROUTE, Exchange, Handler, Response

__all__ = ["PROBE_ROUTE", "probe"]


def probe(paths: Collection[str], next: Handler) -> Handler:
    """Mark requests for `paths` that come from a kubelet (User-Agent "kube-probe/...")."""

    def handler(exchange: Exchange) -> Awaitable[Response]:
        if exchange.path.partition("?")[0] in paths:
            agent = exchange.headers.get("user-agent")
            if agent is not None and agent.startswith("kube-probe/"):
                exchange.route = PROBE_ROUTE
        return next(exchange)

    return handler
