"""`tulle lessons verify`: each starter fails for the right reason, each solution passes, and the form is kept.

Owns the order and the report. Each lesson has a lab of its own, at a state folder of its own, so that a learner's lab
and progress are not touched; it is gone at the end, however that comes. One at a time in a state folder: a second one
says who is at work, and ends.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tulle_lab.state import StateFolder

from tulle_learn import effort, form, screen, stage
from tulle_learn.cluster_bench import ClusterBench
from tulle_learn.errors import LearnError
from tulle_learn.lesson import Failure, Lesson, Wrong
from tulle_learn.progress import state_folder
from tulle_learn.verdict import Verdict
from tulle_learn.workbench import SECONDS, Workbench

Say = Callable[[str], None]

RELOAD = 3.0
"""Seconds from saving to a check that begins."""


@dataclass(frozen=True)
class Reload:
    """One save, from the files being there to a check that can begin."""

    name: str
    seconds: float
    """By the clock: the machine's, and whoever else uses it."""
    processor: float
    """Seconds of processor time that the lab used for it."""

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s" + (f" ({self.processor:.1f} s of processor)" if self.processor else "")


def verify(lessons: Sequence[Lesson], *, runs: int, wrong: bool, say: Say, on: str = "lab") -> bool:
    """All of it for each of `lessons`; True when everything is as it should be. `on`: lab or kind.

    Raises LearnError when another one is at work in this state folder: each would end the other's lab.
    """
    began, bad = time.monotonic(), 0
    reloads: list[Reload] = []
    with _alone(state_folder()):
        for lesson in lessons:
            problems = form.problems(lesson)
            try:
                problems += _run(lesson, runs, wrong, say, reloads, on)
            except LearnError as error:
                problems.append(f"{lesson.name}: {error}")
            for problem in problems:
                say(f"     FAIL {problem}")
            bad += bool(problems)
    if reloads:
        slowest = max(reloads, key=lambda one: one.seconds)
        dearest = max(one.processor for one in reloads)
        most = f"; the most processor time that one used: {dearest:.1f} s" if dearest else ""
        say(f"longest reload: {slowest.name}, {slowest}{most}")
    say(f"{len(lessons) - bad} of {len(lessons)} lessons are right ({time.monotonic() - began:.0f} s)")
    return not bad


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The only one at work in `folder`; whoever is, is named there. The kernel lets go when we end, however."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "verify.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            who = f"process {lock.read().strip() or 'unknown'}, in {folder}"
            fix = "wait for it, or give this one a folder of its own: XDG_STATE_HOME=FOLDER tulle lessons verify"
            raise LearnError("another `tulle lessons verify` is at work", who, fix) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _reload(lesson: Lesson, bench: Workbench) -> Reload:
    """The solution saved once more, into its running lab."""
    began, before = time.monotonic(), effort.used(bench.pid())
    bench.open(lesson, lesson.solution, lambda text: None)
    seconds = time.monotonic() - began
    return Reload(lesson.name, seconds, effort.since(before, effort.used(bench.pid())))


def _run(lesson: Lesson, runs: int, wrong: bool, say: Say, reloads: list[Reload], on: str) -> list[str]:
    problems: list[str] = []
    with _bench(on) as (bench, copies):
        starter = bench.judge(lesson, lesson.exercise, lambda text: None)
        problems += judge_failure(starter, lesson.settings.starter_fails, f"{lesson.name}: the starter")
        if not bench.is_running():  # this starter could not be put in: it is a reload that is measured, no start
            bench.open(lesson, lesson.solution, lambda text: None)
        reload = _reload(lesson, bench)
        reloads.append(reload)
        slowest = 0.0
        for _ in range(runs):
            verdict = bench.check(lesson)
            slowest = max(slowest, verdict.seconds)
            if not verdict.passed:
                problems.append(f"{lesson.name}: the solution does not pass:\n{screen.verdict(lesson, verdict)}")
                break
        if not problems and on == "lab":
            problems += _commands(lesson, bench)
        answers = lesson.wrong() if wrong else []
        for answer in answers:
            source = copies / "wrong"
            _spoil(lesson, answer, source)
            verdict = bench.judge(lesson, source, lambda text: None)
            problems += judge_failure(
                verdict, Failure(answer.objective, answer.says), f"{lesson.name}: the wrong answer {answer.what!r}"
            )
    known = f", {len(answers)} wrong answers" if answers else ""
    state = "FAIL" if problems else "ok"
    # told, not judged: seconds are the machine's as much as the lesson's
    slow = ", slow" if slowest > SECONDS or reload.seconds > RELOAD else ""
    say(f"{state:<4} {lesson.name}: reload {reload}, check {slowest:.1f} s, {runs} runs{known}{slow}")
    return problems


