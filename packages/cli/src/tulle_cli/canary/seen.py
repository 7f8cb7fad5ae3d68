"""What callers saw of a canary, from the control plane's figures.

Owns which row is the canary's. An unreachable control plane is no figures: a canary that nobody sees holds.
"""

from __future__ import annotations

from tulle_cli.api_client import ApiClient
from tulle_cli.canary.machine import Seen
from tulle_cli.canary.weights import Move
from tulle_cli.errors import CliError


class Figures:
    """The control plane's, through its HTTP API."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self.trouble = ""
        """Why the last look found nothing, else empty."""

    def look(self, move: Move, window: float) -> Seen | None:
        """The canary in the last `window` seconds (1 to 600); None when the control plane cannot say."""
        seconds, milliseconds = divmod(round(window * 1000), 1000)
        since = f"{seconds}s{milliseconds}ms"  # GEP-2257 has no fractions
        query = {"namespace": move.namespace, "service": move.service, "window": since}
        self.trouble = ""
        try:
            rows = self._api.get("/api/v1/backends", query)["rows"]
        except CliError as error:
            self.trouble = f"{error.what}: {error.why}"
            return None
        for row in rows:
            if row["backend"] == move.backend:
                return Seen(row["requests"], row["failures"], row["latency_p99"])
        return Seen(0, 0)

    def must_see(self, move: Move) -> None:
        """Raise CliError when there are no figures: a canary that nobody can judge need not begin."""
        if self.look(move, 1.0) is None:
            raise CliError(
                f"a canary of {move.service} is not begun: there would be no figures to judge it by",
                f"{self.trouble}\nnothing was changed",
                "tulle check says how the control plane is",
            )
