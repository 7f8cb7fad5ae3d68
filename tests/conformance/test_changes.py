"""Changes under load: nothing is lost, and no answer comes from a mixture of two configurations."""

import json
import os
from itertools import pairwise

import pytest
from conformance_objects import backend, route, rule

pytestmark = pytest.mark.trio

CHANGES = int(os.environ.get("TULLE_CHANGES", "15"))
"""1,000 in `make acceptance FULL=1`."""
CLIENTS, BETWEEN = 4, 100
"""So many answers come between two changes, at least."""


def configuration(number):
    """A route whose every part says which configuration it belongs to."""
    field = [{"name": "x-config", "value": str(number)}]
    one = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/in"}}],
        "filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": field}},
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": field}},
            {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch",
                                                           "replacePrefixMatch": f"/{number}"}}},
        ],
        "backendRefs": [backend(("app-b", "app-b2")[number % 2])],
    }  # fmt: skip
    other = rule("app-b", {"path": {"type": "Exact", "value": f"/other/{number}"}})
    return route(*([one, other] if number % 3 else [other, one]))


def configuration_of(answer):
    """The number of the configuration that an answer is of; None when its parts are of several."""
    number = int(answer.headers["x-config"])
    of_one = ([str(number)], f"/{number}/x", ("app-b", "app-b2")[number % 2])
    return number if (answer.sent("x-config"), answer.path, answer.service) == of_one else None


@pytest.mark.timeout(450 + 4 * CHANGES)
async def test_changes_lose_nothing_and_mix_nothing(cluster):
    """A route in use changes while requests are under way: each is served by one configuration, the old or the new."""
    async with cluster("app-b", "app-b2") as c:
        c.tell(configuration(0))
        address = await c.send()
        if c.form == "process":
            target = c.m.table.entries[address].target
            balancers = {name: each.balancer for name, each in target.backends.items()}
        async with c.load("/in/x", CLIENTS) as load:
            for number in range(1, CHANGES + 1):
                await load.more(BETWEEN)
                c.tell(configuration(number))
                # in force: whoever asks from now on is served by this one
                assert configuration_of(await c.get("/in/x")) == number
        if c.form == "process":
            # what a route's change does not touch goes on: the balancer of the backend that stayed
            stayed = balancers.keys() & target.backends.keys()
            assert stayed
            assert all(target.backends[name].balancer is balancers[name] for name in stayed)
        failed, mixed, seen, asked = [], [], set(), 0
        for answers in load.answers:
            asked += len(answers)
            failed += [(answer.status, answer.body) for answer in answers if answer.status != 200]
            numbers = [configuration_of(answer) for answer in answers if answer.status == 200]
            # on one connection never an older one after a newer one
            mixed += [number for number in numbers if number is None]
            mixed += [pair for pair in pairwise(numbers) if None not in pair and pair[0] > pair[1]]
            seen |= set(numbers)
    told = {"changes": CHANGES, "asked": asked, "failed": len(failed), "mixed": len(mixed), "seen": len(seen)}
    print(f"changes: {json.dumps(told)}")
    assert (failed, mixed) == ([], [])
    assert asked >= CHANGES * BETWEEN
    assert len(seen) >= CHANGES
