"""Lesson 11: tries, as the servers count them, against requests, as the client makes them."""

from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See


def check(mesh: Mesh, see: See) -> None:
    """One broken replica, what must not be repeated, one that hangs, all broken."""
    pods = mesh.pods("server")
    mesh.knobs(pods, failure_rate=0, latency_ms=0)
    mesh.http("http://server/", 60, concurrency=4)  # a good time: whatever budget there is, it is full now

    mesh.knobs(pods[:1], failure_rate=1)
    mesh.forget(pods)
    answers = mesh.http("http://server/", 18, concurrency=2)
    tries = mesh.served(pods)
    see(1, "one replica of three is broken, 18 GETs: what the client got", answers.outcomes(), "18 x 200", not answers.bad,
        "These requests failed though a well replica was there.")  # fmt: skip
    see(1, "tries that the servers counted for them", tries, "19 to 32", 18 < tries <= 32, "Good answers are asked for again.")

    mesh.knobs(pods, failure_rate=1, failure_status=404)
    mesh.forget(pods)
    answers = mesh.http("http://server/", 10)
    tries = mesh.served(pods)
    mesh.knobs(pods, failure_rate=0, failure_status=503)
    see(1, "10 GETs that every replica answers with 404: tries", f"{tries} ({answers.outcomes()})", 10, tries == 10,
        "404 is an answer, and the next replica gives the same: only 500 and more may be another replica's luck.")  # fmt: skip

    mesh.knobs(pods[:1], failure_rate=1)
    mesh.forget(pods)
    answers = mesh.http("http://server/", 24, concurrency=2, method="POST", body="pay 10")
    tries = mesh.served(pods)
    see(1, "24 POSTs: tries that the servers counted", f"{tries} ({answers.outcomes()})", 24, tries == 24,
        "A payment was made twice: nobody may repeat a POST without being told that it is safe.")  # fmt: skip

    mesh.knobs(pods, failure_rate=0)
    mesh.http("http://server/", 60, concurrency=4)
    mesh.knobs(pods[:1], latency_ms=3000)
    answers = mesh.http("http://server/", 15, concurrency=1, timeout=9)
    mesh.knobs(pods, latency_ms=0)
    see(2, "one replica takes 3 s, a try may take 400 ms: the slowest of 15 GETs",
        f"{answers.slowest():.2f} s, {answers.outcomes()}", "less than 2.5 s, all 200",
        answers.slowest() < 2.5 and not answers.bad,
        "The try was waited for: one slow replica makes every third request slow." if not answers.bad else
        "The time ran out and nobody else was asked.")  # fmt: skip

    mesh.http("http://server/", 60, concurrency=4)
    mesh.knobs(pods, failure_rate=1)
    mesh.forget(pods)
    answers = mesh.http("http://server/", 200, concurrency=4)
    tries = mesh.served(pods)
    mesh.knobs(pods, failure_rate=0)
    see(3, "all replicas are broken, 200 GETs: tries that the servers counted", f"{tries} ({tries / 200:.0%} of the requests)",
        "at most 260: 20 % more, and the 10 tokens that were saved", tries <= 260,
        "This is the storm: a service that is down gets three times its load, exactly when it can bear it least."
        if tries > 500 else "The budget lets too many through: what comes in has to be a share of a token, and bounded.")  # fmt: skip
    see(3, "and some were tried again all the same", tries, "at least 220", tries >= 220,
        "The budget is empty for good: it is never filled, or a retry that was refused takes a token as well."
        " After a short outage nothing is retried any more, though it would help.")  # fmt: skip
    see(3, "what the client got", answers.outcomes(), "200 x 503, the servers' own", answers.count(lambda one: str(one.status))["503"] == 200,
        "When there is no more to be tried, the client gets what the last try gave.")  # fmt: skip

    mesh.knobs(pods[:1], failure_rate=1)
    mesh.http("http://server/", 120, concurrency=4)  # mostly well again: the budget fills up
    mesh.knobs(pods, failure_rate=0)
    answers = mesh.http("http://server/", 30, concurrency=2)
    see(3, "the servers are well again: 30 GETs", answers.outcomes(), "30 x 200", not answers.bad, "It never came back.")
