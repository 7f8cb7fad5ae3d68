"""Lesson 14: settings change while requests come; pods are replaced while requests come; nothing is lost."""

import threading
from collections import Counter

from tulle_learn.answers import Answers, told
from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See


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
    found: list[Answers] = []
    load = threading.Thread(target=lambda: found.append(mesh.http("http://server/", 200, concurrency=8, spread=8.0, timeout=8)))
    load.start()
    mesh.rollout("server")
    load.join()
    answers = found[0]
    see(2, "both pods are replaced, one after another, while 200 requests come: what they got", answers.outcomes(), "200 x 200",
        len(answers.good) == 200, "Each of these was a user who got an error because of an update. "
        "Requests under way were cut off, or new ones came when nobody listened any more.")  # fmt: skip
    by = answers.count(lambda one: "an old pod" if one.pod in before else "a new pod")
    see(2, "who answered", told(by), "old pods and new ones", len(by) == 2, "There was no overlap to look at.")

    def gone() -> bool | None:
        items = mesh.client.ask("get", {"kind": "pods", "namespace": "demo"})["groups"][0]["items"]
        return None if any(item["metadata"]["name"] in before for item in items) else True

    see(3, "the old pods end by themselves, long before they would be killed (30 s)",
        "gone" if mesh.until(gone, 8.0) else "still there 8 s after the rollout", "gone", mesh.until(gone, 0.1) is True,
        "shutdown() waits for something that never happens: an idle connection, perhaps. Each update takes half a minute.")  # fmt: skip
