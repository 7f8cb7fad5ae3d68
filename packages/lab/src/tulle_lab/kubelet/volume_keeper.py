"""A pod's volumes on disk: made before its containers start, and kept true to ConfigMaps and token lifetimes.

Owns the pod's volume folder (in the lab's own memory, so that it goes with the lab). What the files hold is decided
in volumes.py.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import trio

from tulle_lab.cluster.objects import Key, Object, annotations_of, key_of, labels_of
from tulle_lab.errors import LabError
from tulle_lab.kubelet import identity, volumes
from tulle_lab.kubelet.context import Context
from tulle_lab.kubelet.process_spec import ETC

_RETRY = 1.0
"""Seconds until the next try when a volume cannot be made."""

_RENEW_AFTER = 0.8
"""Of a token's lifetime, as kubelet does."""


class VolumeKeeper:
    """Keeps the volumes of one pod in `directory`."""

    def __init__(self, context: Context, pod: Object, directory: Path) -> None:
        self.directory = directory
        self._context = context
        self._key: Key = key_of(pod)
        self._pod = pod
        self._tokens: dict[tuple[str, float], tuple[str, float]] = {}  # (audience, lifetime) -> token, renew at
        shared = pod["spec"].get("securityContext") or {}
        self._group: int | None = shared.get("fsGroup")

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Make the volumes, say started, keep them for ever. Waits while something that they need is missing."""
        pod = self._current()
        self._files_of_etc(pod)
        kept = [volume for volume in pod["spec"].get("volumes") or [] if volumes.needs_files(volume)]
        started = False
        while True:
            version, pod, wait = self._context.store.version, self._current(), math.inf
            try:
                if not started:
                    self._plain(pod)
                for volume in kept:
                    self._write(volume, pod)
                if not started:
                    started = True
                    task_status.started()
            except LabError as error:
                self._context.events.warning(self._key, "FailedMount", str(error))
                wait = _RETRY
            with trio.move_on_after(min(wait, max(0.0, self._next_renewal() - self._context.clock()))):
                await self._config_change(version, kept)

    def _current(self) -> Object:
        return self._context.store.get(*self._key) or self._pod

    def _files_of_etc(self, pod: Object) -> None:
        folder = self.directory / ETC
        folder.mkdir(parents=True)
        spec, namespace = pod["spec"], pod["metadata"]["namespace"]
        addresses = [entry["ip"] for entry in pod.get("status", {}).get("podIPs") or []]
        for name, text in (
            ("hosts", identity.hosts_file(pod, addresses)),
            ("resolv.conf", identity.resolver_file(namespace, spec["dnsPolicy"], spec.get("dnsConfig"))),
            ("hostname", identity.hostname(pod) + "\n"),
            ("nsswitch.conf", identity.NSSWITCH),
        ):
            (folder / name).write_text(text)

    def _plain(self, pod: Object) -> None:
        """emptyDir folders, and hostPath's promises."""
        for volume in pod["spec"].get("volumes") or []:
            if "emptyDir" in volume:
                path = self.directory / volume["name"]
                if path.exists():
                    continue
                path.mkdir()
                path.chmod(0o777 if self._group is None else 0o2777)
                if self._group is not None:
                    os.chown(path, 0, self._group)
            elif host := volume.get("hostPath"):
                _host_path(Path(host["path"]), host.get("type", ""), volume["name"])

    def _write(self, volume: Object, pod: Object) -> None:
        context = self._context
        files = volumes.contents(
            volume, pod, context.config_maps(pod), lambda audience, life: self._token(pod, audience, life)
        )
        volumes.write(self.directory / volume["name"], files, self._group)

    def _token(self, pod: Object, audience: str, lifetime: float) -> str:
        """The token in force, or a new one when the old has little time left."""
        now = self._context.clock()
        token, renew = self._tokens.get((audience, lifetime), ("", -math.inf))
        if now >= renew:
            token = self._context.issue_token(pod, audience, lifetime)
            self._tokens[audience, lifetime] = token, now + lifetime * _RENEW_AFTER
        return token

    def _next_renewal(self) -> float:
        return min((renew for _, renew in self._tokens.values()), default=math.inf)

    async def _config_change(self, version: int, kept: list[Object]) -> None:
        """Wait for a change that may concern these volumes."""
        if not kept:
            await trio.sleep_forever()
        before = self._ingredients()
        while self._ingredients() == before:
            version = await self._context.store.wait_change(version)

    def _ingredients(self) -> list[object]:
        """What the files are made of: ConfigMaps, and the pod's own labels and annotations."""
        pod = self._current()
        return [labels_of(pod), annotations_of(pod), *self._config_map_versions()]

    def _config_map_versions(self) -> list[str]:
        return [
            obj["metadata"]["resourceVersion"] for obj in self._context.store.list("ConfigMap", self._key.namespace)
        ]


def _host_path(path: Path, kind: str, volume: str) -> None:
    """Check, or make, what a hostPath volume promises. Raises LabError."""
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch()
    right = {
        "": path.exists,
        "Directory": path.is_dir,
        "DirectoryOrCreate": path.is_dir,
        "File": path.is_file,
        "FileOrCreate": path.is_file,
        "Socket": path.is_socket,
    }[kind]
    if not right():
        raise LabError(f"volume {volume}: hostPath {path} is not there{f' as a {kind}' if kind else ''}")
