"""Where objects are: what the canary needs of an API server, and the lab's.

Owns the adapter's interface. A cluster's adapter sends `resourceVersion` back with `apply`, so that a change by
somebody else in between is refused; the lab has one user, and its `apply` is the last word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from tulle_cli.errors import CliError

if TYPE_CHECKING:
    from tulle_lab.client import Client

_SERVERS = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")


class Objects(Protocol):
    """Kubernetes objects as plain data. Every method raises CliError when the API server cannot be asked."""

    def list(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        """All of a kind ("Service", "HTTPRoute") in a namespace."""

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """One, or None when it does not exist."""

    def apply(self, obj: Mapping[str, Any]) -> None:
        """Create it, or put it in the place of the one that there is."""

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete it. One that is not there is no error."""


class LabObjects:
    """The lab's, over its control socket."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    def default(cls) -> LabObjects:
        """Of the lab in the usual state folder. Raises CliError when tulle-lab is not installed."""
        try:
            from tulle_lab.client import Client
        except ImportError as error:
            raise CliError(
                "this changes objects of a lab", f"tulle-lab is not installed: {error}", "pip install 'tulle-cli[lab]'"
            ) from error
        return cls(Client.default())

    def list(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        """See Objects."""
        found: list[dict[str, Any]] = self._ask("get", {"kind": kind, "namespace": namespace})["groups"][0]["items"]
        return found

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """See Objects."""
        return next((obj for obj in self.list(kind, namespace) if obj["metadata"]["name"] == name), None)

    def apply(self, obj: Mapping[str, Any]) -> None:
        """See Objects."""
        metadata = {name: value for name, value in obj["metadata"].items() if name not in _SERVERS}
        text = json.dumps({**obj, "metadata": metadata})
        name = f"{obj['kind']} {metadata['name']}"
        self._ask("apply", {"sources": [{"name": name, "text": text}], "namespace": metadata["namespace"]})

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """See Objects."""
        self._ask("delete", {"kind": kind, "names": [name], "namespace": namespace, "missing_ok": True})

    def _ask(self, verb: str, request: dict[str, Any]) -> Any:
        from tulle_lab.errors import LabError

        try:
            return self._client.ask(verb, request)
        except LabError as error:
            raise CliError(error.what, error.why.strip(), error.fix or "tulle lab get httproutes -A") from error
