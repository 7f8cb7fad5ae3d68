"""One proxy's Discovery stream: what it subscribed to, what it was sent, what it runs.

Owns the per-destination state and the queue of what is still to be sent. Pure: times are passed in (wall-clock
seconds, for people to read), nothing is awaited. Not knowing how fast the proxy reads, it holds at most one
version per destination: what is superseded before it was sent is never sent.

state     when
SYNCED    the last version offered is acknowledged, or was offered less than STALE_AFTER ago
STALE     offered, and neither acknowledged nor refused since STALE_AFTER
REJECTED  refused; the proxy still runs the version acknowledged before
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from tulle_control_plane.core.results import Destination
from tulle_control_plane.core.snapshots import DestinationKey, InboundKey, Snapshot, WatchKey

INBOUND = "inbound"
"""Names the pod's own ports where a destination is named: in Ack, Nack and the HTTP API."""

STALE_AFTER = 5.0  # seconds
LONGEST_ERROR = 2_000
LONGEST_VERSION = 64


class State(StrEnum):
    """How a destination, or a whole proxy, is doing; the worst last."""

    SYNCED = "SYNCED"
    STALE = "STALE"
    REJECTED = "REJECTED"


SEVERITY = {State.SYNCED: 0, State.STALE: 1, State.REJECTED: 2}


@dataclass(frozen=True, slots=True)
class Node:
    """Who the proxy says it is."""

    pod: str
    namespace: str
    service_account: str = ""
    workload: str = ""
    version: str = ""
    addresses: tuple[str, ...] = ()
    instance: str = ""
    host: str = ""


@dataclass
class Subscription:
    """One destination of one proxy: the version it should run, the last one sent, and what it answered."""

    destination: str
    snapshot: Snapshot | None = None
    sent_version: str = ""
    acked_version: str = ""
    rejected_version: str = ""
    error: str = ""  # why it refused `rejected_version`
    waiting_since: float | None = None  # the oldest offer that has no answer yet
    changed: float = 0.0

    @property
    def version(self) -> str:
        """The version that the proxy should run; empty before the catalog has synced."""
        return self.snapshot.version if self.snapshot else ""

    @property
    def service(self) -> str:
        """The Service it turned out to be, "app-b.default.svc.cluster.local:80", or empty."""
        result = self.snapshot.result if self.snapshot else None
        return result.service.authority if isinstance(result, Destination) and result.service else ""

    def state(self, now: float) -> State:
        """See the module's docstring."""
        if self.snapshot is None or self.acked_version == self.version:
            return State.SYNCED
        if self.rejected_version == self.version:
            return State.REJECTED
        if self.waiting_since is not None and now - self.waiting_since > STALE_AFTER:
            return State.STALE
        return State.SYNCED


@dataclass
class Session:
    """See the module's docstring."""

    node: Node
    connected: float
    subscriptions: dict[str, Subscription] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._to_send: dict[str, None] = {}

    def key_of(self, destination: str) -> WatchKey:
        """What the control plane computes for this proxy under that name."""
        if destination == INBOUND:
            return InboundKey(self.node.namespace, self.node.pod)
        return DestinationKey(self.node.namespace, destination)

    def subscribe(self, destination: str, now: float, held_version: str = "") -> bool:
        """Begin with a destination, of which the proxy may hold a version. False: it was subscribed already."""
        if destination in self.subscriptions:
            return False
        held_version = held_version[:LONGEST_VERSION]
        self.subscriptions[destination] = Subscription(
            destination, sent_version=held_version, acked_version=held_version, changed=now
        )
        return True

    def unsubscribe(self, destination: str) -> bool:
        """End with a destination; what was to be sent of it is not. False: it was not subscribed."""
        self._to_send.pop(destination, None)
        return self.subscriptions.pop(destination, None) is not None

    def offer(self, destination: str, snapshot: Snapshot, now: float) -> None:
        """What the proxy should run from now on. Queued, unless it is what was sent last."""
        subscription = self.subscriptions[destination]
        subscription.snapshot = snapshot
        if snapshot.version == subscription.sent_version:
            self._to_send.pop(destination, None)  # changed, and back again before it was sent
        else:
            subscription.changed = now
            self._to_send[destination] = None
        if snapshot.version == subscription.acked_version:
            subscription.waiting_since = None
        elif subscription.waiting_since is None:
            subscription.waiting_since = now

    def next(self) -> Snapshot | None:
        """What to send now, oldest first, each destination in its newest version; None for nothing."""
        if not self._to_send:
            return None
        destination = next(iter(self._to_send))
        del self._to_send[destination]
        subscription = self.subscriptions[destination]
        subscription.sent_version = subscription.version
        return subscription.snapshot

    def ack(self, destination: str, version: str) -> None:
        """The proxy runs that version."""
        subscription = self.subscriptions.get(destination)
        if subscription is None:
            return  # unsubscribed meanwhile
        subscription.acked_version = version[:LONGEST_VERSION]
        if version == subscription.version:
            subscription.waiting_since = None
            subscription.rejected_version = subscription.error = ""

    def nack(self, destination: str, version: str, error: str) -> None:
        """The proxy refuses that version."""
        subscription = self.subscriptions.get(destination)
        if subscription is None:
            return
        subscription.rejected_version = version[:LONGEST_VERSION]
        subscription.error = error[:LONGEST_ERROR] or "the proxy gave no reason"
        if version == subscription.version:
            subscription.waiting_since = None

    def state(self, now: float) -> tuple[State, str]:
        """The worst state of its destinations, and the error that goes with it."""
        worst = max(self.subscriptions.values(), key=lambda s: (SEVERITY[s.state(now)], s.destination), default=None)
        if worst is None:
            return State.SYNCED, ""
        state = worst.state(now)
        return state, worst.error if state is State.REJECTED else ""
