"""The costs of plugins: every line's parts answer, ratios are of the same round, and the bar is judged."""

import pytest
import trio
from tulle_plugin_api import load
from tulle_plugin_api.config import decode

from bench import document
from bench.profile import cost_table, costs
from bench.profile.asked import ASKED, LEFT_OUT
from bench.profile.layers import Assembly, running

PLUGINS = load(kinds=("balancer", "policy", "exporter"))
LINES = costs.lines(PLUGINS)


@pytest.mark.parametrize("layers", [layers for _, layers in LINES], ids=[name for name, _ in LINES])
def test_every_line_answers_each_request(layers):
    async def main():
        async with running() as driver:
            await Assembly(driver, PLUGINS, layers).serve(3)

    trio.run(main)


def test_every_plugin_has_a_line():
    names = {name for name, _ in LINES}
    assert {f"policy {name}" for name in PLUGINS.policies if name not in LEFT_OUT} <= names
    assert {f"exporter {name}" for name in PLUGINS.exporters} <= names


def test_what_a_policy_is_asked_is_what_it_understands():
    for name, config in ((name, each) for name, each in ASKED.items() if name in PLUGINS.policies):
        plugin = PLUGINS.policies[name]
        assert plugin.check(decode(plugin.config, config)) == []


ROUNDS = {
    costs.NONE: [10.0, 20.0, 10.0],
    costs.NONE_INBOUND: [5.0, 5.0, 5.0],
    "policy retry": [11.0, 22.0, 30.0],
    "policy cors": [6.0, 6.0, 6.0],
    costs.DEFAULT: [12.0, 24.0, 12.0],
}


def test_ratios_are_of_the_same_round_and_of_the_same_direction():
    retry, cors, default = cost_table.found(ROUNDS, {})
    assert (retry.time, cors.time, default.time) == (1.1, 1.2, 1.2)
    assert retry.instructions is None


def test_instructions_are_judged_where_they_were_counted():
    counts = {costs.NONE: 1000.0, costs.NONE_INBOUND: 500.0, "policy retry": 1100.0, "policy cors": 600.0}
    rows = cost_table.found(ROUNDS, {**counts, costs.DEFAULT: 1260.0})
    assert (rows[0].added, rows[0].instructions, rows[1].instructions) == (100.0, 1.1, 1.2)
    assert cost_table.verdict(rows)[0] is False
    assert cost_table.verdict(cost_table.found(ROUNDS, {**counts, costs.DEFAULT: 1250.0}))[0] is True
    assert cost_table.verdict(cost_table.found(ROUNDS, {}))[0] is True


def test_the_page_has_a_place_for_the_table():
    page = document.replaced(document.PAGE.read_text(), "words", cost_table.BEGIN, cost_table.END)
    assert f"{cost_table.BEGIN}\nwords\n{cost_table.END}" in page
