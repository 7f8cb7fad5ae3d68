"""Leasing: parts of quotas are fetched from the control plane in the background, so that no request waits for it.

Owns the leases that policies hold, the stream and its reconnects. A lease lives as long as its policy's handler does
(weak references; handlers are swapped whole), and the same quota in two handlers is one lease. Nothing is opened, and
no message type loaded, before a policy wants a lease. logic/leasing.py decides.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import trio
from tulle_plugin_api.lease import Terms
from tulle_trio_grpc import Backoff, Call, Channel, GrpcError, Stub

from tulle_data_plane.log import log, say
from tulle_data_plane.logic.leasing import Share

if TYPE_CHECKING:
    from tulle_api.v1 import quota_pb2 as pb

RELEASE_SECONDS = 5.0
"""So late at most the control plane hears of quotas that no policy has any more."""


class SharedLease:
    """A `tulle_plugin_api.Lease`."""

    __slots__ = ("__weakref__", "_now", "_wake", "share")

    def __init__(self, terms: Terms, now: Callable[[], float], wake: Callable[[], None]) -> None:
        self._now, self._wake = now, wake
        self.share = Share(terms, now())

    def take(self) -> float:
        """See Lease."""
        share = self.share
        wait = share.take(self._now())
        if share.hungry:
            self._wake()
        return wait


class Leases:
    """All leases of one proxy. `now`: the driver's clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._held: WeakValueDictionary[str, SharedLease] = WeakValueDictionary()
        self._woken = trio.Event()

    def lease(self, name: str, terms: Terms) -> SharedLease:
        """The lease of that name and these terms: the one that there is, or a new one. Others' is another quota."""
        if terms.slice < 1 or min(terms) <= 0:
            raise ValueError(f"a quota's terms are more than 0, and its slice at least 1; got {terms}")
        quota = f"{name} {terms.requests:g}/{terms.per:g}s burst {terms.burst:g} by {terms.slice}"
        held = self._held.get(quota)
        if held is None:
            held = self._held[quota] = SharedLease(terms, self._now, self._wake)
            self._wake()
        return held

    def _wake(self) -> None:
        self._woken.set()

    def describe(self) -> dict[str, Any]:
        """What is held, for `GET /config`."""
        now = self._now()
        return {
            quota: {"tokens": lease.share.tokens, "sharers": lease.share.sharers, "alone": lease.share.alone(now)}
            for quota, lease in sorted(self._held.items())
        }

    async def run(self, channel: Channel) -> None:
        """Lease over `channel`, with jittered back-off between streams; for ever."""
        while not self._held:
            await self._woken.wait()
            self._woken = trio.Event()
        from tulle_api.v1 import quota_pb2 as pb

        service: Any = pb.DESCRIPTOR.services_by_name["Quota"]
        failures, backoff = 0, Backoff(first=0.1, longest=1.0)
        while True:
            began = trio.current_time()
            try:
                async with Stub(channel, service).Lease.open() as call:
                    await self._converse(call)
            except (GrpcError, OSError) as error:
                if self._held and not failures:
                    say(logging.WARNING, "nobody leases quotas; this proxy keeps to its part of them",
                        quotas=len(self._held), error=str(error))
            except Exception:
                log.exception("unforeseen error while quotas were leased")
            for lease in list(self._held.values()):
                lease.share.disconnected()
            failures = 1 if trio.current_time() - began > 1.0 else min(failures + 1, 6)
            await trio.sleep(backoff.delay(failures, random.random))

    async def _converse(self, call: Call[pb.LeaseRequest, pb.LeaseResponse]) -> None:
        failure: GrpcError | None = None  # raised outside the nursery, which would wrap it into a group
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask, call)
            try:
                async for response in call:
                    self._hear(response)
            except GrpcError as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _ask(self, call: Call[pb.LeaseRequest, pb.LeaseResponse]) -> None:
        joined: set[str] = set()
        try:
            while True:
                self._woken = trio.Event()
                if message := self._message(joined):
                    await call.send(message)
                with trio.move_on_after(RELEASE_SECONDS):
                    await self._woken.wait()
        except (GrpcError, trio.BrokenResourceError):
            pass  # the receiving side says why

    def _message(self, joined: set[str]) -> pb.LeaseRequest | None:
        from tulle_api.v1 import quota_pb2 as pb

        message, now = pb.LeaseRequest(), self._now()
        for quota, lease in self._held.items():
            share = lease.share
            new = quota not in joined
            if new:
                share.connected(now)
            if new or share.hungry:
                tokens, taken = share.ask(now)
                terms = share.terms
                message.asks.add(
                    quota=quota, requests=terms.requests, per_seconds=terms.per, burst=terms.burst,
                    tokens=tokens, taken=taken,
                )  # fmt: skip
        gone = joined - set(self._held)
        message.release.extend(sorted(gone))
        joined.clear()
        joined.update(self._held)
        return message if message.asks or message.release else None

    def _hear(self, response: pb.LeaseResponse) -> None:
        now = self._now()
        for slice in response.slices:
            lease = self._held.get(slice.quota)
            if lease is not None:
                lease.share.told(slice.tokens, slice.after_seconds, slice.sharers, now, answer=slice.answer)
