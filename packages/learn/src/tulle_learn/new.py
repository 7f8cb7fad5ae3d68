"""`tulle lessons new NN TOPIC`: every file that the form asks for, as a lesson that runs and says what to write.

Owns the templates. The new lesson is a balancer's, since that is the smallest plugin; its README says what to replace.
"""

from __future__ import annotations

from pathlib import Path

from tulle_learn.errors import LearnError
from tulle_learn.lesson import FOLDER

README = """# {number}. {topic}

One sentence: what the learner makes, and what changes when it works.

```
  client ──> the part ──> server        (replace this drawing)
```

## What you will see

Two or three paragraphs: a command to try before, and what it shows; the same command afterwards.

## Why meshes need it

What goes wrong without it, in somebody's production.

## Where it lives

Links to the files of this repository that do it, and the names in them.

## Objectives

1. Requests go to each endpoint in turn.

## What is left out

What was simplified, and what a production mesh does.
"""

HINTS = """## 1. What to look at

...

## 2. What to use

...

## 3. Nearly the answer

...
"""

TOML = """minutes = 30
reload = ["demo/client"]
starter_fails = {objective = 1, says = "one pod"}
"""

PYPROJECT = """[project]
name = "lesson-{topic}"
version = "0.1.0"
dependencies = ["tulle-plugin-api"]

[project.entry-points.tulle]
balancer-lesson = "lesson_balancer"
"""

PLUGIN = '''"""A balancer: each endpoint in turn."""

from tulle_plugin_api import Balancer, hookimpl


class LessonBalancer(Balancer):
    """One instance for each Service and proxy."""

    def __init__(self, config, runtime):
        """`config`: what stands beside `name` in the MeshPolicy."""
        self.turn = 0

    def pick(self, endpoints, exchange):
        """The endpoint that gets this request."""
{body}

@hookimpl
def tulle_balancers():
    """The balancer `lesson`."""
    return {{"lesson": LessonBalancer}}
'''

CHECK = '''"""Lesson {number}: what is looked at, in one sentence."""

from tulle_learn.answers import shares
from tulle_learn.mesh import Mesh
from tulle_learn.verdict import See


def check(mesh: Mesh, see: See) -> None:
    """`see(objective, what, observed, expected, holds, meaning)`; the first that does not hold ends it."""
    counts = mesh.http("http://server/", 60).count(lambda one: one.pod)
    see(1, "shares of 60 requests", shares(counts), "20 each", sorted(counts.values()) == [20, 20, 20],
        "one pod has all the work" if len(counts) == 1 else "not in turn")
'''


def write(lessons: Path, number: int, topic: str) -> Path:
    """The new folder. Raises LearnError when the name is none, or the number is taken."""
    folder = lessons / f"{number:02}-{topic}"
    if not FOLDER.fullmatch(folder.name):
        raise LearnError(f"{topic!r} is not a topic", fix="small letters, digits and hyphens: rate-limits")
    taken = [entry.name for entry in lessons.iterdir() if entry.name.startswith(f"{number:02}-")]
    if taken:
        raise LearnError(f"lesson {number} is there: {taken[0]}", fix="another number")
    words = {"number": number, "topic": topic}
    starter = "        # TODO: in turn\n        return endpoints[0]\n"
    answer = (
        "        chosen = endpoints[self.turn % len(endpoints)]\n        self.turn += 1\n"
        "        return chosen  # the next request gets the next one\n"
    )
    texts = {
        "README.md": README.format(**words),
        "hints.md": HINTS,
        "lesson.toml": TOML,
        "check.py": CHECK.format(**words),
        "lab.yaml": (Path(__file__).parent / "new-lab.yaml").read_text(encoding="utf-8"),
        "exercise/pyproject.toml": PYPROJECT.format(**words),
        "solution/pyproject.toml": PYPROJECT.format(**words),
        "exercise/lesson_balancer.py": PLUGIN.format(body=starter),
        "solution/lesson_balancer.py": PLUGIN.format(body=answer),
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder
