"""The few files by which Tulle's own pods and the rest of the machine know of each other, in STATE/run.

    control-plane/control-plane.sock   its HTTP API, for `tulle stat`; STATE/control-plane.sock leads there
    admission/ca.pem                   the admission controller's authority, for the lab's calls
    admission/namespaces.json          namespaces' annotations, which no AdmissionReview carries, for the controller
    identity/token.key                 the key of service-account tokens, for whoever verifies them

Owns these names, their modes, and keeping them current. Pods reach them as hostPath volumes.
"""

from __future__ import annotations

import json

from tulle_lab.cluster.objects import annotations_of
from tulle_lab.cluster.store import Store
from tulle_lab.state import StateFolder


class SharedFiles:
    """Run `run` in a nursery, after `create`."""

    def __init__(self, state: StateFolder, store: Store) -> None:
        self._store = store
        self._folder = state.run
        self._link = state.path / "control-plane.sock"
        self._told = ""

    def create(self, token_key: bytes) -> None:
        """Make the folders. Anyone may write in the pods' two: STATE itself is closed to everybody else."""
        for name in ("control-plane", "admission", "identity"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("control-plane", "admission"):
            (self._folder / name).chmod(0o777)
        key = self._folder / "identity" / "token.key"
        key.touch(0o600)
        key.write_bytes(token_key)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to("run/control-plane/control-plane.sock")

    async def run(self) -> None:
        """Follow the store for ever."""
        while True:
            version = self._store.version
            self._tell_namespaces()
            self._open_socket()
            await self._store.wait_change(version)

    def _tell_namespaces(self) -> None:
        annotations = {item["metadata"]["name"]: annotations_of(item) for item in self._store.list("Namespace")}
        text = json.dumps(annotations, sort_keys=True)
        if text != self._told:
            self._told = text
            path = self._folder / "admission" / "namespaces.json"
            partial = path.with_suffix(".tmp")
            partial.write_text(text)
            partial.chmod(0o644)
            partial.rename(path)

    def _open_socket(self) -> None:
        """The control plane's socket is its own user's; in a user namespace that is not the user who wants to ask.

        Nobody else gets there: STATE is closed to them.
        """
        path = self._folder / "control-plane" / "control-plane.sock"
        try:
            if path.stat().st_mode & 0o666 != 0o666:
                path.chmod(0o666)
        except FileNotFoundError:
            pass
