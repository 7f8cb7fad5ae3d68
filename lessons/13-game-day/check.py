"""Lesson 13: the fault and whom it spares, the copies and what they cost, the limit and whom it does not touch."""

from collections import Counter

from tulle_learn.answers import told
from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See

RATE, BURST = 10.0, 5.0


def check(mesh: Mesh, see: See) -> None:
    """A tenant of its own for each part, so that they do not take one another's tokens."""
    server, following = mesh.pods("server"), mesh.pods("next")

    def met() -> bool | None:
        chaos = {"x-chaos": "on", "x-tenant": "first-$N"}
        return True if mesh.http("http://server/", 1, headers=chaos).bad else None

    mesh.until(met, 3.0)  # the plan was applied a moment ago: until proxies have it
    mesh.http("http://server/", 1, headers={"x-tenant": "saver"})  # and then nothing for some seconds
    chaos = mesh.http("http://server/", 18, concurrency=6, headers={"x-chaos": "on", "x-tenant": "chaos-$N"})
    limited = any(one.status == 429 for one in chaos)
    see(3 if limited else 1, "18 requests with `x-chaos: on`, each of another tenant", chaos.outcomes() + ("" if chaos.bad else ": nobody met it"), "18 x 503 fault",
        chaos.count(lambda one: one.outcome) == {"503 fault": 18},
        "They take one another's tokens: each tenant needs a bucket of its own." if limited else "The experiment does not take place."
        if not chaos.bad else "Only a share of them fails, or with another status.")  # fmt: skip
    quickest = min(one.seconds for one in chaos)
    see(1, "the quickest of them", f"{quickest * 1000:.0f} ms", "at least 300 ms", quickest >= 0.29, "They were not held back.")
    spared = mesh.http("http://server/", 6, concurrency=3, headers={"x-tenant": "spared-$N"})
    limited = any(one.status == 429 for one in spared)
    see(3 if limited else 1, "six requests without that header, of six other tenants", spared.outcomes(), "6 x 200",
        not spared.bad, "They take one another's tokens: each tenant needs a bucket of its own." if limited else
        "A game day that harms people who did not agree to it is an outage.")  # fmt: skip
    other = mesh.http("http://server/", 3, headers={"x-chaos": "off", "x-tenant": "off-$N"})
    see(1, "three with `x-chaos: off`", other.outcomes(), "3 x 200", not other.bad, "Any value of the header counts.")

    mesh.forget(server + following)
    answers = mesh.http("http://server/", 20, concurrency=2, headers={"x-tenant": "mirror-$N"})
    copies = mesh.until(lambda: n if (n := mesh.served(following)) >= 20 else None, 3.0) or mesh.served(following)
    own = mesh.served(server)
    see(2, "20 requests to `server`: copies that `next` got", copies, 20, copies == 20,
        "The successor sees no real traffic before everybody depends on it." if copies < 20 else "Copied more than once.")  # fmt: skip
    by = answers.count(lambda one: str(one.json.get("app", one.outcome)))
    see(2, "who answered the client, and what `server` got", f"{told(by)}; {own}", "20 x server; 20", by == Counter(server=20) and own == 20,
        "A copy's answer is thrown away: the client must not notice that there is one.")  # fmt: skip

    flood = mesh.http("http://server/", 120, concurrency=3, headers={"x-tenant": "flood"}, spread=3.0)
    begin, end = min(one.began for one in flood), max(one.began + one.seconds for one in flood)
    most, good = BURST + RATE * (end - begin), len(flood.good)
    see(3, f"one tenant sends 120 requests in {end - begin:.1f} s: how many were let through", f"{good} ({flood.outcomes()})",
        f"{most * 0.75:.0f} to {most + 1:.0f}: {BURST:.0f} at once and {RATE:.0f} a second", good <= most + 1,
        "There is no limit." if good == 120 else "Tokens come too fast, or the bucket holds more than `burst`.")  # fmt: skip
    see(3, "and not less than that", good, f"at least {most * 0.75:.0f}", good >= most * 0.75,
        "Tokens are lost: the bucket is never filled again, or a refused request takes one (it must not), or time is not in seconds.")  # fmt: skip
    refused = next(iter(flood.bad), None)
    after = refused.headers.get("retry-after", "") if refused else ""
    see(3, "what a refused request was told", f"{refused.outcome if refused else ''}, retry-after: {after or 'nothing'}",
        "429 my-limit, retry-after: 1", refused is not None and refused.outcome == "429 my-limit" and after == "1",
        "Who is refused without a word when to come back comes back at once.")  # fmt: skip
    saver = mesh.http("http://server/", 30, concurrency=3, headers={"x-tenant": "saver"})
    most = BURST + RATE * (max(one.began + one.seconds for one in saver) - min(one.began for one in saver))
    see(3, "a tenant that was silent for some seconds sends 30 at once: let through", len(saver.good), f"at most {most + 1:.0f}",
        len(saver.good) <= most + 1, "The bucket saves without a bound: after a quiet night one tenant may send a flood. burst is the most.")
    other = mesh.http("http://server/", 5, headers={"x-tenant": "quiet"})
    see(3, "another tenant, right after the flood: five requests", other.outcomes(), "5 x 200", not other.bad,
        "One noisy tenant locks the others out: each needs a bucket of its own.")  # fmt: skip
