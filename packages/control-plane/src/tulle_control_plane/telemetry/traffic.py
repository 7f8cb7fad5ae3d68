"""Who talked to whom: every series that proxies report, by client, server and Service.

Owns the series and the connections that are open, in bounded memory. Refuses to know gRPC and the catalog: `Peer`s
arrive resolved.

The same request is reported twice where both ends are in the mesh. So each series says which side counted it, and
whether the other end has a proxy that counts it too; views.py reads each request once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tulle_control_plane.telemetry.figures import Counts
from tulle_control_plane.telemetry.windows import LONGEST, Span, Window

MOST_SERIES = 20_000
MOST_STRANGERS = 1_000
MOST_GAUGES_A_PROXY = 4_096
OTHERS = "(others)"


class Peer(NamedTuple):
    """One end: "deployment/app-a" in "default", or an address in no namespace."""

    workload: str
    namespace: str
    meshed: bool = False

    @property
    def known(self) -> bool:
        """False for an address that is nobody we know."""
        return bool(self.namespace)


class SeriesKey(NamedTuple):
    """One direction of talk, as one side counts it."""

    client: Peer
    server: Peer
    service: str  # "app-b", empty for none
    service_namespace: str
    secured: bool
    by_client: bool
    backend: str = ""  # "default/app-b2:80": what the client's proxy chose among the Service's backends; else empty


@dataclass
class Traffic:
    """All series. `started` is when counting began, on the clock of every `now`."""

    started: float
    windows: dict[SeriesKey, Window] = field(default_factory=dict)
    dropped: int = 0
    """Additions that found no room."""

    def __post_init__(self) -> None:
        self._open: dict[str, dict[SeriesKey, int]] = {}
        self._strangers: set[str] = set()

    def add_http(self, key: SeriesKey, now: float, requests: int, failures: int, buckets: Sequence[int]) -> None:
        """Requests that ended since the last report."""
        for counts in self._at(key, now):
            counts.add_http(requests, failures, buckets)

    def add_tcp(self, key: SeriesKey, now: float, sent: int, received: int) -> None:
        """Bytes that were relayed since the last report."""
        for counts in self._at(key, now):
            counts.add_tcp(sent, received)

    def set_open(self, reporter: str, connections: Iterable[tuple[SeriesKey, int]]) -> None:
        """All connections that one proxy has open now. What it had open before and does not name is closed."""
        gauges: dict[SeriesKey, int] = {}
        for key, count in connections:
            key = self._bounded(key)
            if count and (key in gauges or len(gauges) < MOST_GAUGES_A_PROXY):
                gauges[key] = gauges.get(key, 0) + count
        self._open[reporter] = gauges

    def forget(self, reporter: str) -> None:
        """A proxy's stream ended: its connections are no longer known to be open."""
        self._open.pop(reporter, None)

    def open_connections(self) -> dict[SeriesKey, int]:
        """Open connections by series, over all proxies."""
        total: dict[SeriesKey, int] = {}
        for gauges in self._open.values():
            for key, connections in gauges.items():
                total[key] = total.get(key, 0) + connections
        return total

    def read(self, span: Span) -> dict[SeriesKey, Counts]:
        """The counts of every series that was active within `span`."""
        found = {}
        for key, window in self.windows.items():
            counts = Counts()
            window.add_to(counts, span)
            if counts.requests or counts.sent_bytes or counts.received_bytes:
                found[key] = counts
        return found

    def expire(self, now: float) -> None:
        """Let go of series that no window can reach any more."""
        for key in [key for key, window in self.windows.items() if window.last < now - LONGEST]:
            del self.windows[key]
        self._strangers = {peer.workload for key in self.windows for peer in (key.client, key.server) if not peer.known}

    def _at(self, key: SeriesKey, now: float) -> Sequence[Counts]:
        key = self._bounded(key)
        window = self.windows.get(key)
        if window is None:
            if len(self.windows) >= MOST_SERIES:
                self.expire(now)
            if len(self.windows) >= MOST_SERIES:
                self.dropped += 1
                return ()
            window = self.windows[key] = Window()
        return window.at(now)

    def _bounded(self, key: SeriesKey) -> SeriesKey:
        # whoever can connect could fill our memory with addresses
        return key._replace(client=self._stranger(key.client), server=self._stranger(key.server))

    def _stranger(self, peer: Peer) -> Peer:
        if peer.known or peer.workload in self._strangers or peer.workload == OTHERS:
            return peer
        if len(self._strangers) >= MOST_STRANGERS:
            return Peer(OTHERS, "")
        self._strangers.add(peer.workload)
        return peer
