"""`tulle learn` on a terminal: keys, the watched files, the lab. Owns the terminal's mode and what is done when.

Decides nothing (loop.py). On whatever end, the terminal is as it was; the lab stays unless it is told to go.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator

import click

from tulle_learn import progress as progress_file
from tulle_learn import screen, work
from tulle_learn.errors import LearnError
from tulle_learn.loop import Do, Loop
from tulle_learn.progress import state_folder
from tulle_learn.verdict import Verdict
from tulle_learn.workbench import Workbench

_LOOK = 0.15
"""Seconds between two looks at the files."""
_QUIET = 0.1
"""An editor may write in several steps: no change for so long is a save."""


class Shell:
    """One run of the loop."""

    def __init__(self, loop: Loop, bench: Workbench) -> None:
        self.loop, self.bench = loop, bench
        self.progress_path = state_folder() / "progress.json"

    def run(self) -> None:
        """Until quit. Raises LearnError when there can be no lab."""
        self._open()
        with _keys() as fd:
            self._check()
            files = work.signature(self.loop.lesson.mine)
            while True:
                key = _key(fd, _LOOK)
                if key:
                    self._reread()
                    self.loop, do = self.loop.press(key)
                    progress_file.save(self.progress_path, self.loop.progress)
                    if do is Do.QUIT:
                        break
                    self._do(do)
                    self._draw()
                    if do is not Do.NOTHING:
                        files = work.signature(self.loop.lesson.mine)
                elif (now := work.signature(self.loop.lesson.mine)) != files:
                    files = self._settled(now)
                    self._check()
        click.echo("\nThe lab goes on (`tulle lab down` ends it). `tulle learn` resumes here.")

    def _reread(self) -> None:
        """What the file says: a lesson may have been passed, or a hint seen, in another terminal."""
        found = progress_file.load(self.progress_path).opened(self.loop.lesson)
        self.loop = Loop(**{**vars(self.loop), "progress": found})

    def _settled(self, now: tuple[tuple[str, int, int], ...]) -> tuple[tuple[str, int, int], ...]:
        while True:
            time.sleep(_QUIET)
            later = work.signature(self.loop.lesson.mine)
            if later == now:
                return now
            now = later

    def _do(self, do: Do) -> None:
        if do is Do.CHECK:
            self._check()
        elif do is Do.OPEN:
            self._open()
            self._check()
        elif do is Do.RESET:
            kept = work.reset(self.loop.lesson, state_folder() / "backups")
            self._check()
            if kept is not None:
                self.loop = Loop(**{**vars(self.loop), "text": f"your files are in {kept}\n\n{self.loop.text}"})

    def _open(self) -> None:
        work.prepare(self.loop.lesson)
        self._reread()
        progress_file.save(self.progress_path, self.loop.progress)

    def _check(self) -> None:
        self._draw("checking ...")
        began = time.monotonic()
        try:
            verdict = self.bench.judge(self.loop.lesson, self.loop.lesson.mine, lambda text: self._draw(text))
        except LearnError as error:
            self.loop = Loop(**{**vars(self.loop), "text": str(error)})
        else:
            self._reread()
            self.loop = self.loop.seen(Verdict(verdict.observations, time.monotonic() - began))
        progress_file.save(self.progress_path, self.loop.progress)
        self._draw()

    def _draw(self, doing: str = "") -> None:
        head = f"{screen.bar(self.loop.progress, self.loop.lessons)}\n\n{screen.introduce(self.loop.lesson)}"
        click.clear()
        click.echo(f"{head}\n\n{doing or self.loop.text}\n\n{screen.KEYS}")


@contextlib.contextmanager
def _keys() -> Iterator[int]:
    """Keys one by one, without an echo; the terminal's own mode again afterwards."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _key(fd: int, seconds: float) -> str:
    """The next key within `seconds`, else "". A hung-up terminal is a quit."""
    ready, _, _ = select.select([fd], [], [], seconds)
    if not ready:
        return ""
    data = os.read(fd, 1)
    return data.decode("ascii", "replace") if data else "q"
