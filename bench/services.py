"""What stands behind the proxies: four services, each by the address that a Tulle client dials and by its endpoints.

The same backend for all proxies: nginx for HTTP answers, load/backend.py for what nginx cannot do as lightly.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.world import BACKEND_IPS


@dataclass(frozen=True)
class Service:
    """`vip` and `port` are dialled through Tulle; other proxies listen on 127.0.0.1 at `local`."""

    name: str
    vip: str
    port: int
    local: int
    target: int
    """The endpoints' port."""
    opaque: bool = False
    stable: tuple[str, ...] = BACKEND_IPS[:1]
    canary: tuple[str, ...] = ()


STABLE_WEIGHT, CANARY_WEIGHT = 90, 10

APP = Service("app", "10.96.0.10", 80, 28080, 8080, stable=BACKEND_IPS[:2], canary=BACKEND_IPS[2:])
"""Paths: / (3 bytes), /ids/... (3 bytes, and a field that is never the same), /10k, /1m, /64m."""
SINK = Service("sink", "10.96.0.11", 80, 28081, 8081)
"""Reads a POST's body and answers 200."""
BULK = Service("bulk", "10.96.0.12", 9000, 29000, 9000, opaque=True)
"""Told a number (8 bytes, big-endian), sends as many bytes; again and again."""
ECHO = Service("echo", "10.96.0.13", 9001, 29001, 9001, opaque=True)
"""Sends back what it receives."""

MESHED = Service("meshed", "10.96.0.20", 80, 28090, 8080, stable=())
"""As APP, in a pod that has a proxy of its own (the address is that pod's): two hops."""

SERVICES = (APP, SINK, BULK, ECHO)

TIMEOUT_SECONDS = 15
RETRIES = 2
