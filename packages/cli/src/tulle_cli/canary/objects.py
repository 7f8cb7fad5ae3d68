"""Where objects are: what the canary needs of an API server, how that fails, and the lab's.

Owns the adapter's interface; the cluster's is in cluster_objects.py. An object that was read is written back with the
`resourceVersion` that it had, so that a change by somebody else in between is refused (Conflict), and `anew` looks
again. The lab has one user, and its `apply` is the last word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tulle_cli.errors import CliError

if TYPE_CHECKING:
    from tulle_lab.client import Client

T = TypeVar("T")

_SERVERS = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")
TRIES = 5
"""How often something is read, changed and written when somebody else is quicker each time. The control plane writes a
route's status once for each change of it."""


class Unsettled(CliError):
    """It may go well when it is tried again."""


class Conflict(Unsettled):
    """Somebody has written the object since it was read. Nothing was changed."""


class Away(Unsettled):
    """The API server does not answer. What was asked for may have been done, or not."""


class Refused(CliError):
    """The API server, or kubectl, will not do it. Nothing was changed."""


class NotAllowed(Refused):
    """The user has no right to it."""


class Objects(Protocol):
    """Kubernetes objects as plain data. Every method raises CliError when the API server cannot be asked."""

    get_command: str
    """What a person types to look at objects: "tulle lab get"."""
    options: str
    """What `tulle` needs to find them again: "" or " --control-plane kubernetes"."""

    def list(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        """All of a kind ("Service", "HTTPRoute") in a namespace; none of a kind that the server does not know."""

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """One, or None when it does not exist."""

    def apply(self, obj: Mapping[str, Any]) -> None:
        """Put it in the place of the one that it was read from; create it where it was not read. May raise Conflict."""

    def delete(self, obj: Mapping[str, Any]) -> None:
        """Delete it, as it was read. One that is not there is no error. May raise Conflict."""


def anew(act: Callable[[], T]) -> T:
    """What `act` returns, which reads an object and writes it: again, TRIES times at most, while it is a Conflict."""
    for _ in range(TRIES - 1):
        try:
            return act()
        except Conflict:
            continue
    return act()


class LabObjects:
    """The lab's, over its control socket."""

    get_command, options = "tulle lab get", ""

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

    def delete(self, obj: Mapping[str, Any]) -> None:
        """See Objects."""
        names, namespace = [obj["metadata"]["name"]], obj["metadata"]["namespace"]
        self._ask("delete", {"kind": obj["kind"], "names": names, "namespace": namespace, "missing_ok": True})

    def _ask(self, verb: str, request: dict[str, Any]) -> Any:
        from tulle_lab.errors import LabError

        try:
            return self._client.ask(verb, request)
        except LabError as error:
            raise CliError(error.what, error.why.strip(), error.fix or "tulle lab get httproutes -A") from error
