"""`python -m tests.acceptance`: prints one line a figure, `name: figure (bar)`; exits 1 when one falls short, or cannot
be measured, and 2 for an unknown name.

    make acceptance                 the quick set
    make acceptance FULL=1          the long ones, too
    make acceptance ONLY=curl,bulk  those whose names begin so
    make acceptance VERBOSE=1       tracebacks, and what is being done, on stderr
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from types import FrameType

from tests.acceptance.catalogue import FIGURES
from tests.acceptance.figure import Figure, Impossible, Outcome
from tests.acceptance.lab import LabFailed
from tests.acceptance.mesh import Mesh
from tests.acceptance.workspace import AlreadyRunning, workspace


def chosen(environment: Mapping[str, str]) -> list[Figure]:
    """The figures that ONLY and FULL ask for; ONLY wins. Raises SystemExit(2) naming those there are."""
    prefixes = [word.strip() for word in environment.get("ONLY", "").split(",") if word.strip()]
    if not prefixes:
        return [each for each in FIGURES if not each.full or environment.get("FULL")]
    for prefix in prefixes:
        if not any(each.name.startswith(prefix) for each in FIGURES):
            names = "\n  ".join(each.name + (" (FULL)" if each.full else "") for each in FIGURES)
            print(f"ONLY={prefix}: no figure's name begins so; there are\n  {names}", file=sys.stderr)
            raise SystemExit(2)
    return [each for each in FIGURES if each.name.startswith(tuple(prefixes))]


def measure(figure: Figure, mesh: Mesh, *, verbose: bool) -> Outcome:
    """Its outcome; whatever goes wrong on the way is a shortfall that says so."""
    try:
        return figure.measure(mesh)
    except (Impossible, LabFailed) as error:
        return Outcome("no figure", (str(error),))
    except Exception as error:
        if verbose:
            traceback.print_exc()
        return Outcome("no figure", (f"{type(error).__name__}: {error} (VERBOSE=1 shows where)",))


def looked_at(figure: Figure, mesh: Mesh, *, verbose: bool) -> tuple[str, bool]:
    """Its line, and whether it is short. What is short of nothing but times is measured a second time, and that counts;
    the line tells of both."""
    outcome = measure(figure, mesh, verbose=verbose)
    if not outcome.by_time:
        return figure.line(outcome), bool(outcome.short)
    again = measure(figure, mesh, verbose=verbose)
    return f"{figure.line(again)}; the first time: {outcome.text}, {'; '.join(outcome.short)}", bool(again.short)


def run(figures: Sequence[Figure], *, verbose: bool) -> int:
    """Measure all, print each, take everything down. The number of shortfalls."""
    began, short = time.monotonic(), list[str]()
    with workspace() as folder, Mesh(folder, verbose=verbose) as mesh:
        for figure in figures:
            at = time.monotonic()
            line, is_short = looked_at(figure, mesh, verbose=verbose)
            print(line, flush=True)
            mesh.say(f"   {time.monotonic() - at:.1f} s")
            short += [line] if is_short else []
    print(f"{len(figures)} figures, {len(short)} short of their bars, in {time.monotonic() - began:.0f} s", flush=True)
    for line in short:  # again, where whoever reads only the end finds it
        print(f"  {line}", flush=True)
    return len(short)


def main() -> int:
    """Exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return 1 if run(chosen(os.environ), verbose=bool(os.environ.get("VERBOSE"))) else 0
    except AlreadyRunning as error:
        print(error, file=sys.stderr)
        return 2
    except LabFailed as error:  # on the way down, where no figure could say so
        print(f"the lab was not taken down: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `| head` has seen enough; everything was taken down
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("interrupted; everything was taken down", file=sys.stderr)
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
