"""The form of a lesson: what every one has, so that a learner finds it where it was in the last one. Pure but reading.

Owns the rules below; `tulle lessons lint`, `tulle lessons verify` and a test of this package apply them.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tulle_learn import stage
from tulle_learn.lesson import Lesson
from tulle_learn.progress import LAYERS

SECTIONS = (
    "What you will see",
    "Why meshes need it",
    "Where it lives",
    "Objectives",
    "What is left out",
)
MOST_WORDS = 1500
"""Ten minutes of reading, pictures and code not counted."""
GAP = range(3, 61)
"""Lines of the solution that the starter does not have. The issue's 5 to 40, with room for comments."""

_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
_COMMAND = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?tulle ([a-z]+)(?: ([a-z]+))?", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_SOLUTION = re.compile(r"solution/|\b(?:import|from)\s+\S*solution")
_NAMED = re.compile(r"\[`([A-Za-z_][A-Za-z0-9_.]*)`[^\]]*\]\(([^)#\s]+\.py)\)")


def problems(lesson: Lesson) -> list[str]:
    """One sentence each, beginning with the file; empty when all is well."""
    return [f"{lesson.name}/{text}" for text in (
        *_layout(lesson), *_readme(lesson), *_hints(lesson), *_gap(lesson), *_check(lesson), *_reach(lesson)
    )]  # fmt: skip


def _layout(lesson: Lesson) -> list[str]:
    wanted = ("lab.yaml", "check.py", "exercise", "solution")
    found = [f"{name}: there is none" for name in wanted if not (lesson.folder / name).exists()]
    if not 5 <= lesson.settings.minutes <= 120:
        found.append("lesson.toml: minutes: 5 to 120")
    if not 1 <= lesson.settings.starter_fails.objective <= len(lesson.objectives):
        found.append("lesson.toml: starter_fails.objective: one of the README's objectives")
    return found


def _readme(lesson: Lesson) -> list[str]:
    text = (lesson.folder / "README.md").read_text(encoding="utf-8")
    found = [
        f"README.md: no section '## {name}'" for name in SECTIONS if not re.search(rf"^## {name}", text, re.MULTILINE)
    ]
    if not lesson.objectives:
        found.append("README.md: '## Objectives' has no numbered list")
    words = len(_FENCE.sub("", text).split())
    if words > MOST_WORDS:
        found.append(f"README.md: {words} words; {MOST_WORDS} are ten minutes")
    if not any(re.search(r"[─│┌>|]", block) for block in _FENCE.findall(text)):
        found.append("README.md: no picture (a text drawing in a code block)")
    for link in _LINK.findall(text):
        if ":" not in link and not (lesson.folder / link).exists():
            found.append(f"README.md: the link {link} leads nowhere")
        if "solution" in Path(link).parts:
            found.append(f"README.md: links to the solution ({link}), which is shown after passing")
    for name, link in _NAMED.findall(text):
        path = lesson.folder / link
        if path.exists() and not defines(path.read_text(encoding="utf-8"), name):
            found.append(f"README.md: {link} has no {name}")
    return found + [f"README.md: there is no command `tulle {word}`" for word in _unknown_commands(text)]


def defines(source: str, name: str) -> bool:
    """Whether a module defines `name` (`function`, `Class`, `Class.method`, `CONSTANT`)."""
    body: list[ast.stmt] = ast.parse(source).body
    first, *rest = name.split(".")
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == first:
            if not rest:
                return True
            return any(getattr(inner, "name", "") == rest[0] for inner in node.body)
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if not rest and any(isinstance(target, ast.Name) and target.id == first for target in targets):
            return True
    return False


def _unknown_commands(text: str) -> list[str]:
    """Of the `tulle WORD` lines in code blocks, those that no installed distribution brings."""
    try:
        from tulle_cli.registry import known
    except ImportError:  # the commands are not installed: nothing to hold them to
        return []
    blocks = "\n".join(_FENCE.findall(text))
    return sorted({match[1] for match in _COMMAND.finditer(blocks)} - set(known()))


def _hints(lesson: Lesson) -> list[str]:
    if len(lesson.hints) != LAYERS or not all(lesson.hints):
        return [f"hints.md: {len(lesson.hints)} layers; {LAYERS}, under '## 1. ...', '## 2. ...' and '## 3. ...'"]
    return []


def _gap(lesson: Lesson) -> list[str]:
    starter, answer = stage.files(lesson.exercise), stage.files(lesson.solution)
    made = lesson.settings.install  # the learner makes this folder: nothing of it is there at first
    extra = sorted(name for name in set(answer) - set(starter) if not made or name.split("/")[0] != made)
    found = [f"solution/{name}: the exercise has no such file" for name in extra]
    found += [f"exercise/{name}: the solution has no such file" for name in sorted(set(starter) - set(answer))]
    new = sum(
        len(set(answer[name].splitlines()) - set(starter[name].splitlines())) for name in answer if name in starter
    )
    if new not in GAP and not made:
        found.append(f"solution: {new} lines that the exercise does not have; {GAP.start} to {GAP.stop - 1}")
    for kind, texts in (("exercise", starter), ("solution", answer)):
        wrong = stage.problem(texts)
        if wrong is not None:
            found.append(f"{kind}: {wrong.what}: {wrong.observed}")
    if not any("TODO" in text for text in starter.values()):
        found.append("exercise: nothing says TODO")
    if any("TODO" in text for text in answer.values()):
        found.append("solution: says TODO")
    return found


def _check(lesson: Lesson) -> list[str]:
    path = lesson.folder / "check.py"
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    found = [] if defines(text, "check") else ["check.py: no function check(mesh, see)"]
    if re.search(r"\bsleep\(", text):
        found.append("check.py: sleeps; wait for what is to happen (mesh.until)")
    touched = {int(number) for number in re.findall(r"\bsee\(\s*(\d+)", text)}
    missing = set(range(1, len(lesson.objectives) + 1)) - touched
    found += [f"check.py: nothing is looked at for objective {number}" for number in sorted(missing)]
    found += [
        f"check.py: there is no objective {number}"
        for number in sorted(touched - missing)
        if number > len(lesson.objectives)
    ]
    return found


def _reach(lesson: Lesson) -> list[str]:
    """No solution is reachable from the exercise: not by a link, an import or a path."""
    found = []
    for path in sorted(lesson.exercise.rglob("*")):
        name = path.relative_to(lesson.folder)
        if path.is_symlink():
            found.append(f"{name}: is a link; the stage copies files only")
        elif path.is_file() and path.suffix in stage.KEPT and _SOLUTION.search(path.read_text(encoding="utf-8")):
            found.append(f"{name}: refers to the solution")
    return found
