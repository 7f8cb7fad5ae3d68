"""Where the CA bundle goes, so that whoever calls the webhook can verify it.

`CaBundleSink` is the seam: on one machine a file is written, in Kubernetes `caBundle` of the webhook
configurations is patched. A sink may fail; the caller tries again (`rotation.py`).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
import os
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from .bundle import merged
from .kubernetes_api import ApiError, ApiServer


class CaBundleSink(Protocol):
    """Takes the bundle to where callers find it."""

    recheck_seconds: float
    """How often to publish the same bundle again, in case somebody took it away; infinity: never."""

    async def publish(self, bundle: bytes) -> None:
        """Puts the PEM bundle (one or two certificates) in place, whole. Raises when it could not.

        Called again with the same bundle after a failure, and with a new one after each rotation.
        """


class NoSink:
    """Nobody is told: callers verify nothing, or are given the bundle by other means."""

    recheck_seconds = math.inf

    async def publish(self, bundle: bytes) -> None:
        """Does nothing."""


class FileSink:
    """A file, replaced in one step (rename(2)): a reader sees the old bundle or the new one, never half."""

    recheck_seconds = math.inf

    def __init__(self, path: Path) -> None:
        self.path = path

    async def publish(self, bundle: bytes) -> None:
        """Writes the bundle beside the file and renames it. Raises OSError; nothing is left behind then."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(bundle)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)  # certificates are public
            os.replace(temporary, self.path)
        except BaseException:
            os.unlink(temporary)
            raise


class KubernetesSink:
    """`caBundle` of every webhook in the two configurations of a name, merged with other replicas' (`bundle.py`).

    Needs the rights to get and patch those two objects and no other (resourceNames). Whoever applies the manifests
    anew may empty `caBundle`: it is put back within `recheck_seconds`.
    """

    recheck_seconds = 30.0
    ATTEMPTS = 5

    def __init__(self, api: ApiServer, name: str, clock: Callable[[], datetime]) -> None:
        group = "/apis/admissionregistration.k8s.io/v1"
        self.paths = [f"{group}/{kind}webhookconfigurations/{name}" for kind in ("mutating", "validating")]
        self.api, self.clock = api, clock

    async def publish(self, bundle: bytes) -> None:
        """Patches what lacks the bundle. Raises ApiError."""
        for path in self.paths:
            await asyncio.to_thread(self._publish, path, bundle)

    def _publish(self, path: str, bundle: bytes) -> None:
        for attempt in range(1, self.ATTEMPTS + 1):
            configuration = self.api.request("GET", path)
            patch = ca_bundle_patch(configuration, bundle, self.clock())
            if not patch:
                return
            try:
                self.api.request("PATCH", path, patch, "application/json-patch+json")
                return
            except ApiError as error:
                # another replica was first: the test of resourceVersion failed (422), or the write did (409)
                if error.status not in (409, 422) or attempt == self.ATTEMPTS:
                    raise


def ca_bundle_patch(configuration: dict[str, Any], bundle: bytes, now: datetime) -> list[dict[str, Any]]:
    """The JSON patch (RFC 6902) that puts `bundle` into each webhook; empty where it is in all of them. Pure."""
    operations: list[dict[str, Any]] = []
    for index, webhook in enumerate(configuration.get("webhooks") or ()):
        given = webhook.get("clientConfig", {}).get("caBundle") or ""
        try:
            present = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            present = b""
        wanted = merged(present, bundle, now)
        if wanted != present:
            value = base64.b64encode(wanted).decode()
            operations.append({"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": value})
    if operations:
        version = configuration["metadata"]["resourceVersion"]
        operations.insert(0, {"op": "test", "path": "/metadata/resourceVersion", "value": version})
    return operations
