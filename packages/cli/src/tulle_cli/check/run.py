"""Runs sections in order. Owns skipping, waiting, and that a check which raises is a failed check.

Time is passed in (`now`, `sleep`), so that the tests of `--wait` need none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from tulle_plugin_api import Check, CheckResult

from tulle_cli.check.model import ERROR, OK, WARNING, Line, Outcome, Section

BETWEEN_TRIES = 1.0
"""Seconds between two tries of a check that is waited for."""
_WORDS = {True: OK, None: WARNING, False: ERROR}


def run(
    sections: Sequence[Section],
    wait: float = 0.0,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[str, Line | None]]:
    """Yield (section, line) as each becomes known; (section, None) when a section begins.

    `wait`: seconds, for all sections that wait, together.
    """
    deadline = now() + wait
    broken: set[str] = set()
    for section in sections:
        if section.needs in broken:
            broken.add(section.name)
            continue
        yield section.name, None
        for check in section.checks:
            line = _line(check)
            while line.result == ERROR and section.waits and now() < deadline:
                sleep(min(BETWEEN_TRIES, max(0.0, deadline - now())))
                line = _line(check)
            yield section.name, line
            if line.result == ERROR:
                broken.add(section.name)
                if section.stops:
                    break


def collect(results: Iterator[tuple[str, Line | None]]) -> list[Outcome]:
    """All of it, by section."""
    outcomes: list[Outcome] = []
    for name, line in results:
        if line is None:
            outcomes.append(Outcome(name))
        else:
            outcomes[-1].lines.append(line)
    return outcomes


def _line(check: Check) -> Line:
    try:
        result = check.run()
    except Exception as error:  # a stranger's check, or a bug of ours: either way it says nothing good
        problem = f"the check itself failed: {type(error).__name__}: {error}"
        result = CheckResult(False, problem, "report this to its author")
    return Line(check.description, _WORDS[result.ok], result.detail, result.hint)
