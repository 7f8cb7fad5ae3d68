"""From a proxy's report to series: names resolved, nonsense refused.

Owns the reading of telemetry.proto and the naming of ends. A proxy knows its peers by what the control plane told
it, or only by address; the catalog knows who has that address, and whether a proxy stands in front of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tulle_api.v1 import telemetry_pb2 as pb
from tulle_plugin_api.latency import BUCKET_COUNT

from tulle_control_plane.telemetry.traffic import Peer, SeriesKey, Traffic

LONGEST_TEXT = 300


class Directory(Protocol):
    """Who is who, by the catalog."""

    def pod(self, namespace: str, name: str) -> Peer | None:
        """The workload of that pod."""

    def address(self, ip: str) -> Peer | None:
        """The workload of the pod with that address."""


@dataclass
class Reports:
    """Takes reports in. `malformed` counts series that were refused."""

    traffic: Traffic
    directory: Directory
    malformed: int = 0
    on_malformed: Callable[[str, str], None] = field(default=lambda reporter, problem: None)

    def take(self, node: pb.ReportingNode, report: pb.ReportRequest, now: float) -> None:
        """Enter all of a report. A series that makes no sense is left out, counted and named; the rest holds."""
        reporter = node.instance or f"{node.namespace}/{node.pod}"
        me = self.directory.pod(node.namespace, node.pod) or Peer(
            _text(node.workload or f"pod/{node.pod}"), _text(node.namespace), meshed=True
        )
        me = me._replace(meshed=True)
        for http in report.http:
            if http.edge.direction and len(http.latency_buckets) in (0, BUCKET_COUNT):
                key = self._key(me, http.edge)
                self.traffic.add_http(key, now, http.requests, http.failures, http.latency_buckets)
                self.traffic.add_tcp(key, now, http.request_bytes, http.response_bytes)
            else:
                self._refuse(
                    reporter,
                    f"an HTTP series has direction {http.edge.direction} and {len(http.latency_buckets)} latency "
                    f"buckets; expected a direction and {BUCKET_COUNT} or none",
                )
        connections: list[tuple[SeriesKey, int]] = []
        for tcp in report.tcp:
            if not tcp.edge.direction:
                self._refuse(reporter, "a TCP series has no direction")
                continue
            key = self._key(me, tcp.edge)
            self.traffic.add_tcp(key, now, tcp.sent_bytes, tcp.received_bytes)
            # edges that differ only in route or pod are one series here, so their connections add up
            connections.append((key, tcp.open_connections))
        self.traffic.set_open(reporter, connections)

    def forget(self, node: pb.ReportingNode) -> None:
        """The proxy's stream ended."""
        self.traffic.forget(node.instance or f"{node.namespace}/{node.pod}")

    def _refuse(self, reporter: str, problem: str) -> None:
        self.malformed += 1
        self.on_malformed(reporter, problem)

    def _key(self, me: Peer, edge: pb.Edge) -> SeriesKey:
        by_client = edge.direction == pb.DIRECTION_OUTBOUND
        peer = self._peer(edge, by_client)
        return SeriesKey(
            client=me if by_client else peer,
            server=peer if by_client else me,
            service=_text(edge.service),
            service_namespace=_text(edge.service_namespace),
            secured=edge.secured,
            by_client=by_client,
            backend=_text(edge.backend) if by_client else "",  # chosen by the client's proxy alone
        )

    def _peer(self, edge: pb.Edge, by_client: bool) -> Peer:
        known = (
            self.directory.pod(edge.peer_namespace, edge.peer_pod)
            if edge.peer_namespace
            else self.directory.address(edge.peer_pod)
        )
        if known is not None:
            return known
        if edge.peer_workload and edge.peer_namespace:
            return Peer(_text(edge.peer_workload), _text(edge.peer_namespace))
        if edge.peer_pod:
            return Peer(_text(edge.peer_pod), "")
        if by_client and edge.service:
            # no endpoint was reached: the Service is all there is to name, and it has no proxy of its own
            return Peer(f"service/{_text(edge.service)}", _text(edge.service_namespace), meshed=True)
        return Peer("(unknown)", "")


def _text(value: str) -> str:
    return value[:LONGEST_TEXT]
