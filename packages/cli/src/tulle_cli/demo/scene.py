"""What chapters share: the stage, the lab, the control plane's API, and app-a's own count of its calls."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tulle_cli.api_client import ApiClient
from tulle_cli.demo.lab import Lab
from tulle_cli.demo.stage import NotTrue, Stage
from tulle_cli.demo.traffic import Tally

NAMESPACE = "demo"
SYSTEM = "tulle-system"
APP_A = f"http://app-a.{NAMESPACE}"
LEAST = 10.0
"""Calls per second that app-a is never asked to go below."""
BEHIND = 0.3
"""Seconds of calls under way from which on the machine does not follow (Little's law: their mean duration)."""
LATE = 3.0
"""Seconds that a command may take which takes half a one on a machine with time for it."""
LOOK = 50
"""Calls after which is seen whether the machine follows."""


@dataclass
class Scene:
    """Given to each chapter."""

    stage: Stage
    lab: Lab
    api: ApiClient
    manifests: Path
    begun: float = 0.0
    """When app-a's calls began to count, on the stage's clock; and its count then."""
    first: Tally = field(default_factory=lambda: Tally(0, 0))
    rate: float = 0.0
    """How often app-a is to call, per second; and which run of it was told so."""
    run: str = ""

    def pods(self, app: str = "", namespace: str = NAMESPACE) -> list[dict[str, Any]]:
        """Pods that are not being deleted, sorted by name; of one app (label), or all."""
        found = [
            pod
            for pod in self.lab.items("pods", namespace)
            if not pod["metadata"].get("deletionTimestamp")
            and app in ("", pod["metadata"].get("labels", {}).get("app"))
        ]
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))

    def begin(self) -> None:
        """Count from a moment of quiet.

        app-a calls from its first moment on, when app-b may not be there yet: those calls fail, and should, some of
        them after half a minute. So it pauses until all of them have ended, and begins anew, its counts too.
        """
        self.rate = float(json.loads(self.lab.curl(f"{APP_A}/knobs"))["load_rps"])
        self.lab.post(f"{APP_A}/knobs", "load_rps=0")
        look = "tulle lab logs deploy/app-a -n demo"
        self.stage.until(lambda: self.counted().under_way == 0 or None, "app-a's first calls to end", hint=look)
        self.lab.post(f"{APP_A}/stats", "")
        self.begun, self.first = self.stage.now(), self.counted()
        self.run = self.first.run
        self.lab.post(f"{APP_A}/knobs", f"load_rps={self.rate:g}")
        rate = 0.0
        while rate != self.rate:
            rate = self.rate
            self.measure(LOOK)

    def counted(self) -> Tally:
        """What app-a has counted."""
        return Tally.of(json.loads(self.lab.curl(f"{APP_A}/stats")))

    def tally(self) -> Tally:
        """The same; and on a machine that cannot follow, app-a calls less from now on.

        The load does not wait for answers: calls would pile up until they time out, and programs that start would get
        no time; the story would be one of overload.
        """
        asked = self.stage.now()
        counted = self.counted()
        late = self.stage.now() - asked > LATE
        if counted.run != self.run:
            self.run = counted.run
            self.lab.post(f"{APP_A}/knobs", f"load_rps={self.rate:g}")
        if self.rate > LEAST and (late or counted.under_way > self.rate * BEHIND):
            self.rate = max(LEAST, self.rate // 2)
            self.lab.post(f"{APP_A}/knobs", f"load_rps={self.rate:g}")
            self.stage.say(f"(This machine has much to do: from here on, app-a calls {self.rate:g} times a second.)")
        return counted

    def measure(self, calls: int) -> Tally:
        """Let app-a make at least `calls` calls, and say what came of them. Waits as long as there are more of them."""
        before, since = self.tally(), Tally(0, 0)
        while since.total < calls:
            look = partial(self._more, before, since.total)
            since = self.stage.until(look, f"{calls} calls by app-a", hint="tulle lab logs deploy/app-a -n demo")
            if since.anew:
                before, since = replace(since, anew=False), Tally(0, 0)
        return since

    def _more(self, before: Tally, than: int) -> Tally | None:
        since = self.tally() - before
        return since if since.anew or since.total > than else None

    def no_failures(self, tally: Tally, during: str) -> None:
        """Claim that none of the calls failed, in the client's own count."""
        self.stage.claim(
            tally.total > 0 and tally.failed == 0,
            f"{tally.total} calls {during}, 0 failed (counted by app-a itself"
            f"{', which was started anew in the meantime' if tally.anew else ''})",
            f"{tally.failed} of {tally.total} failed",
            "tulle lab logs deploy/app-a -n demo -c tulle-proxy",
        )


def is_ready(pod: dict[str, Any]) -> bool:
    """Kubernetes' own condition."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


__all__ = ["APP_A", "NAMESPACE", "SYSTEM", "NotTrue", "Scene", "is_ready"]
