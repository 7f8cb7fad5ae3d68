"""Instructions a request, by callgrind: the child's work lies inside of PyObject_Dir, and each call's count is dumped
when it returns. Two counts a line, of n and of 2n requests: their difference is n requests and nothing else.

Instructions are not time, but they are the same whoever else uses the machine. Python's hash seed is fixed for it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.profile.child import CALLS

FUNCTION = "PyObject_Dir"
"""What `dir` calls. Exported by every CPython, so that callgrind knows it without debugging symbols."""


class Uncounted(Exception):
    """No counts; the message says why."""


def available() -> bool:
    """Whether valgrind is installed."""
    return shutil.which("valgrind") is not None


def counts(expected: int, *words: str) -> list[float]:
    """Instructions a request of each of `expected` lines; `words` are for the child. Raises Uncounted."""
    with tempfile.TemporaryDirectory(prefix="tulle-bench-profile-") as folder:
        command = ["valgrind", "--tool=callgrind", f"--toggle-collect={FUNCTION}", f"--dump-after={FUNCTION}",
                   f"--callgrind-out-file={folder}/out", sys.executable, *FLAGS, "-m", "bench.profile.child", "count",
                   *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900,
                              env={**os.environ, "PYTHONHASHSEED": "0"})
        if done.returncode:
            raise Uncounted(f"valgrind's run exited with {done.returncode}: {done.stderr[-800:]}")
        dumps = sorted(Path(folder).glob("out.*"), key=lambda path: int(path.suffix[1:]))
        totals = [total for path in dumps if (total := total_of(path.read_text(errors="replace"))) is not None]
    return per_call(last(totals, 2 * expected), CALLS)


def last(totals: list[int], count: int) -> list[int]:
    """The child's work comes last: imports call `dir`, too. Raises Uncounted when there are not so many."""
    if len(totals) < count:
        raise Uncounted(f"{len(totals)} counts where {count} were to be: does this Python export {FUNCTION}?")
    return totals[-count:]


def per_call(totals: list[int], calls: int) -> list[float]:
    """From pairs of counts, for `calls` and for twice as many."""
    return [(second - first) / calls for first, second in zip(totals[::2], totals[1::2], strict=True)]


def total_of(dump: str) -> int | None:
    """The sum of a dump that was made when FUNCTION returned; None for any other."""
    if "desc: Trigger: --dump-after" not in dump:
        return None
    found = re.search(r"^(?:totals|summary): (\d+)", dump, re.MULTILINE)
    return int(found[1]) if found else None


FLAGS = ("-OO", "-X", "no_debug_ranges")
"""Those that `tulle-proxy` runs with."""
