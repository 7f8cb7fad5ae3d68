"""What chapters share: the stage, the lab, the control plane's API, and app-a's own count of its calls."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tulle_cli.api_client import ApiClient
from tulle_cli.demo.lab import Lab
from tulle_cli.demo.stage import NotTrue, Stage
from tulle_cli.demo.traffic import Tally

NAMESPACE = "demo"
SYSTEM = "tulle-system"
APP_A = f"http://app-a.{NAMESPACE}"


@dataclass
class Scene:
    """Given to each chapter."""

    stage: Stage
    lab: Lab
    api: ApiClient
    manifests: Path
    begun: float = 0.0
    """When all pods were ready, on the stage's clock; and app-a's count then."""
    first: Tally = field(default_factory=lambda: Tally(0, 0))

    def pods(self, app: str = "", namespace: str = NAMESPACE) -> list[dict[str, Any]]:
        """Pods that are not being deleted, sorted by name; of one app (label), or all."""
        found = [
            pod
            for pod in self.lab.items("pods", namespace)
            if not pod["metadata"].get("deletionTimestamp")
            and app in ("", pod["metadata"].get("labels", {}).get("app"))
        ]
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))

    def tally(self) -> Tally:
        """What app-a has counted since it started."""
        return Tally.of(json.loads(self.lab.curl(f"{APP_A}/stats")))

    def measure(self, calls: int, seconds: float = 60.0) -> Tally:
        """Let app-a make at least `calls` calls, and say what came of them."""
        before = self.tally()

        def enough() -> Tally | None:
            since = self.tally() - before
            return since if since.total >= calls else None

        return self.stage.until(enough, f"{calls} calls by app-a", seconds, "tulle lab logs deploy/app-a -n demo")

    def no_failures(self, tally: Tally, during: str) -> None:
        """Claim that none of the calls failed, in the client's own count."""
        self.stage.claim(
            tally.total > 0 and tally.failed == 0,
            f"{tally.total} calls {during}, 0 failed (counted by app-a itself)",
            f"{tally.failed} of {tally.total} failed",
            "tulle lab logs deploy/app-a -n demo -c tulle-proxy",
        )


def is_ready(pod: dict[str, Any]) -> bool:
    """Kubernetes' own condition."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


__all__ = ["APP_A", "NAMESPACE", "SYSTEM", "NotTrue", "Scene", "is_ready"]
