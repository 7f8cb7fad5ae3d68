"""What every pod's task needs of the rest of the lab: one bundle, handed down.

Owns nothing but the bundle and the reading of ConfigMaps and accounts for one pod.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tulle_lab.cluster.events import Events
from tulle_lab.cluster.objects import Object
from tulle_lab.cluster.store import Store
from tulle_lab.kubelet import tokens
from tulle_lab.kubelet.environment import ConfigMaps
from tulle_lab.network.addresses import Pool, pod_pool
from tulle_lab.sandbox.runtime import Runtime


@dataclass
class Context:
    """The node's services."""

    store: Store
    runtime: Runtime
    settled: Callable[[int], Awaitable[None]]
    """Wait until Services' endpoints and rules reflect the store at a version."""
    events: Events
    state: Path
    logs: Path
    volumes: Path
    token_key: bytes
    search_path: str
    ipv6: bool
    report: Callable[[str], None]
    """Tell the daemon's log about a fault of the lab itself, with the exception that is being handled."""
    plugins: tuple[str, ...] = ()
    """Folders with plugins, for Tulle's own programs (launch/plugins.py)."""
    addresses: Pool = field(default_factory=pod_pool)
    clock: Callable[[], float] = time.time

    def config_maps(self, pod: Object) -> ConfigMaps:
        """ConfigMaps of the pod's namespace."""
        namespace = pod["metadata"]["namespace"]
        return lambda name: self.store.get("ConfigMap", namespace, name)

    def issue_token(self, pod: Object, audience: str, lifetime: float) -> str:
        """A token for the pod's service account."""
        namespace, name = pod["metadata"]["namespace"], pod["spec"].get("serviceAccountName", "default")
        account = self.store.get("ServiceAccount", namespace, name)
        if account is None:
            raise tokens.BadToken(f"there is no ServiceAccount {namespace}/{name}")
        return tokens.issue(self.token_key, pod, account, audience or tokens.DEFAULT_AUDIENCE, lifetime, self.clock())
