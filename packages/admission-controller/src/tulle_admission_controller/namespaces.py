"""Annotations of namespaces, which hold for pods that do not say otherwise. A review does not carry them.

Three sources: none; a JSON file `{namespace: {annotation: value}}` that the lab keeps up to date; in a cluster, a list
and watch of the namespaces. The seam is the function type `mutate.NamespaceAnnotations`.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import names
from .kubernetes_api import ApiError, ApiServer

log = logging.getLogger(__name__)


def no_annotations(namespace: str) -> Mapping[str, str]:
    """Nothing is known of namespaces."""
    return {}


class FileNamespaces:
    """Reads the file again when it changed. A file that is missing or bad leaves what was known."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._known: dict[str, dict[str, str]] = {}

    def __call__(self, namespace: str) -> Mapping[str, str]:
        """The annotations of one namespace, empty when it has none or is not in the file."""
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._stamp = stamp
                self._known = _checked(json.loads(self.path.read_bytes()))
        except (OSError, ValueError, RecursionError) as error:
            log.warning(
                "namespace annotations are as they were: the file cannot be read",
                extra={"fields": {"file": str(self.path), "error": str(error)}},
            )
        return self._known.get(namespace, {})


def _checked(document: object) -> dict[str, dict[str, str]]:
    if not isinstance(document, dict):
        raise ValueError("expected an object {namespace: {annotation: value}}")
    for name, values in document.items():
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise ValueError(f"annotations of namespace {name!r} must be an object of strings")
    return document


class WatchedNamespaces:
    """Our annotations of each namespace of a cluster. What cannot be asked leaves what was known.

    `start` begins a thread that lives as long as the process. A watch that ends, however it ends, is followed by a
    list: simple, and often enough (a watch lasts some minutes).
    """

    PATH = "/api/v1/namespaces"
    WATCH_SECONDS = 300
    PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.known: dict[str, dict[str, str]] = {}
        self.listed = threading.Event()
        self.stopping = threading.Event()

    def __call__(self, namespace: str) -> Mapping[str, str]:
        """The annotations of one namespace; empty when it has none of ours."""
        return self.known.get(namespace, {})

    def not_ready(self) -> str:
        """Why reviews should not come yet; empty when they may."""
        return "" if self.listed.is_set() else "the namespaces are not known yet"

    def start(self) -> None:
        """Begin to list and watch."""
        threading.Thread(target=self.run, name="watch namespaces", daemon=True).start()

    def run(self) -> None:
        """Until `stopping` is set."""
        failures = 0
        while not self.stopping.is_set():
            try:
                self._list_and_watch()
                failures = 0
                self.stopping.wait(self.PAUSES[0])  # so that a watch that always ends at once does no harm
            except ApiError as error:
                pause = self.PAUSES[min(failures, len(self.PAUSES) - 1)] * random.uniform(0.8, 1.2)
                failures += 1
                log.warning(
                    "namespaces cannot be watched; their annotations are as they were",
                    extra={"fields": {"error": str(error), "retry_seconds": round(pause, 1)}},
                )
                self.stopping.wait(pause)

    def _list_and_watch(self) -> None:
        everything = self.api.request("GET", self.PATH)
        self.known = {
            each["metadata"]["name"]: ours for each in everything["items"] if (ours := _ours(each["metadata"]))
        }
        self.listed.set()
        seconds = round(self.WATCH_SECONDS * random.uniform(0.7, 1.0))
        version = everything["metadata"]["resourceVersion"]
        query = f"?watch=true&resourceVersion={version}&timeoutSeconds={seconds}"
        for event in self.api.lines(self.PATH + query, seconds + 30.0):
            if event.get("type") == "ERROR":
                return  # 410 or anything else: the next list knows
            self.take(event)
            if self.stopping.is_set():
                return

    def take(self, event: Mapping[str, Any]) -> None:
        """One watch event."""
        metadata = event["object"]["metadata"]
        ours = _ours(metadata) if event["type"] in ("ADDED", "MODIFIED") else {}
        if ours:
            self.known[metadata["name"]] = ours
        else:
            self.known.pop(metadata["name"], None)


def _ours(metadata: Mapping[str, Any]) -> dict[str, str]:
    annotations = metadata.get("annotations") or {}
    return {key: value for key, value in annotations.items() if key.startswith(names.PREFIX)}
