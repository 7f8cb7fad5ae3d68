"""Who blocks the event loop is named, and taken out of there; who does not, is left alone."""

import json
import subprocess
import sys
import textwrap

import pytest
import trio
from tulle_data_plane.blame import Blame
from tulle_data_plane.containment import Stalled
from tulle_data_plane.faults import STRIKES, Faults
from tulle_data_plane.watchdog import INTERRUPT_SECONDS, LONGEST_LOAD_SECONDS, SLOW_LOAD_SECONDS, TICK, Watchdog
from tulle_plugin_api import Config, Policy
from tulle_testkit import http_upstream


class Loop:
    """Answers when it is told to."""

    def __init__(self, blocks=__name__):
        self.posted, self.counted = [], []
        self.faults = Faults(lambda name, amount=1, /, **labels: self.counted.append((name, labels)), lambda: 0.0)
        self.dog = Watchdog(lambda: 0.0)
        blame = Blame()
        blame.learn(blocks, "policy-slow")
        self.dog.attach(self.posted.append, self.faults, blame)

    def answers(self):
        while self.posted:
            self.posted.pop()()


def test_a_loop_that_answers_is_left_alone():
    loop = Loop()
    for number in range(1, 100):
        loop.dog.look(sys._getframe(), number * TICK)
        loop.answers()
    assert loop.faults.describe() == []


def test_who_blocks_is_named_within_a_second_and_then_interrupted(caplog):
    caplog.set_level("INFO", "tulle.proxy")
    loop = Loop()
    loop.dog.look(sys._getframe(), 1.0)
    loop.dog.look(sys._getframe(), 1.0 + TICK)
    (row,) = loop.faults.describe()
    assert (row["plugin"], row["what"]) == ("policy-slow", {"stalled": 1})
    assert "in test_who_blocks_is_named_within_a_second" in row["error"]
    assert ("stalls_total", {"plugin": "policy-slow"}) in loop.counted
    assert 2 * TICK < 1, "it may have begun just after a tick"
    loop.dog.look(sys._getframe(), 1.0 + INTERRUPT_SECONDS - 0.01)
    with pytest.raises(Stalled, match=r"for 2\.0 s at test_watchdog\.py"):
        loop.dog.look(sys._getframe(), 1.0 + INTERRUPT_SECONDS)
    with pytest.raises(Stalled):  # it has caught the first one, and goes on
        loop.dog.look(sys._getframe(), 1.0 + INTERRUPT_SECONDS + TICK)
    assert loop.faults.describe()[0]["failures"] == 1, "one stall, however long"
    loop.answers()
    loop.dog.look(sys._getframe(), 9.0)
    assert "the event loop runs again" in caplog.text


def test_a_loop_that_is_late_by_itself_is_nobodys_fault():
    loop = Loop(blocks="somebody_else")
    for number in range(1, 20):
        loop.dog.look(sys._getframe(), float(number))
    loop.dog.look(None, 50.0)
    assert loop.faults.describe() == []


def test_code_of_the_proxy_is_never_interrupted_in_the_middle():
    """A plugin has called it; to raise there might leave it half done."""
    loop = Loop()
    loop.dog.look(sys._getframe(), 1.0)
    space = {"__name__": "tulle_data_plane.host", "look": loop.dog.look, "sys": sys}
    exec("look(sys._getframe(), 9.0)", space)
    assert loop.faults.describe()[0]["what"] == {"stalled": 1}


def test_an_import_that_does_not_end_is_ended(caplog):
    now = [0.0]
    dog = Watchdog(lambda: now[0])
    dog.loading("policy-slow")
    dog.look(None, SLOW_LOAD_SECONDS - 1)
    assert caplog.records == []
    dog.look(None, SLOW_LOAD_SECONDS)
    dog.look(None, SLOW_LOAD_SECONDS + 1)
    assert [record.fields["plugin"] for record in caplog.records] == ["policy-slow"]
    with pytest.raises(Stalled, match="its import had not ended after 30 s"):
        dog.look(None, LONGEST_LOAD_SECONDS)
    dog.loading("")
    dog.look(None, 1000.0)


