"""Follows a canary: looks, decides, writes, tells; again each second. Clock and sleep are passed in.

Keeps no state of the canary in memory between two looks: the route is read anew each time, and its annotation is all
of it. So this can be killed at any moment, and whoever calls `follow` next goes on from there; between a kill and then,
the weights stay as they are and nobody rolls back. What is remembered is only for telling: what was read last, and a
write whose answer was lost (an API server that went away), which the next look finds done, or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tulle_cli.canary import machine, route
from tulle_cli.canary.machine import Action, Decision, Seen, Verdict
from tulle_cli.canary.objects import Away, Objects, Refused, Unsettled, anew
from tulle_cli.canary.route import State
from tulle_cli.canary.weights import Move
from tulle_cli.errors import CliError

BETWEEN_LOOKS = 1.0
"""Seconds; proxies report once a second."""
REMIND = 30.0
"""Seconds after which an unchanged reason to hold is told again."""
PATIENCE = 120.0
"""Seconds for which an API server that does not answer is asked again."""
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


@dataclass(frozen=True)
class Write:
    """A change of the route. `after`: the state that it then carries, None for none; `event`: what is then told."""

    event: Event
    after: State | None
    error: RolledBack | None = None


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
        self._last: State | None = None
        self._unanswered: Write | None = None
        self._away_since: float | None = None

    def follow(self, namespace: str, name: str) -> None:
        """Until it is done. Raises RolledBack, or CliError when the route cannot be read or is no longer ours.

        On an error and on Ctrl-C the weights stay as they are, and the state is in the route.
        """
        while self._looked(namespace, name):
            self._sleep(BETWEEN_LOOKS)

    def _looked(self, namespace: str, name: str) -> bool:
        """A look, again where somebody else was quicker; whether there is more to do, as while nobody answers."""
        try:
            more = anew(lambda: self.look(namespace, name))
        except Unsettled as error:
            self._wait_for_answer(error, name)
            return True
        except Refused as error:
            raise CliError(error.what, f"{error.why}\n{self._left(name)}", error.next) from error
        self._away_since = None
        return more

    def look(self, namespace: str, name: str) -> bool:
        """One look, and what follows from it; whether there is more to do."""
        found = self._objects.get(KIND, namespace, name)
        state = route.read(found) if found else None
        if self._unanswered is not None and state == self._unanswered.after:
            return self._written(self._unanswered)
        self._unanswered = None
        if found is None or state is None:
            raise self._gone(namespace, name, deleted=found is None)
        self._last = state
        if not route.is_untouched(found, state):
            raise touched(found, state)
        if state.phase == route.DONE:
            return False
        now = self._now()
        seen, decision = observe(self._watcher, state, now)
        if decision.action is Action.HOLD:
            self._holding(state, decision, seen, now)
            return True
        if decision.action is Action.ROLL_BACK:
            return self._roll_back(found, state, decision, seen)
        if decision.action is Action.FINISH:
            after = replace(state, phase=route.DONE)
            text = f"done: {state.percent}% of {state.move.service}'s requests go to {state.move.to} ({decision.why})"
            event = Event("done", state.percent, text, seen)
        else:
            after = state.at(state.progress.step + 1, self._now())
            event = Event("step", after.percent, f"{announced(after)} (at {state.percent}%: {seen})", seen)
        return self._write(Write(event, after), lambda: self._objects.apply(route.written(found, after)))

    def _roll_back(self, found: Mapping[str, Any], state: State, decision: Decision, seen: Seen | None) -> bool:
        move = state.move
        error = RolledBack(
            f"the canary {move.to} of {move.service} was rolled back at {state.percent}%",
            f"{decision.why}\n{_as_it_was(state)}",
            f"tulle stat svc/{move.service} -n {move.namespace} --backends{self._objects.options}, "
            f"and the logs of {move.to}",
        )
        event = Event("rolled-back", state.percent, f"rolled back: {decision.why}", seen)
        return self._write(Write(event, None, error), lambda: put_back(self._objects, found, state))

    def _write(self, write: Write, act: Callable[[], None]) -> bool:
        try:
            act()
        except Away:
            self._unanswered = write
            raise
        return self._written(write)

    def _written(self, write: Write) -> bool:
        """Tell what holds now; whether there is more to do. Raises RolledBack."""
        self._unanswered, self._told = None, (Verdict.MET, float("-inf"))
        self._tell(write.event)
        if write.error is not None:
            raise write.error
        return write.after is not None and write.after.phase != route.DONE

    def _wait_for_answer(self, error: Unsettled, name: str) -> None:
        """Say that nobody answers, once; after PATIENCE raise CliError with the state in which the route was left."""
        now = self._now()
        if self._away_since is None:
            self._away_since = now
            percent = self._last.percent if self._last else 0
            again = f"trying again for {PATIENCE:g}s"
            self._tell(Event("hold", percent, f"holding, {again}: {error.what}: {error.why}"))
        elif now - self._away_since >= PATIENCE:
            raise CliError(
                error.what,
                f"{error.why}\nfor {PATIENCE:g}s it was tried again\n{self._left(name)}",
                f"{error.next}; the same command then goes on, and --abort rolls back",
            ) from error

    def _left(self, name: str) -> str:
        """In which state the route is, as far as is known."""
        if self._last is None:
            return f"how far HTTPRoute {name} had come was not seen"
        where = f"step {self._last.progress.step + 1} of {len(self._last.plan.steps)}"
        text = f"HTTPRoute {name} is left at {self._last.percent}% ({where}), and nobody watches it now"
        if self._unanswered is None:
            return text
        what = "a rollback" if self._unanswered.after is None else f"{self._unanswered.event.percent}%"
        return f"{text}; the last that was asked for was {what}, and whether that was done is not known"

    def _gone(self, namespace: str, name: str, *, deleted: bool) -> CliError:
        gone = "it was deleted" if deleted else f"its annotation {route.ANNOTATION} is gone"
        return CliError(
            f"HTTPRoute {namespace}/{name} carries no canary any more",
            f"{gone}: it was aborted, or somebody wrote the route anew; nothing was changed now",
            f"{self._objects.get_command} httproute {name} -n {namespace} -o yaml",
        )

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
        objects.delete(found)
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