def commands(readme: str) -> list[str]:
    """The lines of a README's code blocks that can be tried in the lesson's lab. Pure.

    `tulle learn` is what runs us, `down` would end the lab, and `plugins new` writes files.
    """
    lines = [line.strip() for block in _FENCE.findall(readme) for line in block.splitlines()]
    return [line for line in lines if line.startswith("tulle ") and not _NOT_TRIED.match(line)]


_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_NOT_TRIED = re.compile(r"tulle (learn|lab down|plugins new)\b")


def _commands(lesson: Lesson, bench: Workbench) -> list[str]:
    """Run them, in order; those that fail."""
    problems = []
    environment = {**os.environ, "TULLE_LAB_STATE": str(bench.state.path), "NO_COLOR": "1"}
    for line in commands((lesson.folder / "README.md").read_text()):
        command, _, may_fail = line.partition(" || true")
        words = [sys.executable, "-m", "tulle_cli.main", *shlex.split(command)[1:]]
        ran = subprocess.run(
            words, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=60
        )
        if ran.returncode and not (may_fail or line.endswith("|| true")):
            said = (ran.stderr or ran.stdout).strip().splitlines()[-1:]
            problems.append(f"{lesson.name}/README.md: {line!r} fails: {' '.join(said)}")
    return problems


def judge_failure(verdict: Verdict, expected: Failure, who: str) -> list[str]:
    """What is wrong with how something fails: it must, at the right objective, in words that name the effect. Pure."""
    seen = verdict.failure
    if seen is None:
        return [f"{who} passes"]
    said = " ".join(f"{seen.what} {seen.observed} {seen.meaning}".split())
    if seen.objective != expected.objective or expected.says.lower() not in said.lower():
        return [f"{who} fails otherwise than at objective {expected.objective} with {expected.says!r}: "
                f"objective {seen.objective}: {said}"]  # fmt: skip
    return []


def _spoil(lesson: Lesson, answer: Wrong, target: Path) -> None:
    texts = spoiled(stage.files(lesson.solution), answer)
    shutil.rmtree(target, ignore_errors=True)
    for name, text in texts.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def spoiled(solution: Mapping[str, str], answer: Wrong) -> dict[str, str]:
    """The solution with one thing wrong. Pure. Raises LearnError when `find` is not in it exactly once."""
    text = solution.get(answer.file, "")
    if text.count(answer.find) != 1:
        times = text.count(answer.find)
        raise LearnError(f"wrong.toml, {answer.what!r}: `find` is {times} times in {answer.file}", fix="once is right")
    return {**solution, answer.file: text.replace(answer.find, answer.replace)}


@contextmanager
def _bench(on: str = "lab") -> Iterator[tuple[Workbench, Path]]:
    """A lab at a folder of its own (or the cluster), and room for copies."""
    folder = state_folder() / "verify"
    bench = ClusterBench(folder) if on == "kind" else Workbench(StateFolder(folder / "lab"), folder)
    bench.close()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield bench, folder
    finally:
        bench.close()
        shutil.rmtree(folder, ignore_errors=True)
