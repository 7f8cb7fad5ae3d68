"""Changes under load: nothing is lost, and no answer comes from a mixture of two configurations."""

import json
import os
from contextlib import AsyncExitStack

import pytest
import trio

pytestmark = pytest.mark.trio

CHANGES = int(os.environ.get("TULLE_CHANGES", "15"))
"""1,000 in `make acceptance FULL=1`."""
CLIENTS, EACH = 4, 25


def configuration(c, number):
    """A route whose every part says which configuration it belongs to."""
    field = [{"name": "x-config", "value": str(number)}]
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/in"}}],
        "filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": field}},
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": field}},
            {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch",
                                                           "replacePrefixMatch": f"/{number}"}}},
        ],
        "backendRefs": [c.backend(("app-b", "app-b2")[number % 2])],
    }  # fmt: skip
    other = c.rule("app-b", {"path": {"type": "Exact", "value": f"/other/{number}"}})
    return c.route(*([rule, other] if number % 3 else [other, rule]))


async def test_changes_lose_nothing_and_mix_nothing(cluster):
    """A route in use changes while requests are under way: each is served by one configuration, the old or the new."""
    seen = {}
    failed, mixed = [], []
    async with cluster("app-b", "app-b2") as c, AsyncExitStack() as stack:
        c.tell(configuration(c, 0))
        address = await c.send()
        target = c.m.table.entries[address].target
        balancers = {name: backend.balancer for name, backend in target.backends.items()}
        clients = [await stack.enter_async_context(c.m.client(address)) for _ in range(CLIENTS)]

        async def ask(client, allowed):
            for _ in range(EACH):
                answer = await client.get("/in/x")
                if answer.status != 200:
                    failed.append(answer.status)
                    continue
                told = json.loads(answer.body)
                number = int(answer.headers["x-config"])
                sent = [value for name, value in told["headers"] if name == "x-config"]
                parts = (sent, told["path"], told["service"])
                if parts != ([str(number)], f"/{number}/x", ("app-b", "app-b2")[number % 2]) or number not in allowed:
                    mixed.append((number, parts))
                seen[number] = seen.get(number, 0) + 1

        for number in range(1, CHANGES + 1):
            async with trio.open_nursery() as nursery:
                for client in clients:
                    nursery.start_soon(ask, client, (number - 1, number))
                c.tell(configuration(c, number))
                await c.send()
        # what a route's change does not touch goes on: the balancer of the backend that stayed
        assert all(target.backends[name].balancer is balancers[name] for name in balancers if name in target.backends)
    asked = CHANGES * CLIENTS * EACH
    print(f"changes: {json.dumps({'changes': CHANGES, 'asked': asked, 'failed': len(failed), 'mixed': len(mixed)})}")
    assert (failed, mixed) == ([], [])
    assert sum(seen.values()) == asked
    assert len(seen) >= CHANGES
