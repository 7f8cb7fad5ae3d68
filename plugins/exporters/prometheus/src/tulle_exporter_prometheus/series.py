"""What is counted together: flows, their outcomes, their connections; and the labels that tell them apart.

Owns which labels there are, hence how many series there can be. A pod is never a label: pods come and go for ever,
and each pod's own proxy counts for it anyway (the scrape adds its name). Neither is anything that a client chooses,
such as a path or a method.
"""

from __future__ import annotations

import re

from tulle_plugin_api import Direction, Exchange
from tulle_plugin_api.latency import BUCKET_COUNT

from tulle_exporter_prometheus.exposition import label_text

OVERFLOW = "overflow"

# the part of a SPIFFE id that identifies a Kubernetes service account
_SPIFFE = re.compile(r"spiffe://[^/]+/ns/([^/]+)/sa/([^/]+)")


class Flow:
    """Requests that went one way: from here to one workload, by one service, route and backend; or in, from a peer."""

    __slots__ = ("attempts", "buckets", "labels", "request_bytes", "response_bytes", "seconds")

    def __init__(self, labels: str) -> None:
        self.labels = labels
        self.buckets = [0] * BUCKET_COUNT
        self.seconds = 0.0
        self.attempts = self.request_bytes = self.response_bytes = 0


class Outcome:
    """Requests of one flow that ended in one way."""

    __slots__ = ("count", "flow", "labels")

    def __init__(self, flow: Flow, status: str, reason: str) -> None:
        self.flow = flow
        self.labels = f"{flow.labels},{label_text({'status': status, 'reason': reason})}"
        self.count = 0


class Connections:
    """Relayed connections of one flow."""

    __slots__ = ("closed", "labels", "open", "opened", "received_bytes", "sent_bytes")

    def __init__(self, labels: str) -> None:
        self.labels = labels
        self.opened = self.open = self.sent_bytes = self.received_bytes = 0
        self.closed: dict[str, int] = {}  # by reason


def flow_labels(exchange: Exchange) -> str:
    """The labels of the flow that an exchange belongs to."""
    service = exchange.service
    namespace, workload = _peer(exchange)
    return label_text(
        {
            "direction": exchange.direction,
            "service": service.name if service else "",
            "service_namespace": service.namespace if service else "",
            "route": exchange.route,
            "backend": exchange.backend,
            "peer_namespace": namespace,
            "peer_workload": workload,
            "tls": "true" if exchange.secured else "false",
        }
    )


def overflow_labels(direction: Direction) -> str:
    """The labels of everything that came after the last series there was room for."""
    names = ("service", "service_namespace", "route", "backend", "peer_namespace", "peer_workload", "tls")
    return label_text({"direction": direction, **dict.fromkeys(names, OVERFLOW)})


def reason_of(exchange: Exchange) -> str:
    """The slug that says why an exchange did not end in good order, or nothing."""
    return exchange.reason or ("aborted" if exchange.aborted else "")


def _peer(exchange: Exchange) -> tuple[str, str]:
    """Namespace and workload at the other end, as far as known: inbound, only what mutual TLS proved."""
    if exchange.direction == "outbound":
        endpoint = exchange.endpoint
        return (endpoint.namespace, endpoint.workload) if endpoint else ("", "")
    match = _SPIFFE.fullmatch(exchange.source_identity)
    return (match[1], f"serviceaccount/{match[2]}") if match else ("", "")
