"""How long a container that ended waits before it runs again. Pure.

Kubernetes waits 10 s, doubling to 5 minutes; the lab starts at 1 s, since here somebody is watching.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST, MOST = 1.0, 60.0
HEALTHY = 600.0
"""Seconds of running after which a container counts as well again, as kubelet has it."""


@dataclass
class Backoff:
    """Of one container."""

    next: float = 0.0

    def delay(self, ran: float) -> float:
        """Seconds to wait after a run of `ran` seconds. The first restart is at once."""
        if ran >= HEALTHY:
            self.next = 0.0
        now = self.next
        self.next = min(max(FIRST, now * 2), MOST)
        return now
