"""Lesson 10: who got which version: strangers by weight, testers by header, and callers of version 2 itself."""

from tulle_learn.answers import Answers, shares
from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See


def versions(answers: Answers) -> str:
    """Shares of versions, and what failed."""
    found = shares(answers.good.count(lambda one: str(one.json.get("version"))), ["v1", "v2"])
    return found + (f"; {answers.bad.outcomes()}" if answers.bad else "")


def share(answers: Answers) -> float:
    """Of version 2."""
    return sum(one.json.get("version") == "v2" for one in answers) / max(1, len(answers))


def check(mesh: Mesh, see: See) -> None:
    """The route was applied a moment ago: until proxies have it, the first look is repeated."""
    mesh.until(lambda: True if share(mesh.http("http://server/", 60, concurrency=4)) > 0 else None, 3.0)
    answers = mesh.http("http://server/", 300, concurrency=4)
    part = share(answers)
    see(1, "300 requests of strangers: which version they got", versions(answers) + ("" if part else ": version 2 has no traffic"),
        "v2 between 3 and 20 %", 0.03 <= part <= 0.2 and not answers.bad,
        "They got no version at all: users without the header need a rule, too, whose backends exist (tulle-reason says more)."
        if answers.bad else "Nobody tries version 2: its faults are found on the day when everybody gets it." if not part else
        "Far more people than planned are in the experiment.")  # fmt: skip
    mesh.until(lambda: True if share(mesh.http("http://server/", 12, headers={"x-version": "v2"})) == 1 else None, 2.0)
    testers = mesh.http("http://server/", 40, concurrency=4, headers={"x-version": "v2"})
    see(2, "40 requests with `x-version: v2`", versions(testers), "v2 100 %", share(testers) == 1.0,
        "Testers get what everybody gets: a failure that one of them saw cannot be looked for.")  # fmt: skip
    others = mesh.http("http://server/", 60, concurrency=4, headers={"x-version": "v1"})
    see(2, "60 requests with `x-version: v1`", versions(others), "as strangers: v2 at most 30 %", share(others) <= 0.3,
        "Any value of the header counts, or the rule has no condition.")  # fmt: skip
    direct = mesh.http("http://server-v2/", 20)
    see(3, "20 requests to http://server-v2/ itself", versions(direct), "v2 100 %", share(direct) == 1.0,
        "The route belongs to callers of `server`; those who name version 2 have not asked for it.")  # fmt: skip
    outside = mesh.http("http://server.demo/", 60, source="node")
    see(3, "60 requests from outside of the mesh", versions(outside), "v1 100 %", share(outside) == 0,
        "Routes are kept by clients' proxies: who has none goes where the Service leads.")  # fmt: skip
