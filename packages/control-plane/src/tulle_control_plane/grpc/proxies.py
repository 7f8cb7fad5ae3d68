"""All connected proxies: hands changes of the catalog to those whom they concern.

Owns the sessions, which of them watch what, and the loop that turns bursts of catalog events into one refresh.
Refuses to know gRPC: a session is woken, and its stream's own task does the sending.

Nothing is computed before the catalog has synced: a control plane that starts knows nothing yet, and must not tell
proxies that nothing exists.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable

from tulle_control_plane.core.snapshots import InboundKey, Snapshot, Snapshots, WatchKey
from tulle_control_plane.grpc.session import INBOUND, Session

log = logging.getLogger(__name__)

DEBOUNCE = 0.03  # seconds from a change to its refresh; what arrives meanwhile rides along
CHUNK = 100  # results computed before other tasks get their turn


class Connected:
    """A session, and the event that wakes its sender."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.wake = asyncio.Event()
        self.ending = False

    def end(self) -> None:
        """Nothing more is to be sent."""
        self.ending = True
        self.wake.set()


class Proxies:
    """See the module's docstring. Used from one event loop. `wall` is wall-clock seconds."""

    def __init__(self, snapshots: Snapshots, wall: Callable[[], float]) -> None:
        self.snapshots = snapshots
        self._wall = wall
        self._connected: dict[Connected, None] = {}
        self._watchers: dict[WatchKey, set[Connected]] = defaultdict(set)
        self._changed = asyncio.Event()
        self._served = False  # whether what sessions subscribed to is computed yet

    # --- sessions --------------------------------------------------------------------------------------

    def connect(self, session: Session) -> Connected:
        """A proxy introduced itself: it gets its inbound configuration without asking."""
        connected = Connected(session)
        self._connected[connected] = None
        self.subscribe(connected, INBOUND)
        return connected

    def disconnect(self, connected: Connected) -> None:
        """Its stream ended: forget all of it."""
        for destination in list(connected.session.subscriptions):
            self.unsubscribe(connected, destination)
        self._connected.pop(connected, None)

    def subscribe(self, connected: Connected, destination: str, held_version: str = "") -> None:
        """The proxy wants to know of a destination, from now on. Subscribing twice is the same as once."""
        session = connected.session
        if not session.subscribe(destination, self._wall(), held_version):
            return
        if self._served:
            self._begin(connected, destination)

    def unsubscribe(self, connected: Connected, destination: str) -> None:
        """The proxy no longer wants to know."""
        key = connected.session.key_of(destination)
        if connected.session.unsubscribe(destination) and connected in self._watchers.get(key, ()):
            self._watchers[key].remove(connected)
            if not self._watchers[key]:
                del self._watchers[key]
            self.snapshots.release(key)

    @property
    def sessions(self) -> list[Session]:
        """One session a pod, the newest (an old stream may linger after its proxy is gone), by namespace and name."""
        newest = {(c.session.node.namespace, c.session.node.pod): c.session for c in self._connected}
        return [newest[key] for key in sorted(newest)]

    # --- changes ---------------------------------------------------------------------------------------

    def changed(self) -> None:
        """The catalog changed; a refresh follows."""
        self._changed.set()

    async def run(self) -> None:
        """Refresh after each burst of changes. Runs until cancelled."""
        while True:
            await self._changed.wait()
            if not self.snapshots.synced:
                self._changed.clear()
                continue
            await asyncio.sleep(DEBOUNCE)
            self._changed.clear()
            await self._serve_first()
            await self.settle()

    async def settle(self) -> None:
        """Return once all that the catalog has told so far is computed and offered.

        Whoever is told of versions asks for this before: between a change and its refresh (DEBOUNCE) every proxy
        still has the newest version that there is, and "in force" would speak of what was there before.
        """
        while self.snapshots.dirty:
            self.refresh()
            await asyncio.sleep(0)

    def refresh(self) -> None:
        """Recompute some of what changed, and offer it."""
        for key, snapshot in self.snapshots.refresh(CHUNK):
            for connected in list(self._watchers.get(key, ())):
                self._offer(connected, key, snapshot)

    async def _serve_first(self) -> None:
        if self._served:
            return
        self._served = True
        waiting = [(connected, name) for connected in self._connected for name in connected.session.subscriptions]
        for index, (connected, destination) in enumerate(waiting):
            if destination in connected.session.subscriptions:  # else it left while others were served
                self._begin(connected, destination)
            if index % CHUNK == CHUNK - 1:
                await asyncio.sleep(0)

    def _begin(self, connected: Connected, destination: str) -> None:
        key = connected.session.key_of(destination)
        if connected in self._watchers.get(key, ()):
            return
        snapshot = self.snapshots.watch(key)
        self._watchers[key].add(connected)
        self._offer(connected, key, snapshot)

    def _offer(self, connected: Connected, key: WatchKey, snapshot: Snapshot) -> None:
        destination = INBOUND if isinstance(key, InboundKey) else key.address
        connected.session.offer(destination, snapshot, self._wall())
        connected.wake.set()
