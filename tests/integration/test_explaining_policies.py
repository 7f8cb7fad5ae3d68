"""An explained request is seen in and beyond every policy that is installed: none of them hides what is within it."""

import importlib.util
import sys
from pathlib import Path

import msgspec
import pytest
from tulle_api.v1 import discovery_pb2 as discovery
from tulle_api.v1 import telemetry_pb2 as pb
from tulle_data_plane.shell.explaining import Explaining
from tulle_plugin_api import load
from tulle_policy_external import link
from tulle_testkit import Answer, http_upstream

POLICIES = load().policies
TOKEN = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def _links_that_nobody_uses_are_closed_at_once(monkeypatch):
    monkeypatch.setattr(link, "IDLE_SECONDS", 0.05)


def _harness():
    name = "tulle_data_plane_tests_harness"
    if name not in sys.modules:
        path = Path(__file__).parents[2] / "packages/data-plane/tests/harness.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


harness = _harness()
VIP = harness.VIP

# type -> a configuration with which it has something to do
CONFIGS = {
    "circuit-breaker": {"limits": {"connections": 100}},
    "compression": {},
    "cors": {"allow_origins": ["https://shop.example"]},
    "external": {"address": "127.0.0.1:9", "on_failure": "open"},
    "fault": {"delay": {"time": "1ms", "percent": 100}},
    "headers": {"request": {"set": {"x-tenant": "blue"}}},
    "mirror": {"service": "app-b", "port": 80, "percent": 100},
    "rate-limit": {"requests": 1000, "side": "client"},
    "retry": {},
    "shared-quota": {"requests": 1000, "per": "1s", "side": "client"},
    "timeout": {"request": "5s", "per_try": "4s", "idle": "3s"},
}


def test_each_installed_policy_is_tried():
    assert sorted(CONFIGS) == sorted(POLICIES)


async def _account(type, inbound):
    """What a request's account says with one policy around it. `inbound`: at the server."""
    spec = discovery.Policy(type=type, source=f"MeshPolicy default/{type}",
                            config=msgspec.json.encode(CONFIGS[type]).decode())  # fmt: skip
    told = []
    async with harness.mesh(harness.plugins(policies=POLICIES)) as m, http_upstream(lambda request: Answer()) as app:
        explaining = Explaining(m.host, m.table, told.append)
        if not inbound:
            await m.service(VIP, app.port, policies=[spec])
            sent = pb.Send(token=TOKEN, seconds=10, destination=str(VIP), method="GET", path="/",
                           fields=[pb.SentField(name="host", value="app-b")])  # fmt: skip
            await explaining.carry_out(pb.ReportResponse(send=sent))
        else:
            m.table.apply_inbound(discovery.Inbound(ports=[discovery.InboundPort(port=app.port, policies=[spec])]))
            async with harness.trio.open_nursery() as nursery:
                expect = pb.ReportResponse(expect=pb.Expect(token=TOKEN, seconds=30))
                nursery.start_soon(explaining.carry_out, expect)
                await m.until(lambda: told)
                told.clear()
                async with m.client(harness.Address("127.0.0.1", app.port), "inbound") as client:
                    assert (await client.get("/", tulle_explain=TOKEN)).status == 200
                nursery.cancel_scope.cancel()
        await m.settled()
    (report,) = [each for each in told if each.accounts]
    return report.accounts[0]


@pytest.mark.trio
@pytest.mark.parametrize("type", sorted(CONFIGS))
async def test_what_is_within_a_policy_is_seen(type):
    seen = 0
    for direction in ("outbound", "inbound"):
        account = await _account(type, direction == "inbound")
        assert account.status == 200
        kinds = [step.kind for step in account.steps]
        assert kinds.count("dial") == 1, kinds  # else something hides it
        named = [step for step in account.steps if step.kind == "policy"]
        assert all((step.name, step.source) == (type, f"MeshPolicy default/{type}") for step in named)
        seen += len(named)
    assert seen, "it is not seen itself"  # on one side at least: it has nothing to do on the other
