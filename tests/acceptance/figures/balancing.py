"""Where requests go: each balancer and a route's weights, counted at the servers that got them."""

from __future__ import annotations

import statistics

from tests.acceptance.figure import ByTime, Figure, Outcome, judged
from tests.acceptance.mesh import Mesh
from tests.acceptance.targets import Made, Report, asking

REQUESTS = 10_000
TEN = range(1, 11)
CHI_SQUARE = 16.92
"""The 95th percentile of the distribution with 9 degrees of freedom: what 10 fair shares exceed once in 20 times."""
SLOW, ALL = 1, range(1, 41)
USUAL_SECONDS, SLOW_SECONDS = 0.12, 1.2
"""Much longer than a busy machine's pauses."""
SLOW_ROUNDS, SLOW_REQUESTS, SLOW_CONNECTIONS = 3, 1800, 120
"""Three requests under way for each endpoint. An endpoint that is 10x slower and as full as the others serves 1 in 391:
that is what least-request comes near to, and why there are so many endpoints (among 10 it would be 1 in 91, and the
99th percentile could only be the slow one's).
"""
KEYS = 4000
CANARY = 10.0


def failed(report: Report, requests: int) -> tuple[bool, str]:
    """The bar that all were asked and all answered."""
    return report["statuses"] == {"200": requests}, f"not all {requests} were answered with 200: {report['statuses']}"


def chi_square(counts: list[int]) -> float:
    """Pearson's, of counts that should be equal."""
    fair = sum(counts) / len(counts)
    return sum((count - fair) ** 2 / fair for count in counts) if fair else float("inf")


def _round_robin(mesh: Mesh) -> Outcome:
    with asking(mesh, Made("even", TEN, {"balancer": {"name": "round-robin"}})) as targets:
        [report] = targets.ask("http://even/", requests=REQUESTS)
        came = targets.counts()
    counts = [came[number] for number in TEN]
    found = chi_square(counts)
    return judged(
        f"chi-square {found:.2f}; {min(counts)} to {max(counts)} requests each",
        failed(report, REQUESTS),
        (sum(counts) == REQUESTS, f"{sum(counts)} came to the endpoints, not {REQUESTS}"),
        (found <= CHI_SQUARE, f"more than {CHI_SQUARE}: not even"),
    )


def _slow(balancer: str) -> Figure:
    """Two Services, one with the slow endpoint and one without it, in turn."""
    def measure(mesh: Mesh) -> Outcome:
        policies = {"balancer": {"name": balancer}}
        whole, without = Made("whole", ALL, policies), Made("without", [n for n in ALL if n != SLOW], policies)
        with asking(mesh, whole, without) as targets:
            targets.be(delay=USUAL_SECONDS)
            targets.be(SLOW, delay=SLOW_SECONDS)
            reports = targets.ask("http://whole/", "http://without/", requests=SLOW_REQUESTS, rounds=SLOW_ROUNDS,
                                  connections=SLOW_CONNECTIONS)
        made = SLOW_REQUESTS * SLOW_ROUNDS
        share = 100 * reports[0]["served"].get(str(SLOW), 0) / made
        ratio = statistics.median(a / b for a, b in zip(reports[0]["p99"], reports[1]["p99"], strict=True))
        return judged(
            f"{share:.2f}% went to the slow one; p99 {ratio:.2f} of that without it",
            *(failed(report, made) for report in reports),
            (share < 5, "5% or more"),
            (ratio <= 1.3, ByTime("more than 1.3")),
        )

    return Figure(f"slow-endpoint-{balancer}", "1 of 40 is 10x slower: under 5% to it, p99 at most 1.3 of that without",
                  measure)


def _ring_hash(mesh: Mesh) -> Outcome:
    service = Made("ring", TEN, {"balancer": {"name": "ring-hash", "header": "x-key"}})
    with asking(mesh, service) as targets:
        [before] = targets.ask("http://ring/", requests=KEYS, connections=4, keys=True)
        targets.take_away(service, 1)
        [after] = targets.ask("http://ring/", requests=KEYS, connections=4, keys=True)
    moved = sum(before["keys"][key] != after["keys"].get(key) for key in before["keys"])
    stayed = sum(before["keys"][key] != "1" and before["keys"][key] == after["keys"].get(key) for key in before["keys"])
    share = moved / KEYS
    return judged(
        f"{share:.1%} of {KEYS} keys moved, {len(set(before['keys'].values()))} endpoints had some",
        failed(before, KEYS), failed(after, KEYS),
        (len(before["keys"]) == KEYS, f"only {len(before['keys'])} keys were answered"),
        ("1" in before["keys"].values(), "the one that left had none"),
        ("1" not in after["keys"].values(), "the one that left still gets requests"),
        (share <= 0.13, f"more than 13%, and {stayed} stayed"),
    )


def _weights(mesh: Mesh) -> Outcome:
    stable, canary = Made("stable", [1]), Made("canary", [2])
    split = Made("split", [3], weights={"stable": 90, "canary": 10})
    with asking(mesh, stable, canary, split) as targets:
        [report] = targets.ask("http://split/", requests=REQUESTS)
        came = targets.counts()
    share = 100 * came[2] / REQUESTS
    return judged(
        f"{100 * came[1] / REQUESTS:.2f}% and {share:.2f}%",
        failed(report, REQUESTS),
        (came[1] + came[2] == REQUESTS, f"{came[1] + came[2]} came to the two, not {REQUESTS}"),
        (abs(share - CANARY) <= 1, "more than a point away from 10%"),
    )


FIGURES = (
    Figure("round-robin", "10,000 over 10 endpoints: chi-square at most 16.92 (5%)", _round_robin),
    _slow("peak-ewma"),
    _slow("least-request"),
    Figure("ring-hash", "1 of 10 endpoints leaves: at most 13% of the keys move", _ring_hash),
    Figure("weights", "90 to 10 over 10,000: within a point", _weights),
)
