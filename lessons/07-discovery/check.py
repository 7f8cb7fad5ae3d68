"""Lesson 7: the registry says who serves, and live traffic shows who does: at first, after a change, while it is dead."""

from collections import Counter

from tulle_learn.answers import Answers, shares
from tulle_learn.mesh import Mesh, Pod
from tulle_learn.verdict import See

TELL = "import socket, sys; s = socket.create_connection(('127.0.0.1', 7101)); s.sendall((sys.argv[1] + '\\n').encode()); s.recv(9)"


def tell(mesh: Mesh, words: str) -> None:
    """Tell the registry something."""
    mesh.run("deploy/registry", mesh.python, "-c", TELL, words, namespace="tulle-system")


def register(mesh: Mesh, pods: list[Pod]) -> None:
    """From now on these serve."""
    tell(mesh, "set server " + " ".join(f"{pod.ip}:8080" for pod in pods))


def call(mesh: Mesh, count: int = 30) -> Answers:
    """Requests of the client's."""
    return mesh.http("http://server/", count, timeout=2)


def by_pod(answers: Answers) -> Counter[str]:
    """Who answered."""
    return answers.good.count(lambda one: one.pod)


def settle(mesh: Mesh, pods: list[Pod], seconds: float = 6.0) -> Answers:
    """Call until these pods, and only these, answer; or the last answers after some seconds."""
    last = Answers(())

    def look() -> Answers | None:
        nonlocal last
        last = call(mesh)
        return last if set(by_pod(last)) == {pod.name for pod in pods} and not last.bad else None

    return mesh.until(look, seconds) or last


def told(answers: Answers) -> str:
    """In words."""
    served = by_pod(answers)
    return (shares(served) if served else "nobody answers") + (f"; {answers.bad.outcomes()}" if answers.bad else "")


def doubted(mesh: Mesh) -> int:
    """How often the client's proxy was told that nobody serves something, and did not believe it. It doubts so for 10 s
    after a control plane has begun anew (a save does that): what a check would see of it comes after the check."""
    return mesh.logs("deploy/client", "tulle-proxy").count("says that nobody serves this")


def check(mesh: Mesh, see: See) -> None:
    """Two instances; a third comes; the registry dies; one goes while it is dead."""
    pods = mesh.pods("server")
    names = [pod.name for pod in pods]
    tell(mesh, "live")
    register(mesh, pods[:2])
    found = settle(mesh, pods[:2])
    see(1, "the registry has two instances: who answers 30 calls", told(found), f"{names[0]} and {names[1]}",
        set(by_pod(found)) == set(names[:2]) and not found.bad, "The control plane was told of no instance, or not of these:"
        " to the proxies this Service is empty. Is Synced yielded, and after the list?")  # fmt: skip

    register(mesh, pods)
    found = settle(mesh, pods)
    see(2, "a third one comes: who answers", told(found), "all three", set(by_pod(found)) == set(names),
        "The change was read and not told, or not read: a Deployment that was scaled up gets no traffic.")  # fmt: skip
    register(mesh, pods[1:])
    found = settle(mesh, pods[1:])
    see(2, "the first one goes: who answers", told(found), f"{names[1]} and {names[2]}", set(by_pod(found)) == set(names[1:]),
        "Requests go to an instance that is not there any more.")  # fmt: skip

    doubts = doubted(mesh)
    tell(mesh, "die")
    parts: list[Answers] = []
    mesh.until(lambda: parts.append(call(mesh, 20)), 1.5)  # longer than RETRY, and than news takes to a proxy
    found = Answers(tuple(one for part in parts for one in part))
    register(mesh, pods[:1])
    tell(mesh, "live")  # before the verdict: a control plane that is begun anew needs it to get ready
    doubts = doubted(mesh) - doubts
    but = "; the proxy was told that nobody does, and has not believed it yet: the control plane is new" if doubts else ""
    see(3, f"the registry is dead for a while: who answers {len(found)} calls", told(found) + but, f"{names[1]} and {names[2]}, as before",
        set(by_pod(found)) == set(names[1:]) and not found.bad and not doubts,
        "The registry's death took the Service with it. What was told stays true until somebody says otherwise.")  # fmt: skip
    seen: Counter[str] = Counter()
    bad: list[str] = []

    def look() -> bool | None:
        answers = call(mesh, 10)
        seen.update(by_pod(answers))
        bad.extend(one.outcome for one in answers.bad)
        return True if set(by_pod(answers)) == {names[0]} else None

    changed = mesh.until(look, 8.0)
    see(3, "it comes back with another list: who answers in the end", told(call(mesh)), names[0], changed is True,
        "The connection was not made again, or what went meanwhile was not noticed: the list is new, and complete.")  # fmt: skip
    see(3, "calls that failed while it came back", f"{len(bad)} ({', '.join(bad[:2])})" if bad else 0, 0, not bad,
        "A half list was told: before the dot, nobody knows what is missing.")  # fmt: skip

    register(mesh, pods)
    settle(mesh, pods)
    tell(mesh, "die")
    tell(mesh, "live")
    wrong: set[str] = set()

    def flicker() -> bool | None:
        wrong.update(set(names) - set(by_pod(call(mesh, 12))))
        return None

    mesh.until(flicker, 1.5)
    see(3, "it dies and comes back with the same list: instances that got nothing meanwhile", sorted(wrong) or "none", "none",
        not wrong, "While the registry was away, or its list was read again, instances vanished from the mesh: an empty or half list was told.")  # fmt: skip
