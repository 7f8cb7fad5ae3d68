"""A lesson as its files say it. Owns the folder's layout and reading it; refuses to know what a lab is.

lessons/NN-topic/
    README.md     "# N. Title", and the sections of form.py; "## Objectives" is the numbered list checks refer to
    hints.md      three layers under "## 1. ...", "## 2. ...", "## 3. ..."
    lesson.toml   how the exercise gets into the lab (Settings)
    exercise/     the starter; `tulle learn` copies it to lessons/mine/NN-topic and watches that
    solution/     the same files, with the gap filled
    lab.yaml      ordinary manifests
    check.py      def check(mesh: Mesh, see: See) -> None
    wrong.toml    plausible wrong answers, each with what the check must say of it (optional)
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tulle_learn.errors import LearnError

FOLDER = re.compile(r"(\d\d)-([a-z0-9]+(?:-[a-z0-9]+)*)")
MINE = "mine"
"""Folder beside the lessons that holds the learner's copies. Not in git."""


@dataclass(frozen=True)
class Failure:
    """How the starter fails: at which objective, and words that the failure's observation or meaning has."""

    objective: int
    says: str


@dataclass(frozen=True)
class Settings:
    """`lesson.toml`."""

    system: bool
    """Tulle's control plane and webhook are in the lab."""
    reload: tuple[str, ...]
    """What reads the exercise, as `namespace/deployment`: made anew when a file of it is saved."""
    apply: tuple[str, ...]
    """Files of the exercise that are manifests: applied when saved."""
    config_map: str
    """`namespace/name` of a ConfigMap that holds the exercise's files, for programs in pods; empty for none."""
    install: str
    """A distribution in the exercise's folder that the learner makes: installed with pip, not only found."""
    cluster: bool
    """The check makes sense on a Kubernetes cluster, too: `tulle lessons verify --on kind`."""
    starter_fails: Failure
    minutes: int


@dataclass(frozen=True)
class Wrong:
    """A plausible wrong answer: the solution with `find` replaced (or a whole file), and what the check must say."""

    what: str
    file: str
    find: str
    replace: str
    objective: int
    says: str


@dataclass(frozen=True)
class Lesson:
    """One lesson. `folder` exists; the texts are read when asked for."""

    folder: Path
    number: int
    topic: str
    title: str
    objectives: tuple[str, ...]
    hints: tuple[str, ...]
    settings: Settings

    @property
    def name(self) -> str:
        """The folder's name: "08-balancing"."""
        return self.folder.name

    @property
    def mine(self) -> Path:
        """Where the learner's copy of the exercise is."""
        return self.folder.parent / MINE / self.name

    @property
    def exercise(self) -> Path:
        """The starter."""
        return self.folder / "exercise"

    @property
    def solution(self) -> Path:
        """The worked answer."""
        return self.folder / "solution"

    def wrong(self) -> list[Wrong]:
        """Plausible wrong answers; none when there is no wrong.toml."""
        path = self.folder / "wrong.toml"
        if not path.exists():
            return []
        return [_wrong(table, path) for table in tomllib.loads(path.read_text()).get("answer", [])]


def _wrong(table: dict[str, Any], path: Path) -> Wrong:
    try:
        return Wrong(**table)
    except TypeError as error:
        raise LearnError(f"{path}: {error}", fix="what, file, find, replace, objective, says") from None


def find_folder(start: Sequence[Path] = ()) -> Path:
    """The `lessons` folder above the working directory, else above this file. Raises LearnError."""
    places = [*start, Path.cwd(), Path(__file__).resolve().parent]
    for place in (parent for begin in places for parent in (begin, *begin.parents)):
        folder = place / "lessons"
        if folder.is_dir() and any(FOLDER.fullmatch(entry.name) for entry in folder.iterdir()):
            return folder
    raise LearnError(
        "the lessons are not here", f"there is no lessons/NN-topic above {Path.cwd()}", "run it in a clone of Tulle"
    )


def read_all(folder: Path) -> list[Lesson]:
    """Every lesson of the folder, by number. Raises LearnError naming the file that is wrong."""
    found = [read(entry) for entry in sorted(folder.iterdir()) if entry.is_dir() and FOLDER.fullmatch(entry.name)]
    numbers = [lesson.number for lesson in found]
    if len(set(numbers)) < len(numbers):
        raise LearnError(f"two lessons in {folder} have the same number", ", ".join(lesson.name for lesson in found))
    return found


def find(lessons: Sequence[Lesson], word: str) -> Lesson:
    """The lesson that `4`, `04`, `detection` or `04-detection` means. Raises LearnError."""
    for lesson in lessons:
        if word in (lesson.name, lesson.topic) or (word.isdigit() and int(word) == lesson.number):
            return lesson
    raise LearnError(f"there is no lesson {word}", fix=f"one of {', '.join(str(one.number) for one in lessons)}")


def read(folder: Path) -> Lesson:
    """One lesson. Raises LearnError."""
    match = FOLDER.fullmatch(folder.name)
    if match is None:
        raise LearnError(f"{folder} is not a lesson's folder", fix="name it NN-topic, such as 08-balancing")
    readme = _text(folder / "README.md")
    title = re.match(r"# (\d+)\. (.+)\n", readme)
    if title is None or int(title[1]) != int(match[1]):
        raise LearnError(f"{folder / 'README.md'} does not begin with its title", fix=f"# {int(match[1])}. Title")
    return Lesson(
        folder,
        int(match[1]),
        match[2],
        title[2],
        objectives(readme),
        hints(_text(folder / "hints.md")),
        _settings(folder / "lesson.toml"),
    )


def section(text: str, heading: str) -> str:
    """What stands under `## heading`; empty when it is not there."""
    match = re.search(rf"^## {re.escape(heading)}[^\n]*\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return match[1].strip() if match else ""


def objectives(readme: str) -> tuple[str, ...]:
    """The numbered list under "## Objectives", each on one line."""
    return tuple(match[1] for match in re.finditer(r"^\d+\. (.+)$", section(readme, "Objectives"), re.MULTILINE))


def hints(text: str) -> tuple[str, ...]:
    """The layers of hints.md, in order."""
    parts = re.split(r"^## \d\. [^\n]*\n", text, flags=re.MULTILINE)
    return tuple(part.strip("\n").rstrip() for part in parts[1:])  # code keeps its first line's indentation


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise LearnError(f"{path} cannot be read", error.strerror or "") from None


def _settings(path: Path) -> Settings:
    try:
        table = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise LearnError(f"{path} is not TOML", str(error)) from None
    known = {"system", "reload", "apply", "config_map", "install", "cluster", "starter_fails", "minutes"}
    if unknown := set(table) - known:
        raise LearnError(f"{path} has {', '.join(sorted(unknown))}", fix=f"there are {', '.join(sorted(known))}")
    try:
        return Settings(
            system=bool(table.get("system", True)),
            reload=tuple(table.get("reload", ())),
            apply=tuple(table.get("apply", ())),
            config_map=str(table.get("config_map", "")),
            install=str(table.get("install", "")),
            cluster=bool(table.get("cluster", False)),
            starter_fails=Failure(**table["starter_fails"]),
            minutes=int(table["minutes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LearnError(f"{path}: {error!r}", fix="starter_fails = {objective, says} and minutes are needed") from None
