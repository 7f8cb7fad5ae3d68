"""`tulle learn` and `tulle lessons`. Owns the command lines; everything else is imported when it is needed.

`tulle learn` on a terminal is the loop; each of its keys is also a command that needs none: check, start, hint, reset,
solution, list.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tulle_learn.errors import LearnError

if TYPE_CHECKING:
    from tulle_learn.lesson import Lesson
    from tulle_learn.progress import Progress
    from tulle_learn.workbench import Workbench

_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="text or json.")
_word = click.argument("word", metavar="LESSON", default="")


@dataclass
class _Course:
    """The lessons and how far one is."""

    lessons: list[Lesson]
    path: Path
    progress: Progress

    def chosen(self, word: str) -> Lesson:
        from tulle_learn import lesson

        return lesson.find(self.lessons, word) if word else self.progress.resume(self.lessons)

    def reread(self) -> None:
        """What the file says now."""
        from tulle_learn import progress as progress_file

        self.progress = progress_file.load(self.path)

    def keep(self, progress: Progress) -> None:
        from tulle_learn import progress as progress_file

        self.progress = progress
        progress_file.save(self.path, progress)


def _course() -> _Course:
    from tulle_learn import lesson, progress

    path = progress.state_folder() / "progress.json"
    return _Course(lesson.read_all(lesson.find_folder()), path, progress.load(path))


def _bench() -> Workbench:
    from tulle_lab.state import StateFolder, default_path

    from tulle_learn.progress import state_folder
    from tulle_learn.workbench import Workbench

    return Workbench(StateFolder(default_path()), state_folder())


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def learn(ctx: click.Context) -> None:
    """Learn how a service mesh works, by writing its parts: each lesson is checked on live traffic.

    Without a command: the loop. It opens at your next lesson, and checks whenever you save.
    """
    if ctx.invoked_subcommand is not None:
        return
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        raise LearnError("the loop needs a terminal", fix="tulle learn list; tulle learn start 1; tulle learn check 1")
    from tulle_learn.loop import Loop
    from tulle_learn.shell import Shell

    course = _course()
    Shell(Loop(course.lessons, course.chosen(""), course.progress), _bench()).run()


@learn.command("list")
@_output
def list_command(output: str) -> None:
    """The lessons, and which are passed."""
    from tulle_learn import screen

    course = _course()
    if output == "json":
        rows = [
            {
                "number": one.number, "topic": one.topic, "title": one.title, "minutes": one.settings.minutes,
                "passed": course.progress.has_passed(one), "hints": course.progress.hints_seen(one),
            }
            for one in course.lessons
        ]  # fmt: skip
        click.echo(json.dumps(rows, indent=2))
        return
    click.echo(screen.table(course.lessons, course.progress, course.chosen("")))
    click.echo(screen.bar(course.progress, course.lessons))


@learn.command("start")
@_word
def start_command(word: str) -> None:
    """Open a lesson: its files, its lab. Any lesson, whether the earlier ones are done or not."""
    from tulle_learn import screen, work

    course = _course()
    lesson = course.chosen(word)
    work.prepare(lesson)
    course.keep(course.progress.opened(lesson))
    wrong = _bench().open(lesson, lesson.mine, click.echo)
    click.echo(screen.introduce(lesson))
    if wrong is not None:
        from tulle_learn.verdict import Verdict

        click.echo(screen.verdict(lesson, Verdict((wrong,))))
    click.echo(f"then: tulle learn check {lesson.number}")


@learn.command("check")
@_word
@_output
def check_command(word: str, output: str) -> None:
    """Put your files into the lab, and check them on live traffic. Exit status 1: not passed."""
    from tulle_learn import screen, work

    course = _course()
    lesson = course.chosen(word)
    work.prepare(lesson)
    verdict = _bench().judge(lesson, lesson.mine, lambda text: click.echo(text, err=True))
    course.reread()  # a check takes a while: another terminal may have passed a lesson meanwhile
    progress = course.progress.opened(lesson)
    course.keep(progress.with_passed(lesson) if verdict.passed else progress)
    if output == "json":
        click.echo(json.dumps({"lesson": lesson.number, "topic": lesson.topic, **verdict.to_json()}, indent=2))
    else:
        click.echo(screen.verdict(lesson, verdict))
        if verdict.passed:
            after = course.progress.after(lesson, course.lessons)
            left = [str(one.number) for one in course.lessons if not course.progress.has_passed(one)]
            click.echo(
                f"tulle learn solution {lesson.number} shows ours"
                + (
                    f"; next: tulle learn start {after.number}" if after != lesson else
                    f"; not passed yet: {', '.join(left)}" if left else "; you have passed all lessons"
                )
            )  # fmt: skip
        else:
            click.echo(f"tulle learn hint {lesson.number}")
    sys.exit(0 if verdict.passed else 1)


@learn.command("hint")
@_word
def hint_command(word: str) -> None:
    """The next of three hints: what to look at, what to use, nearly the answer."""
    from tulle_learn import screen

    course = _course()
    lesson = course.chosen(word)
    course.keep(course.progress.with_hint(lesson))
    click.echo(screen.hint(lesson, course.progress.hints_seen(lesson), f"tulle learn hint {lesson.number} again"))


@learn.command("reset")
@_word
def reset_command(word: str) -> None:
    """Begin a lesson anew. Your files are kept in a backup."""
    from tulle_learn import screen, work
    from tulle_learn.progress import state_folder

    course = _course()
    lesson = course.chosen(word)
    kept = work.reset(lesson, state_folder() / "backups")
    course.keep(course.progress.without(lesson))
    click.echo(f"your files are in {kept}" if kept else "there was nothing to keep")
    click.echo(screen.introduce(lesson))


@learn.command("solution")
@_word
def solution_command(word: str) -> None:
    """Show our solution of a lesson that you have passed."""
    from tulle_learn.loop import solution

    course = _course()
    lesson = course.chosen(word)
    if not course.progress.has_passed(lesson):
        fix = f"tulle learn hint {lesson.number}"
        raise LearnError(f"lesson {lesson.number} is not passed yet", "the solution is shown afterwards", fix)
    click.echo(solution(lesson))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def lessons() -> None:
    """For those who write lessons: verify them, begin a new one."""


@lessons.command("lint")
def lint_command() -> None:
    """The form of every lesson, without running any."""
    from tulle_learn import form, lesson

    found = lesson.read_all(lesson.find_folder())
    problems = [problem for one in found for problem in form.problems(one)]
    for problem in problems:
        click.echo(problem)
    click.echo(f"{len(found)} lessons, {len(problems)} problems")
    sys.exit(1 if problems else 0)


@lessons.command("verify")
@click.argument("words", nargs=-1, metavar="[LESSON]...")
@click.option("--runs", default=1, show_default=True, help="How often each check is run; all must agree.")
@click.option("--wrong", is_flag=True, help="Also the wrong answers of wrong.toml: each must be caught.")
@click.option(
    "--on", type=click.Choice(["lab", "kind"]), default="lab", show_default=True,
    help="kind: on the cluster of kubectl's current context, for the lessons that make sense there.",
)  # fmt: skip
def verify_command(words: tuple[str, ...], runs: int, wrong: bool, on: str) -> None:
    """Every starter fails for the right reason, every solution passes; form, hints and links are right."""
    from tulle_learn import cluster, lesson, verify

    found = lesson.read_all(lesson.find_folder())
    chosen = [lesson.find(found, word) for word in words] or found
    if on == "kind":
        there = [one for one in chosen if one.settings.cluster]
        if words and there != chosen:
            names = ", ".join(str(one.number) for one in found if one.settings.cluster)
            raise LearnError("not every lesson makes sense on a cluster", fix=f"those that do: {names}")
        if why := cluster.missing():
            raise LearnError("there is no cluster to verify lessons on", why)
        chosen = there
    sys.exit(0 if verify.verify(chosen, runs=runs, wrong=wrong, say=click.echo, on=on) else 1)


@lessons.command("new")
@click.argument("number", type=click.IntRange(1, 99))
@click.argument("topic")
def new_command(number: int, topic: str) -> None:
    """Begin a lesson: lessons/NN-TOPIC with every file that the form asks for."""
    from tulle_learn import lesson, new

    folder = new.write(lesson.find_folder(), number, topic)
    click.echo(f"{folder}: write it, then: tulle lessons verify {number}")
