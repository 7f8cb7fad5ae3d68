"""The profile: every line's parts answer, and counts and times become a table."""

import itertools

import pytest
import trio
from tulle_plugin_api import load

from bench.profile import __main__ as program
from bench.profile import callgrind, connections
from bench.profile.canned import Client, Upstream
from bench.profile.layers import Assembly, lines, running
from bench.profile.parts import parts

PLUGINS = load(kinds=("balancer", "policy", "exporter"))
LINES = lines(PLUGINS)


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("layers", [layers for _, layers in LINES], ids=[name for name, _ in LINES])
def test_every_line_answers_each_request(layers, same):
    async def main():
        async with running() as driver:
            await Assembly(driver, PLUGINS, layers, same=same).serve(3)

    trio.run(main)


def test_a_line_that_does_not_answer_is_no_figure():
    async def refuse(exchange):
        raise OSError

    async def main():
        async with running() as driver:
            assembly = Assembly(driver, PLUGINS, LINES[0][1])
            assembly.route.handler = refuse
            with pytest.raises(AssertionError, match="0 answers of 3"):
                await assembly.serve(3)

    trio.run(main)


@pytest.mark.parametrize("kind", connections.NAMES)
def test_connections_are_served_over_sockets(kind):
    async def main():
        async with connections.serving(PLUGINS) as answered:
            await answered(kind, 16)

    trio.run(main)


def test_each_line_has_one_layer_more():
    for (_, less), (_, more) in itertools.pairwise(LINES):
        assert less != more
        assert set(less.policies) <= set(more.policies)
        assert set(less.exporters) <= set(more.exporters)
        assert less.stack <= more.stack
        assert less.dial <= more.dial
    assert LINES[-1][1].policies
    assert LINES[-1][1].exporters == ("prometheus", "access-log")


def test_heads_differ_unless_told_otherwise():
    async def heads(channel):
        return {await channel.recv() for _ in range(3)}

    assert len(trio.run(heads, Client(3))) == len(trio.run(heads, Upstream())) == 3
    assert len(trio.run(heads, Client(3, same=True))) == len(trio.run(heads, Upstream(same=True))) == 1


def test_parts_can_be_called():
    assert all(function() is not None for _, function in parts())


def test_counts_are_of_pairs():
    assert callgrind.per_call([1_000, 3_000, 50, 60], 10) == [200.0, 1.0]
    assert callgrind.last([9, 9, 1, 2], 2) == [1, 2]
    with pytest.raises(callgrind.Uncounted, match="1 counts where 2"):
        callgrind.last([1], 2)


@pytest.mark.parametrize(
    ("dump", "total"),
    [("desc: Trigger: --dump-after=PyObject_Dir\nevents: Ir\nsummary: 42\nfn=(1)\ntotals: 42\n", 42),
     ("desc: Trigger: Program termination\nsummary: 42\n", None),
     ("desc: Trigger: --dump-after=PyObject_Dir\n", None)],
)
def test_only_dumps_of_work_have_a_total(dump, total):
    assert callgrind.total_of(dump) == total


def test_a_layers_cost_is_what_it_adds():
    figures = program.measured({"a": [9000.0, 1000.0, 8000.0], "b": [4000.0, 4000.0, 4000.0]}, [10.0, 40.0])
    assert [figure.time for figure in figures] == [1000.0, 4000.0]
    assert program.layered(figures)[1:] == [
        ["a", "1.00", "25%", "10", "25%"],
        ["b", "3.00", "75%", "30", "75%"],
        ["all of it", "4.00", "100%", "40", "100%"],
    ]


def test_without_counts_there_are_times():
    figures = program.measured({"a": [1000.0]}, [])
    assert program.layered(figures)[1] == ["a", "1.00", "100%", "", ""]
