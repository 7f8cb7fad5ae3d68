"""Quota.Lease: one stream a proxy, on which it asks for slices of the quotas that it shares.

Owns the conversation: what is said to a proxy waits for its flow-control window, and news that it did not take yet are
replaced by newer ones, so that a slow proxy costs one entry a quota. core/quota.py decides.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable

import grpc
from tulle_api.v1 import quota_pb2 as pb
from tulle_plugin_api.lease import Terms

from tulle_control_plane.core.quota import BadAsk, Quotas, Slice
from tulle_control_plane.grpc.discovery import LAST_WRITE_WITHIN, Context


class Holder:
    """One proxy's stream: what it has not been told yet, by quota."""

    def __init__(self) -> None:
        self._untold: dict[str, Slice] = {}
        self.wake = asyncio.Event()
        self.ending = False

    def end(self) -> None:
        """Nothing more is sent."""
        self.ending = True
        self.wake.set()

    def tell(self, slice: Slice) -> None:
        """To be sent. Tokens that wait are added up, of `sharers` the newest counts."""
        before = self._untold.get(slice.quota)
        if before is not None:
            slice = slice._replace(
                tokens=before.tokens + slice.tokens,
                after=max(before.after, slice.after),
                answer=before.answer or slice.answer,
            )
        self._untold[slice.quota] = slice
        self.wake.set()

    def take(self) -> list[Slice]:
        """What is to be sent now."""
        found, self._untold = list(self._untold.values()), {}
        self.wake.clear()
        return found


class Quota:
    """The service. `now` is monotonic seconds."""

    def __init__(self, quotas: Quotas, stopping: asyncio.Event, now: Callable[[], float] = time.monotonic) -> None:
        self._quotas = quotas
        self._stopping = stopping
        self._now = now

    async def lease(self, requests: AsyncIterator[pb.LeaseRequest], context: Context) -> None:
        """Serve one proxy until either side ends the stream."""
        holder = Holder()
        reading = asyncio.ensure_future(self._read(requests, holder))
        sending = asyncio.ensure_future(self._send(holder, context))
        stopped = asyncio.ensure_future(self._stopping.wait())
        tasks = (reading, sending, stopped)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # gRPC takes no status while it is still writing: let the write that is under way end
            holder.end()
            await asyncio.wait((sending,), timeout=LAST_WRITE_WITHIN)
            if reading.done():
                problem = reading.result()
                if problem:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, problem)
        finally:
            self._tell(self._quotas.leave(holder))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[pb.LeaseRequest], holder: Holder) -> str:
        async for request in requests:
            for name in request.release:
                self._tell(self._quotas.release(holder, name))
            for ask in request.asks:
                terms = Terms(ask.requests, ask.per_seconds, ask.burst, max(1, ask.tokens))
                try:
                    self._tell(self._quotas.ask(holder, ask.quota, terms, ask.tokens, ask.taken, self._now()))
                except BadAsk as problem:
                    return str(problem)
        return ""

    async def _send(self, holder: Holder, context: Context) -> None:
        while True:
            await holder.wake.wait()
            if holder.ending:
                return
            await context.write(
                pb.LeaseResponse(
                    slices=[
                        pb.QuotaSlice(
                            quota=slice.quota,
                            tokens=slice.tokens,
                            after_seconds=slice.after,
                            sharers=slice.sharers,
                            answer=slice.answer,
                        )
                        for slice in holder.take()
                    ]
                )
            )

    @staticmethod
    def _tell(told: Iterable[tuple[Holder, Slice]]) -> None:
        for holder, slice in told:
            holder.tell(slice)