class Nothing(Config):
    """No settings."""


class Blocking(Policy[Nothing]):
    """Blocks, as far as the watchdog can see: two of its ticks, long apart, come while it runs."""

    config = Nothing

    def __init__(self, opens, uses_trio):
        self.opens, self.uses_trio, self.look, self.calls = opens, uses_trio, None, 0

    def on_failure(self, config):
        return "open" if self.opens else "closed"

    def build(self, config, next, runtime):
        async def handler(exchange):
            self.calls += 1
            self.look(sys._getframe(), 1.0)
            self.look(sys._getframe(), 1.0 + INTERRUPT_SECONDS)
            raise AssertionError("it was not interrupted")

        return handler


@pytest.mark.trio
@pytest.mark.parametrize("uses_trio", [False, True])
@pytest.mark.parametrize("opens", [False, True])
async def test_a_policy_that_blocks_costs_no_request_or_denies_it_and_is_left_alone_then(
    mesh, harness, opens, uses_trio
):
    policy = Blocking(opens, uses_trio)
    async with mesh(harness.plugins(policies={"slow": policy})) as m, http_upstream() as app:
        dog = Watchdog()
        dog.attach(trio.lowlevel.current_trio_token().run_sync_soon, m.host.faults, m.host.blame)
        policy.look = dog.look
        await m.service(harness.VIP, app.port, policies=[harness_policy("slow")])
        async with m.client() as client:
            for _ in range(STRIKES + 2):
                assert (await client.get()).status == (200 if opens else 500)
        assert policy.calls == STRIKES
        (row,) = m.host.faults.describe()
        assert (row["plugin"], row["state"], row["what"]) == ("policy-slow", "suspended", {"stalled": STRIKES})
        assert m.counter('stalls_total{plugin="policy-slow"}') == STRIKES


def harness_policy(name):
    from tulle_api.v1 import discovery_pb2 as pb

    return pb.Policy(type=name, source=f"MeshPolicy default/{name}")


BLOCKS = """
    import time
    from tulle_plugin_api import Exporter, hookimpl

    class Blocks(Exporter):
        def observe(self, exchange):
            pass

        def collect(self):
            while True:
                try:
                    time.sleep(3600)
                except Exception:
                    pass

    @hookimpl
    def tulle_exporters():
        return {"blocks": lambda context: Blocks()}
"""


def test_a_whole_proxy_gets_rid_of_code_that_blocks_for_ever(tmp_path, program):
    (tmp_path / "acme_blocks.py").write_text(textwrap.dedent(BLOCKS))
    info = tmp_path / "acme_blocks-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[tulle]\nexporter-blocks = acme_blocks\npolicy-broken = acme_none\n")
    with program(TULLE_EXPORTERS="blocks", PYTHONPATH=str(tmp_path)) as proxy:
        proxy.started()
        answer = proxy.ask("GET /metrics")  # waits for as long as it takes: not for an hour
        assert answer.startswith("HTTP/1.1 200 ")
        assert 'tulle_proxy_stalls_total{plugin="exporter-blocks"} 1' in answer
        line = proxy.until("plugin exporter-blocks blocked the event loop")
        assert "acme_blocks.py:" in line["detail"]
        assert "in collect" in line["detail"]
        config = json.loads(proxy.ask("GET /config").partition("\r\n\r\n")[2])
        assert {row["plugin"]: row["state"] for row in config["plugins"]} == {
            "policy-broken": "failed", "exporter-blocks": "misbehaving",
        }  # fmt: skip


ENDING = """
import time
from tulle_data_plane import watchdog

class Slow:
    def __del__(self, sleep=time.sleep):  # while the interpreter ends: its signal handlers are gone
        sleep(0.3)

watchdog.TICK = 0.01
watchdog.Watchdog().start()
slow = Slow()
"""


def test_a_process_that_takes_long_to_end_is_not_killed_by_a_tick():
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
