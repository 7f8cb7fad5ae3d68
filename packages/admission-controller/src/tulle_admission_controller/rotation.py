"""Keeps the served certificate and the published bundle up to date while the webhook runs.

The thin shell around `keyring.py`: asks the clock, publishes, loads. The order is the rule: a bundle is published
before anything that depends on it is served. When publishing fails, the present certificate serves on.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime

from .keyring import Keyring
from .sinks import CaBundleSink
from .tls import load_leaf, server_context

log = logging.getLogger(__name__)

_RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_LONGEST_SLEEP = 3600.0  # so that a clock that jumps, or a machine that slept, is noticed


def utc_now() -> datetime:
    """The time, as the keyring wants it."""
    return datetime.now(UTC)


class Rotation:
    """Owns the keyring and the TLS context made from it. `context` is one object for the whole run."""

    def __init__(self, keyring: Keyring, sink: CaBundleSink, clock: Callable[[], datetime] = utc_now) -> None:
        self.keyring = keyring
        self.sink = sink
        self.clock = clock
        self.context = server_context(keyring.leaf)
        self.is_published = False
        self._bundle = b""
        self._checked = clock()
        self._wake = asyncio.Event()
        self._renew = False

    def renew_now(self) -> None:
        """Asks `run` to renew before the time (SIGHUP)."""
        self._renew = True
        self._wake.set()

    async def rotate(self, *, renew: bool = False) -> None:
        """One round: step the keyring, load a new leaf, publish a new bundle. Raises what the sink raises.

        A leaf is only ever signed by an authority that was published before, so loading it first is safe.
        """
        leaf = self.keyring.leaf
        self.keyring.step(self.clock(), renew=renew)
        if self.keyring.leaf is not leaf:
            load_leaf(self.context, self.keyring.leaf)
            end = self.keyring.leaf.certificate.not_valid_after_utc
            log.info("serving a new certificate", extra={"fields": {"not_after": end.isoformat()}})
        bundle = self.keyring.bundle
        if bundle == self._bundle and (self.clock() - self._checked).total_seconds() >= self.sink.recheck_seconds:
            await self.sink.publish(bundle)
            self._checked = self.clock()
        if bundle != self._bundle:
            await self.sink.publish(bundle)
            self._bundle, self._checked = bundle, self.clock()
            self.keyring.published(self.clock())
            self.is_published = True
            log.info("CA bundle published", extra={"fields": {"certificates": len(self.keyring.authorities)}})

    async def run(self) -> None:
        """Rotates when it is time, for ever; ends by cancellation, which leaves the last state in place."""
        failures = 0
        while True:
            renew, self._renew = self._renew, False
            self._wake.clear()
            try:
                await self.rotate(renew=renew)
                failures = 0
                wait = (self.keyring.next_step() - self.clock()).total_seconds()
            except Exception as error:
                wait = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)] * random.uniform(0.8, 1.2)
                failures += 1
                log.error(
                    "the CA bundle could not be published; callers may refuse this webhook until it is",
                    extra={"fields": {"error": f"{type(error).__name__}: {error}", "retry_seconds": round(wait, 1)}},
                )
            try:
                async with asyncio.timeout(min(max(wait, 0.05), self.sink.recheck_seconds, _LONGEST_SLEEP)):
                    await self._wake.wait()
            except TimeoutError:
                pass
