"""Lesson 8: shares of three replicas: in turn, then with one of them slow, then of many short requests."""

from collections import Counter

from tulle_learn.answers import shares, told
from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See


def check(mesh: Mesh, see: See) -> None:
    """Round-robin counts exactly; for two choices the slow replica's share is what counts."""
    pods = mesh.pods("server")
    names = [pod.name for pod in pods]
    mesh.knobs(pods, latency_ms=0)
    answers = mesh.http("http://turns/", 61)
    order = [one.pod for one in answers][1:]  # the first one began the turn
    counts = Counter(order)
    see(1, "round-robin: 60 requests, one after another", f"{shares(counts, names)}; {answers.outcomes()}", "20 each",
        sorted(counts.values()) == [20, 20, 20], "One replica gets more than its turn: one has all the work."
        if len(counts) == 1 else "Somebody is left out: off by one?" if len(counts) == 2 else "Drawn, not in turn.")  # fmt: skip
    see(1, "round-robin: the order", " ".join(str(names.index(pod) + 1) for pod in order[:9]), "a turn of three, again and again",
        all(order[i] == order[i + 3] and len(set(order[i : i + 3])) == 3 for i in range(len(order) - 3)),
        "The counts are right by luck: it has to be one after the other.")  # fmt: skip

    mesh.knobs(pods[:1], latency_ms=300)
    slow = names[0]
    turns = mesh.http("http://turns/", 60, concurrency=12)
    choices = mesh.http("http://choices/", 240, concurrency=12)
    mesh.knobs(pods, latency_ms=0)
    by_turn = turns.count(lambda one: one.pod)[slow] / len(turns)
    counts = choices.count(lambda one: one.pod)
    share = counts[slow] / max(1, len(choices))
    see(2, "one replica takes 300 ms, 12 clients at once: the slow one's share",
        f"two choices {share:.0%} ({told(choices.count(lambda one: one.outcome))}), round-robin {by_turn:.0%}",
        "two choices less than 20 %", share < 0.2 and len(choices.good) == 240,
        "It prefers the busy one." if share > 0.5 else
        "As many as any other: what is under way is not counted, or never counted down, or not compared.")  # fmt: skip
    answers = mesh.http("http://choices/", 300, concurrency=2)
    alike = answers.count(lambda one: one.pod)
    fair = all(0.18 <= alike[name] / len(answers) <= 0.5 for name in names)
    see(3, "two choices, all replicas alike, 300 short requests", shares(alike, names), "18 to 50 % each", fair,
        "Taking the least busy of all, or always the first: idle replicas are all alike, and the same one gets everything."
        " With a hundred proxies, all of them run to that one.")  # fmt: skip
    see(2, "the slow one got something all the while", f"{counts[slow]} of {len(choices)}", "at least 1", counts[slow] > 0,
        "A count that never goes down again: it will never be asked again, though it may have recovered long ago.")  # fmt: skip

    mesh.knobs(pods[:1], failure_rate=1)
    mesh.http("http://choices/", 60, concurrency=4)
    mesh.knobs(pods, failure_rate=0)
    answers = mesh.http("http://choices/", 90, concurrency=2)
    after = answers.count(lambda one: one.pod)
    see(3, "one replica failed a few times, and is well again: its share of 90 requests", f"{after[slow] / len(answers):.0%}",
        "10 % or more", after[slow] >= 9, "It gets nothing any more: a failed try has ended, too, and is under way no longer.")  # fmt: skip

    mesh.scale("server", 1)
    few = mesh.http("http://choices/", 10, concurrency=2)
    also = mesh.http("http://turns/", 10)
    mesh.scale("server", 3)
    see(3, "only one replica is left: 20 requests", f"{few.outcomes()} and {also.outcomes()}", "all are 200",
        len(few.good) == 10 and len(also.good) == 10, "Endpoints leave while you count. Two cannot be drawn from one.")  # fmt: skip
