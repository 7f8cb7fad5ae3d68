"""The link to the server: one gRPC channel, opened when it is needed and closed when it has not been for a while.

Owns the channel's life, which no request may own: it runs beside them (`Runtime.spawn`), and ends by itself, also
after the policy was replaced by another. A new link first asks the server whether it can work with the configuration.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import trio
from tulle_api.v1 import plugin_pb2 as pb
from tulle_plugin_api import Runtime, TimedOut
from tulle_trio_grpc import Backoff, GrpcError, Keepalive, Stub, open_channel

from tulle_policy_external import ExternalConfig
from tulle_policy_external.verdicts import Undecided

__all__ = ["Link", "Undecided"]

log = logging.getLogger("tulle.external")

SERVICE: Any = pb.DESCRIPTOR.services_by_name["ExternalPolicy"]
IDLE_SECONDS = 60.0
CHECK_AGAIN_SECONDS = 10.0
"""A server that refuses the configuration, or cannot be asked, is asked again so often at most."""


class Link:
    """One for each handler."""

    def __init__(self, runtime: Runtime, config: ExternalConfig, **channel: Any) -> None:
        """`channel`: more arguments of `open_channel`, for tests."""
        self._runtime, self._config, self._options = runtime, config, channel
        self._stub: Stub | None = None
        self._opened = trio.Event()
        self._running = False
        self._accepted = False
        self._check_at = 0.0  # not before
        self._used = 0.0
        self._under_way = 0
        self._told = ""

    async def ask(self, question: pb.OnRequestRequest) -> pb.OnRequestResponse:
        """What the server says of a request, within the configured time. Raises Undecided."""
        self._used = self._runtime.now()
        self._under_way += 1
        try:
            with self._runtime.timeout(self._config.timeout, f"no answer within {self._config.timeout:g} s"):
                stub = await self._open()
                if not self._accepted:
                    await self._check(stub)
                said: pb.OnRequestResponse = await stub.OnRequest(question)
        except (GrpcError, TimedOut) as error:
            raise Undecided(str(error)) from None
        finally:
            self._under_way -= 1
        return said

    def decided(self) -> None:
        """All is well. Said once, when it was not before."""
        if self._told:
            log.warning("external policy at %s decides again", self._config.address)
            self._told = ""

    def failed(self, error: Undecided) -> None:
        """Say so, once until it is well again."""
        if not self._told:
            self._told = str(error)
            holds = "requests are refused" if self._config.on_failure == "closed" else "requests go on without it"
            log.warning("external policy at %s: %s; %s", self._config.address, error, holds)

    async def _open(self) -> Stub:
        if not self._running:
            self._running, self._opened = True, trio.Event()
            self._runtime.spawn(self._run)
        await self._opened.wait()
        assert self._stub is not None
        return self._stub

    async def _run(self) -> None:
        try:
            async with open_channel(
                self._config.address,
                keepalive=Keepalive(interval=30.0, timeout=10.0),
                connect_timeout=5.0,
                backoff=Backoff(first=0.1, longest=1.0),
                **self._options,
            ) as channel:
                self._stub, self._accepted = Stub(channel, SERVICE), False
                self._opened.set()
                while self._under_way or self._runtime.now() - self._used < IDLE_SECONDS:
                    await self._runtime.sleep(IDLE_SECONDS)
                self._stub, self._running = None, False  # who comes while it closes opens another
        except BaseException:
            self._stub, self._running = None, False
            raise

    async def _check(self, stub: Stub) -> None:
        """Raises Undecided. Requests that come meanwhile ask for themselves: they are few, and nobody waits."""
        now = self._runtime.now()
        if now < self._check_at:
            raise Undecided(self._told or "it has not accepted the configuration yet")
        said = await stub.Check(pb.CheckRequest(config=json.dumps(self._config.config)))
        if said.problems:
            self._check_at = now + CHECK_AGAIN_SECONDS
            raise Undecided(f"it refuses the configuration: {'; '.join(said.problems)}")
        self._accepted = True
