"""Lesson 15: a distribution that pip installed, whose tests pass, and which balances live traffic as it says."""

import os
import re
import subprocess
import sys
from importlib.metadata import PathDistribution

from tulle_learn.answers import shares
from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See

NAME = "tulle-balancer-sticky"
USERS = [f"user-{number}" for number in range(24)]


def homes(mesh: Mesh, client: str) -> dict[str, str]:
    """Who answered each user, asked from one client pod."""
    answers = mesh.http("http://server/", len(USERS), source=client, concurrency=3, headers={"x-user": "user-$N"})
    return {f"user-{one.number}": one.pod or one.outcome for one in answers}


def moved(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Users that got another replica."""
    return [user for user in before if before[user] != after.get(user)]


def check(mesh: Mesh, see: See) -> None:
    """Installed, tested, at work in two proxies, and when a replica leaves."""
    info = next(mesh.exercise.glob(f"{NAME.replace('-', '_')}-*.dist-info"), None)
    found = PathDistribution(info) if info else None
    points = [f"{one.name} = {one.value}" for one in found.entry_points if one.group == "tulle"] if found else []
    by = (found.read_text("INSTALLER") or "").strip() if found else ""
    see(1, f"{NAME}, installed", f"by {by or 'nobody'}; entry points {points or 'none'}", "by pip; balancer-sticky = ...",
        by == "pip" and any(one.startswith("balancer-sticky") for one in points),
        "Without an entry point in the group `tulle`, Tulle does not find it.")  # fmt: skip

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(mesh.exercise / NAME), "."]
    environment = {**os.environ, "PYTHONPATH": str(mesh.exercise), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "140"}
    ran = subprocess.run(command, cwd=mesh.exercise / NAME, env=environment, capture_output=True, text=True, check=False, timeout=90)
    last = ran.stdout.strip().splitlines()[-1] if ran.stdout.strip() else ran.stderr.strip()[-200:]
    failed = [line for line in ran.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    passed = int(match[1]) if (match := re.search(r"(\d+) passed", last)) else 0
    see(2, "its tests", "\n".join([last, *failed[:4]]), "all pass, the contract's among them (10 or more)",
        ran.returncode == 0 and passed >= 10, "Whoever installs it relies on the contract: see docs/plugins.md."
        if failed else "The contract's tests are not among them: tests/test_contract.py.")  # fmt: skip

    clients = [pod.name for pod in mesh.pods("client")]
    server = mesh.pods("server")
    names = [pod.name for pod in server]
    ready = mesh.until(lambda: True if not moved(homes(mesh, clients[0]), homes(mesh, clients[0])) else None, 5.0)
    first = homes(mesh, clients[0])
    see(3, "24 users, each asking twice: how many got another replica", len(moved(first, homes(mesh, clients[0]))), 0,
        ready is True and not moved(first, homes(mesh, clients[0])), "A user's session is in a replica that he no longer gets.")  # fmt: skip
    counts = {name: list(first.values()).count(name) for name in names}
    see(3, "and how many users each replica has", counts, "2 or more, each", min(counts.values()) >= 2,
        "Everybody is sent to the same one: sticky, and not balanced.")  # fmt: skip
    other = moved(first, homes(mesh, clients[1]))
    see(3, "the same users through the other client's proxy: how many got another replica", len(other), 0, not other,
        "Each proxy has its own opinion: hash() of a str differs from process to process, and so does chance.")  # fmt: skip
    anybody = mesh.http("http://server/", 60, source=clients[0]).count(lambda one: one.pod)
    see(3, "60 requests without a user: shares", shares(anybody, names), "none more than 70 %", max(anybody.values()) <= 42,
        "All strangers are one user, and one replica has them all.")  # fmt: skip

    mesh.scale("server", 2)
    gone = set(names) - {pod.name for pod in mesh.pods("server")}
    after = homes(mesh, clients[0])
    mesh.scale("server", 3)
    lost = [user for user in moved(first, after) if first[user] not in gone]
    see(4, "one replica leaves: users of the two others that were moved", f"{len(lost)} {lost[:3] if lost else ''}", 0, not lost,
        "Each change of replicas moves nearly everybody: `hash % number` does that. Their caches are cold, all at once.")  # fmt: skip
    bad = [user for user, pod in after.items() if pod not in names]
    see(4, "users without an answer", bad or "none", "none", not bad, "The users of the one that left have to go elsewhere.")
