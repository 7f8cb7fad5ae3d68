"""Follows a canary: looks, decides, writes, tells; again each second. Clock and sleep are passed in.

Keeps nothing in memory between two looks: the route is read anew each time, and its annotation is all of the state.
So this can be killed at any moment, and whoever calls `follow` next goes on from there; between a kill and then, the
weights stay as they are and nobody rolls back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tulle_cli.canary import machine, route
from tulle_cli.canary.machine import Action, Decision, Seen, Verdict
from tulle_cli.canary.objects import Objects
from tulle_cli.canary.route import State
from tulle_cli.canary.weights import Move
from tulle_cli.errors import CliError

BETWEEN_LOOKS = 1.0
"""Seconds; proxies report once a second."""
REMIND = 30.0
"""Seconds after which an unchanged reason to hold is told again."""
KIND = "HTTPRoute"


@dataclass(frozen=True)
class Event:
    """Something worth a line: "step", "hold", "done", "rolled-back"."""

    what: str
    percent: int
    text: str
    seen: Seen | None = None

    def to_json(self) -> dict[str, Any]:
        """As `-o json` prints it."""
        seen = self.seen
        return {
            "event": self.what,
            "percent": self.percent,
            "text": self.text,
            "requests": seen.requests if seen else None,
            "failures": seen.failures if seen else None,
            "success": seen.success if seen else None,
            "p99": seen.p99 if seen else None,
        }


class Watcher(Protocol):
    """What callers saw of the canary (seen.py)."""

    trouble: str

    def look(self, move: Move, window: float) -> Seen | None:
        """The last `window` seconds; None for no figures, `trouble` saying why."""


class RolledBack(CliError):
    """A bar was missed, and everything is as it was."""


class Follower:
    """Follows the canary of one route until it is done or rolled back."""

    def __init__(
        self,
        objects: Objects,
        watcher: Watcher,
        tell: Callable[[Event], None],
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._objects, self._watcher, self._tell, self._now, self._sleep = objects, watcher, tell, now, sleep
        self._told: tuple[Verdict, float] = (Verdict.MET, float("-inf"))

    def follow(self, namespace: str, name: str) -> None:
        """Until it is done. Raises RolledBack, or CliError when the route cannot be read or is no longer ours.

        On an error and on Ctrl-C the weights stay as they are, and the state is in the route.
        """
        while self.look(namespace, name):
            self._sleep(BETWEEN_LOOKS)

    def look(self, namespace: str, name: str) -> bool:
        """One look, and what follows from it; whether there is more to do."""
        found, state = self._read(namespace, name)
        if state.phase == route.DONE:
            return False
        now = self._now()
        seen, decision = observe(self._watcher, state, now)
        if decision.action is Action.HOLD:
            self._holding(state, decision, seen, now)
            return True
        if decision.action is Action.ROLL_BACK:
            put_back(self._objects, found, state)
            self._tell(Event("rolled-back", state.percent, f"rolled back: {decision.why}", seen))
            raise RolledBack(
                f"the canary {state.move.to} of {state.move.service} was rolled back at {state.percent}%",
                f"{decision.why}\n{_as_it_was(state)}",
                f"tulle stat svc/{state.move.service} -n {namespace} --backends, and the logs of {state.move.to}",
            )
        if decision.action is Action.FINISH:
            self._objects.apply(route.written(found, replace(state, phase=route.DONE)))
            text = f"done: {state.percent}% of {state.move.service}'s requests go to {state.move.to}"
            self._tell(Event("done", state.percent, f"{text} ({decision.why})", seen))
            return False
        following = state.at(state.progress.step + 1, self._now())
        self._objects.apply(route.written(found, following))
        self._tell(Event("step", following.percent, f"{announced(following)} (at {state.percent}%: {seen})", seen))
        self._told = (Verdict.MET, float("-inf"))
        return True

    def _read(self, namespace: str, name: str) -> tuple[Mapping[str, Any], State]:
        found = self._objects.get(KIND, namespace, name)
        state = route.read(found) if found else None
        if found is None or state is None:
            gone = "it was deleted" if found is None else f"its annotation {route.ANNOTATION} is gone"
            raise CliError(
                f"HTTPRoute {namespace}/{name} carries no canary any more",
                f"{gone}: it was aborted, or somebody wrote the route anew; nothing was changed now",
                f"tulle lab get httproute {name} -n {namespace} -o yaml",
            )
        if not route.is_untouched(found, state):
            raise touched(found, state)
        return found, state

    def _holding(self, state: State, decision: Decision, seen: Seen | None, now: float) -> None:
        """Say why time passes, where it is not the plan that wants it so."""
        young = now - state.progress.since < max(state.plan.every, machine.SETTLE + 1)
        if decision.verdict is Verdict.MET or (young and not self._watcher.trouble):
            return
        verdict, at = self._told
        if decision.verdict is not verdict or now - at >= REMIND:
            self._told = (decision.verdict, now)
            why = self._watcher.trouble or decision.why
            self._tell(Event("hold", state.percent, f"holding: {why}", seen))


def observe(watcher: Watcher, state: State, now: float) -> tuple[Seen | None, Decision]:
    """What callers saw at this step so far, and what follows."""
    window = machine.window(state.progress, now)
    seen = watcher.look(state.move, window) if window is not None else None
    return seen, machine.decide(state.plan, state.progress, seen, now)


def announced(state: State) -> str:
    """ "step 2 of 4, for 30s at least"."""
    return f"step {state.progress.step + 1} of {len(state.plan.steps)}, for {state.plan.every:g}s at least"


def put_back(objects: Objects, found: Mapping[str, Any], state: State) -> None:
    """The route as it was before the canary: restored, or deleted where the canary had made it."""
    before = route.restored(found, state)
    if before is None:
        objects.delete(KIND, found["metadata"]["namespace"], found["metadata"]["name"])
    else:
        objects.apply(before)


def touched(found: Mapping[str, Any], state: State) -> CliError:
    """The error for weights that are not the canary's."""
    name = f"{found['metadata']['namespace']}/{found['metadata']['name']}"
    return CliError(
        f"somebody else has changed the weights of HTTPRoute {name}",
        f"they are not those of the canary's step ({state.percent}%), so it is not for the canary to change them; "
        "nothing was changed now",
        f"set the weights as they should be, and take the annotation {route.ANNOTATION} off; then begin anew",
    )


def _as_it_was(state: State) -> str:
    return "the route that the canary had made is gone" if state.made else "the route is as it was before"
