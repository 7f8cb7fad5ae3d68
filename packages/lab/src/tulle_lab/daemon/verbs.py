"""What the control socket can be asked, by name. Each verb: (lab, request, client, later messages) -> result.

Owns the table only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from tulle_lab.daemon import processes, resources, waiting
from tulle_lab.daemon.lab import Lab
from tulle_lab.daemon.server import Connection

Verb = Callable[[Lab, dict[str, Any], Connection, "trio.MemoryReceiveChannel[dict[str, Any]]"], Awaitable[Any]]

VERBS: dict[str, Verb] = {
    "apply": resources.apply,
    "delete": resources.delete,
    "get": resources.get,
    "scale": resources.scale,
    "restart": resources.restart,
    "renew": resources.renew,
    "system": resources.system,
    "exec": processes.execute,
    "logs": processes.logs,
    "ready": waiting.ready,
    "rollout-status": waiting.rollout_status,
    "wait": waiting.wait,
    "down": waiting.down,
}
