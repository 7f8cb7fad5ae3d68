"""The measured process: `python -OO -m bench.profile.child time|count [same] [costs]`, with the proxy's own flags.

`time` prints JSON: for each line the CPU nanoseconds a request, of each round. `count` does each line's work inside of
PyObject_Dir, twice, with CALLS and with 2 x CALLS requests, so that callgrind.py can tell one from the
other. `same`: all requests and answers are alike. `costs`: the lines are those of costs.py; `connections`: those of
connections.py, only counted.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from functools import partial

import trio
from tulle_data_plane.clock import Clock
from tulle_data_plane.log import set_up
from tulle_plugin_api import Plugins, load

from bench.profile import connections, costs
from bench.profile.layers import Assembly, Layers, lines, running
from bench.profile.parts import parts

Lines = list[tuple[str, Layers]]

ROUNDS = 15
REQUESTS = 1500
CALLS = 104
WARM_UP = 24


def times(plugins: Plugins, wanted: Lines, *, same: bool) -> dict[str, dict[str, list[float]]]:
    """Rounds alternate between the lines, as in the bench."""
    layered: dict[str, list[float]] = {name: [] for name, _ in wanted}
    singles = parts() if measures_parts(wanted) else []
    single: dict[str, list[float]] = {name: [] for name, _ in singles}

    async def all_rounds() -> None:
        async with running() as driver:
            made = {name: Assembly(driver, plugins, layers, same=same) for name, layers in wanted}
            for assembly in made.values():
                await assembly.serve(REQUESTS)
            gc.collect()
            gc.freeze()
            for _ in range(ROUNDS):
                for name, assembly in made.items():
                    began = time.process_time_ns()
                    await assembly.serve(REQUESTS)
                    layered[name].append((time.process_time_ns() - began) / REQUESTS)

    trio.run(all_rounds, clock=Clock())
    for _ in range(ROUNDS):
        for name, function in singles:
            began = time.process_time_ns()
            repeat(function, REQUESTS)
            single[name].append((time.process_time_ns() - began) / REQUESTS)
    return {"layers": layered, "parts": single}


def measures_parts(wanted: Lines) -> bool:
    """Whether single functions are measured besides: not where the lines are plugins."""
    return wanted[0][0] != costs.NONE


def repeat(function: Callable[[], object], count: int) -> None:
    """Call it so often."""
    for _ in range(count):
        function()


def counted(plugins: Plugins, wanted: Lines, *, same: bool) -> None:
    """Each line's work for callgrind: layers, then parts."""

    def serve(layers: Layers, count: int) -> None:
        async def once() -> None:
            async with running() as driver:
                assembly = Assembly(driver, plugins, layers, same=same)
                await assembly.serve(WARM_UP)
                await assembly.serve(count)

        trio.run(once, clock=Clock())

    for _, layers in wanted:
        serve(layers, 1)  # before the first count: what imports late may call `dir` as well, and be counted for a line
    for _, layers in wanted:
        for count in (CALLS, 2 * CALLS):
            inside(partial(serve, layers, count))
    for _, function in parts() if measures_parts(wanted) else []:
        repeat(function, WARM_UP)
        for count in (CALLS, 2 * CALLS):
            inside(partial(repeat, function, count))


def counted_connections(plugins: Plugins) -> None:
    """As `counted`, for the lines of connections.py."""

    def serve(kind: str, count: int) -> None:
        async def once() -> None:
            async with connections.serving(plugins) as answered:
                await answered(kind, WARM_UP)
                await answered(kind, count)

        trio.run(once, clock=Clock())

    for kind in connections.NAMES:
        serve(kind, WARM_UP)
    for kind in connections.NAMES:
        for count in (CALLS, 2 * CALLS):
            inside(partial(serve, kind, count))


class _Work:
    """`dir` of this does the work, and so do it inside of PyObject_Dir."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work

    def __dir__(self) -> tuple[()]:
        self.work()
        return ()


def inside(work: Callable[[], None]) -> None:
    """Do it inside of a C function that the work does not call itself."""
    gc.collect()
    dir(_Work(work))


def main() -> None:
    """Measure, or be counted."""
    set_up("error")
    plugins = load(kinds=("balancer", "policy", "exporter"))
    if "connections" in sys.argv[2:]:
        counted_connections(plugins)
        return
    same = "same" in sys.argv[2:]
    wanted = (costs.lines if "costs" in sys.argv[2:] else lines)(plugins)
    if sys.argv[1] == "time":
        print(json.dumps(times(plugins, wanted, same=same)))
    else:
        counted(plugins, wanted, same=same)


if __name__ == "__main__":
    main()
