"""docs/examples/external-policy as it stands, a grpcio server in a process of its own, asked by a whole proxy."""

import importlib.util
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import trio
import yaml
from tulle_api.v1 import discovery_pb2 as pb
from tulle_plugin_api import Address, load
from tulle_plugin_api.meshpolicy import validate
from tulle_policy_external import link
from tulle_testkit import http_upstream

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs/examples/external-policy"
POLICY = yaml.safe_load((EXAMPLE / "policy.yaml").read_text())
POLICIES = load().policies


def _harness():
    name = "tulle_data_plane_tests_harness"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "packages/data-plane/tests/harness.py")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


harness = _harness()


@contextmanager
def serving(address="127.0.0.1:0"):
    """The example's process, and the address it listens on."""
    command = [sys.executable, str(EXAMPLE / "server.py"), address]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process, f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(autouse=True)
def _a_link_that_nobody_uses_is_closed_at_once(monkeypatch):
    monkeypatch.setattr(link, "IDLE_SECONDS", 0.05)


def _spec(address, **more):
    config = {**POLICY["spec"]["config"], "address": address, "timeout": "10s", **more}
    return pb.Policy(type="external", source="MeshPolicy demo/app-b-keys", config=msgspec.json.encode(config).decode())


def test_the_examples_policy_is_accepted():
    assert validate(POLICY, POLICIES) == []


@pytest.mark.trio
async def test_the_example_decides_and_without_it_nobody_comes_in():
    with serving() as (_, address):
        async with harness.mesh(harness.plugins(policies=POLICIES)) as m, http_upstream() as app:
            port = pb.InboundPort(port=app.port, policies=[_spec(address)])
            m.table.apply_inbound(pb.Inbound(ports=[port]))
            async with m.client(Address("127.0.0.1", app.port), "inbound") as client:
                refused = await client.get(x_api_key="wrong")
                assert (refused.status, refused.body, refused.reason) == (401, b"who are you?\n", "external-policy")
                assert (await client.get(x_api_key="s3cret", x_user="forged")).status == 200
                (request,) = app.requests
                assert request.header("x-user") == ["ann"]
                assert request.header("x-api-key") == []
                assert m.counter("external_asked_total") == 2


@pytest.mark.trio
@pytest.mark.parametrize(("on_failure", "status"), [("closed", 503), ("open", 200)])
async def test_the_server_is_killed(on_failure, status):
    with serving() as (process, address):
        async with harness.mesh(harness.plugins(policies=POLICIES)) as m, http_upstream() as app:
            port = pb.InboundPort(port=app.port, policies=[_spec(address, on_failure=on_failure)])
            m.table.apply_inbound(pb.Inbound(ports=[port]))
            async with m.client(Address("127.0.0.1", app.port), "inbound") as client:
                assert (await client.get(x_api_key="s3cret")).status == 200
                process.kill()
                process.wait()
                answer = await client.get(x_api_key="s3cret")
                assert (answer.status, answer.reason) == (status, "external-unavailable" if status == 503 else "")
                with serving(address):  # back on its port
                    answers = m.counter("external_answers_total")
                    with trio.fail_after(harness.PATIENCE):
                        while m.counter("external_answers_total") == answers:  # it decides about strangers again
                            await client.get(x_api_key="wrong")
                    assert (await client.get(x_api_key="s3cret")).status == 200
