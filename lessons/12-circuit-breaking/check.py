"""Lesson 12: how many requests an ill replica gets, how often it is tried again, and who is not ill at all."""

import time
from collections import Counter

from tulle_learn.answers import shares
from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See


def check(mesh: Mesh, see: See) -> None:
    """One replica fails; it goes on failing; all fail now and then; it recovers."""
    pods = mesh.pods("server")
    names = [pod.name for pod in pods]
    mesh.knobs(pods, failure_rate=0)

    def recovered() -> Counter[str] | None:
        counts = mesh.http("http://server/", 30).good.count(lambda one: one.pod)
        return counts if all(counts[name] == 10 for name in names) else None

    mesh.until(recovered, 12)  # an earlier run may have left somebody out

    urls = ["http://server/", "http://server/?failure_rate=1"] * 30
    mesh.http(urls, concurrency=1)
    counts = mesh.http("http://server/", 30).count(lambda one: one.pod)
    see(2, "every second request fails, whoever gets it; then 30 good ones: shares", shares(counts, names),
        "a third each: nobody is ill", all(counts[name] == 10 for name in names),
        "Failures were counted that were not in a row: a bad request (a user's mistake, say) ejects a replica that is well.")  # fmt: skip

    mesh.knobs(pods[:1], failure_rate=1)
    answers = mesh.http("http://server/", 60)
    bad = len(answers.bad)
    see(1, "one replica of three fails: how many of 60 requests failed", bad, "5 to 9", bad <= 9,
        "Every third request fails, as long as the replica is ill: it still gets its share." if bad >= 18 else
        "It is left alone, and when its time is over it gets five more each time: on probation one failure is enough.")  # fmt: skip
    see(1, "not after the first one", bad, "at least 5", bad >= 5, "One failure is not an illness: config.failures says how many are.")
    ill = [one for one in answers if not 200 <= one.status < 400]
    again = ill[5].began - ill[4].began if bad > 5 else 0.5
    see(1, "after the fifth failure in a row, how long until it was asked again", f"{again:.2f} s" if bad > 5 else "not among these",
        "0.5 s or more (config.ejection)", again >= 0.4, "It got a sixth: off by one? config.failures failures are enough.")  # fmt: skip
    others = answers.good.count(lambda one: one.pod)
    see(1, "and who answered the rest", shares(others, names[1:]), "the two others", set(others) == set(names[1:]),
        "A replica that is well was left out.")  # fmt: skip

    answers = mesh.http("http://server/", 140, spread=7.0)
    bad = len(answers.bad)
    see(2, "it goes on failing for 7 s more: how many of 140 requests failed", bad, "1 to 5", bad <= 5,
        "Each time it came back it got five more, or was tried again after the same short while: on probation one failure "
        "is enough, and the time has to double."
        if bad < 30 else "It came back and stayed.")  # fmt: skip
    see(2, "it was tried at all", bad, "at least 1", bad >= 1, "It is left alone for longer than max_ejection: for ever?")

    mesh.knobs(pods, failure_rate=0)
    counts = mesh.until(recovered, 10)
    now = counts or mesh.http("http://server/", 30).count(lambda one: one.pod)
    see(3, "it is well again: shares of 30 requests, within 10 s", shares(now, names), "a third each", counts is not None,
        "A replica that recovered gets no traffic: the others carry its load, until they are ill as well.")  # fmt: skip
    mesh.knobs(pods[:1], failure_rate=1)
    bad = len(mesh.http("http://server/", 45).bad)
    mesh.knobs(pods, failure_rate=0)
    see(3, "and falls ill again: how many of 45 requests failed", bad, "5 to 9", 5 <= bad <= 9,
        "Its past was not forgotten: a single failure long after ejects it." if bad < 5 else "It is not left alone any more.")  # fmt: skip
    began = time.monotonic()
    counts = mesh.until(recovered, 8)
    away = time.monotonic() - began
    see(3, "and is well again at once: how long it is left alone", f"{away:.1f} s" if counts else "8 s and more", "less than 3 s",
        counts is not None and away < 3.0, "Its past was not forgotten: it is left alone for as long as at the end of its last illness.")
