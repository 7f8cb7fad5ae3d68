"""Lesson 14: settings change while requests come; pods are replaced while requests come; nothing is lost."""

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from tulle_learn.answers import Answers, told
from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See

ASK = Path(__file__).parent / "programs" / "ask.py"


def settings(mesh: Mesh, text: str) -> None:
    """Change the ConfigMap; the kubelet writes it into the running pods a moment later."""
    mesh.config_map("settings", {"settings.json": text})


def greetings(answers: Answers) -> Counter[str]:
    """What was said."""
    return answers.count(lambda one: str(one.json.get("greeting", one.outcome)))


def ask(mesh: Mesh, wanted: str, seconds: float) -> Answers:
    """Eight requests to both pods, until all say `wanted`; or the last ones."""
    last = Answers(())

    def look() -> Answers | None:
        nonlocal last
        last = mesh.http("http://server/", 8, concurrency=4)
        return last if greetings(last) == {wanted: 8} else None

    return mesh.until(look, seconds) or last


def keep_asking(mesh: Mesh, over: threading.Event, found: list[Answers]) -> None:
    """Requests without a pause, until it is over; at most a minute."""
    for _ in range(40):
        found.append(mesh.http("http://server/", 24, concurrency=6, spread=1.5, timeout=15))
        if over.is_set():
            return


def an_end(see: See, lines: list[dict[str, Any]]) -> None:
    """What somebody saw who asked one pod, past all proxies, before, during and after its SIGTERM."""
    ready = sorted((one for one in lines if one["path"] == "/ready"), key=lambda one: one["at"])
    pages = sorted((one for one in lines if one["path"] == "/"), key=lambda one: one["at"])
    told_so = next((one["at"] for one in ready if one["said"] == "503"), None)
    last = max((one["at"] for one in ready if one["said"] in ("200", "503")), default=0.0)
    see(2, "SIGTERM came to one pod: what its /ready said until it took no more connections",
        "503, draining" if told_so is not None else "200, ready, to the last", "503, draining", told_so is not None,
        "Nobody was told before the door was shut: there was no lame duck, or it did not say that it is one (draining).")  # fmt: skip
    assert told_so is not None
    duck = last - told_so
    see(2, "how long it took new connections after that", f"{duck:.1f} s", "about a second (LAME_DUCK), and not for ever",
        0.5 <= duck < 4.0, "Those who have not heard yet that it leaves are refused: no lame duck." if duck < 0.5 else
        "It never stops taking new work, so the end never comes: it is cut off when DRAIN is over.")  # fmt: skip
    during = [one for one in pages if told_so + 0.1 < one["at"] < last - 0.1 and one["said"] == "200"]
    closes = sum(one["close"] for one in during)
    see(2, "answers of that second that said `connection: close`", f"{closes} of {len(during)}", "all", closes == len(during),
        "Clients keep these connections, and send the next request into a closed one.")  # fmt: skip
    cut = sum(one["said"] == "cut off" for one in pages)
    see(2, "requests that it had taken and that were cut off", cut, 0, cut == 0,
        "They were under way when the program ended: shutdown() did not wait for them.")  # fmt: skip


def check(mesh: Mesh, see: See) -> None:
    """First the settings, then the end."""
    settings(mesh, '{"greeting": "hello"}')
    ask(mesh, "hello", 4)
    settings(mesh, '{"greeting": "good morning"}')
    answers = ask(mesh, "good morning", 6)
    see(1, "the greeting is changed to 'good morning': what 8 requests got", told(greetings(answers)), "8 x good morning",
        greetings(answers) == {"good morning": 8}, "The new settings are not used before the next restart."
        if not answers.bad else "Some were answered with a failure.")  # fmt: skip
    for what, text in (("is cut in the middle", '{"greeting": "go'), ("has no greeting", '{"greetnig": "x"}'),
                       ("has a number as greeting", '{"greeting": 7}'), ("is a list", "[]")):  # fmt: skip
        settings(mesh, text)
        seen: Counter[str] = Counter()
        mesh.until(lambda: seen.update(greetings(mesh.http("http://server/", 8, concurrency=8))), 0.8)  # noqa: B023
        see(1, f"the file {what}: what requests got", told(seen), "good morning, as before", set(seen) == {"good morning"},
            "A slip in a file takes the service down, or is shown to users: what is bad is refused whole.")  # fmt: skip
    settings(mesh, '{"greeting": "good evening"}')
    answers = ask(mesh, "good evening", 6)
    see(1, "and is good again: what 8 requests got", told(greetings(answers)), "8 x good evening",
        greetings(answers) == {"good evening": 8}, "After one bad file no good one is read any more.")  # fmt: skip
    said = mesh.logs("deploy/server", "app")
    see(1, "lines about bad files in a pod's log", said.count("\n"), "1 for each, not for each request",
        1 <= said.count("\n") <= 12, "Nobody learns what is wrong with the file." if not said else
        "The log is full of the same line: that, too, has taken services down.")  # fmt: skip

    before = {pod.name for pod in mesh.pods("server")}
    victim = sorted(before)[0]
    inside: list[str] = []
    watch = threading.Thread(target=lambda: inside.append(mesh.run(victim, ASK, container="app", seconds=45).out))
    found: list[Answers] = []
    over = threading.Event()
    load = [threading.Thread(target=keep_asking, args=(mesh, over, found)) for _ in range(2)]
    for thread in (watch, *load):
        thread.start()
    try:
        mesh.rollout("server")
    finally:
        watch.join(25)
        over.set()
        for thread in load:
            thread.join()
    an_end(see, [json.loads(line) for line in "".join(inside).splitlines() if line.startswith("{")])
    answers = Answers(tuple(one for part in found for one in part))
    see(2, f"both pods are replaced, one after another, while {len(answers)} requests come: what they got", answers.outcomes(),
        f"{len(answers)} x 200", not answers.bad, "Each of these was a user who got an error because of an update. "
        "Requests under way were cut off, or new ones came when nobody listened any more.")  # fmt: skip
    by = answers.count(lambda one: "an old pod" if one.pod in before else "a new pod")
    see(2, "who answered", told(by), "old pods and new ones", len(by) == 2, "The new pods came when nobody asked any more: the old ones took too long to go.")

    def gone() -> bool | None:
        items = mesh.client.ask("get", {"kind": "pods", "namespace": "demo"})["groups"][0]["items"]
        return None if any(item["metadata"]["name"] in before for item in items) else True

    see(3, "the old pods end by themselves, long before they would be killed (30 s)",
        "gone" if mesh.until(gone, 8.0) else "still there 8 s after the rollout", "gone", mesh.until(gone, 0.1) is True,
        "shutdown() waits for something that never happens: an idle connection, perhaps. Each update takes half a minute.")  # fmt: skip
