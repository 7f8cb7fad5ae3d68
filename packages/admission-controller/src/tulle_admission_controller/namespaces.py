"""Annotations of namespaces, which hold for pods that do not say otherwise. A review does not carry them.

Two sources: none, and a JSON file `{namespace: {annotation: value}}` that the lab keeps up to date. In Kubernetes a
watch of the namespaces takes this place; the seam is the function type `mutate.NamespaceAnnotations`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

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
