"""The built-in load generator: calls the app's own upstream at a steady rate, so that there is traffic to see.

Open loop: a slow upstream does not slow the calls down, as real clients would not; but no more than MAX_IN_FLIGHT
are under way, and what would be more is counted as skipped.
"""

import asyncio

from tulle_sample_app.app import App
from tulle_sample_app.http1 import Headers

MAX_IN_FLIGHT = 256
USER_AGENT = Headers([("user-agent", "tulle-sample-app/load")])


async def generate(app: App) -> None:
    """Call app's upstream `load_rps` times a second, whatever the knob says at the time, until cancelled.

    Cancelling it cancels the calls that are under way.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as calls:
        under_way = 0

        def done(_: asyncio.Task[object]) -> None:
            nonlocal under_way
            under_way -= 1

        due = loop.time()
        while True:
            app.turned.clear()
            if app.knobs.load_rps <= 0:
                await app.turned.wait()
                due = loop.time()
                continue
            due = max(due + 1 / app.knobs.load_rps, loop.time() - 1)  # after a stall, catch up one second at most
            try:
                async with asyncio.timeout_at(due):
                    await app.turned.wait()
                due = loop.time()  # a new rate counts from now
                continue
            except TimeoutError:
                pass
            if under_way >= MAX_IN_FLIGHT:
                app.stats.load["skipped"] += 1
                continue
            app.stats.load["sent"] += 1
            under_way += 1
            calls.create_task(app.ask_upstream("/", {}, USER_AGENT)).add_done_callback(done)
