"""When to ask a silent peer whether it is still there, and when to give it up.

Pure: time is passed in, the connection does what this decides (gRFC A8; RFC 9113 section 6.7). Any bytes from the peer
count as a sign of life, not only the answer to the ping.
"""

from dataclasses import dataclass, replace
from enum import Enum


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Ping after `interval` seconds of silence; without a byte for `timeout` more, the connection is dead.

    While no call is open nothing is sent, unless `without_calls`. Servers guard themselves: grpcio's answers pings
    closer together than `grpc.http2.min_recv_ping_interval_without_data_ms` (5 minutes unless set) with GOAWAY
    "too_many_pings"; the channel then doubles its interval.
    """

    interval: float = 30.0
    timeout: float = 10.0
    without_calls: bool = False

    def __post_init__(self) -> None:
        if not (self.interval > 0 and self.timeout > 0):
            raise ValueError(f"{self}: interval and timeout are seconds above 0")

    def slower(self) -> "Keepalive":
        """Half as many pings: what a client does when told "too_many_pings" (gRFC A8)."""
        return replace(self, interval=2 * self.interval)


class Step(Enum):
    """What to do now."""

    WAIT = "wait"
    PING = "ping"
    DEAD = "dead"


class KeepaliveTimer:
    """The decision for one connection."""

    def __init__(self, config: Keepalive, now: float) -> None:
        self._config = config
        self._heard_at = now
        self._pinged_at: float | None = None

    def heard(self, now: float) -> None:
        """Bytes arrived."""
        self._heard_at = now
        self._pinged_at = None

    def poll(self, now: float) -> tuple[Step, float]:
        """What to do, and when to ask again (same clock as `now`)."""
        config = self._config
        if self._pinged_at is not None:
            dead_at = self._pinged_at + config.timeout
            if now >= dead_at:
                return Step.DEAD, dead_at
            return Step.WAIT, min(dead_at, now + config.interval)
        ping_at = self._heard_at + config.interval
        if now < ping_at:
            return Step.WAIT, ping_at
        self._pinged_at = now
        return Step.PING, now + min(config.interval, config.timeout)
