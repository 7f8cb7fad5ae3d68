"""The exercise as the lab's programs see it: a folder of its own, made anew from one source at each save.

Owns three things: nothing that cannot even be parsed gets in (the message names line and mistake); a module with an
entry point in its pyproject.toml becomes an installed distribution, by the `.dist-info` that pip would write, and so
comes in by the same door as any plugin; and the stage never holds files of two sources, so that no solution is ever
beside an exercise.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tulle_learn.verdict import Mismatch, Observation

KEPT = (".py", ".toml", ".yaml", ".yml", ".md", ".json", ".txt", ".typed")


def files(source: Path) -> dict[str, str]:
    """Path in `source` -> text, of all that belongs to an exercise. Hidden files and caches do not."""
    found = {}
    for path in sorted(source.rglob("*")):
        parts = path.relative_to(source).parts
        if (
            path.is_file()
            and path.suffix in KEPT
            and not any(part[0] in "._" and part != "__init__.py" for part in parts)
        ):
            found["/".join(parts)] = path.read_text(encoding="utf-8", errors="surrogateescape")
    return found


def problem(texts: Mapping[str, str]) -> Observation | None:
    """The first file that cannot be parsed; None when all can."""
    for name, text in texts.items():
        try:
            if name.endswith(".py"):
                compile(text, name, "exec")
            elif name.endswith((".yaml", ".yml")):
                list(yaml.safe_load_all(text))
            elif name.endswith(".toml"):
                tomllib.loads(text)
        except SyntaxError as error:
            where = f"{name}, line {error.lineno}"
            return _unreadable(where, f"{error.msg}: {(error.text or '').strip()}")
        except (ValueError, yaml.YAMLError) as error:
            return _unreadable(name, str(error))
    return None


def _unreadable(where: str, why: str) -> Observation:
    return Observation(0, f"reading {where}", why, "a file that can be parsed", False, "The lab runs what it had.")


def fill(stage: Path, texts: Mapping[str, str]) -> None:
    """Make `stage` hold exactly `texts`, and the `.dist-info` of a pyproject.toml among them.

    Raises Mismatch when a file cannot be parsed; the stage is then as it was.
    """
    wrong = problem(texts)
    if wrong is not None:
        raise Mismatch(wrong)
    wanted = {**texts, **_dist_info(texts)}
    stage.mkdir(parents=True, exist_ok=True)
    for entry in list(stage.iterdir()):
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name not in wanted:
            entry.unlink()
    _write(stage, wanted)


def install(stage: Path, source: Path, name: str) -> None:
    """Make `stage` hold the distribution `source / name`, installed by pip, its source, and the files beside it.

    pip is asked when the distribution is new, or anything of it but its modules' text has changed. Otherwise the
    modules are written over those that pip put there: a wheel holds them as they are, and pip takes seconds.

    Nothing is downloaded. Raises Mismatch when there is no such distribution, or pip refuses it; the stage is then as
    it was.
    """
    texts = files(source)
    wrong = problem(texts)
    what = f"installing {name} with pip"
    if wrong is None and f"{name}/pyproject.toml" not in texts:
        _, kind, *words = name.split("-")
        meaning = f"`tulle plugins new {kind} {'-'.join(words)}`, in that folder, makes it."
        wrong = Observation(1, what, "there is none yet", f"the folder {name} beside use-it.yaml", False, meaning)
    if wrong is not None:
        raise Mismatch(wrong)
    src = f"{name}/src/"
    modules = {path.removeprefix(src): text for path, text in texts.items() if path.startswith(src)}
    marker, form = stage.parent / f"{stage.name}.installed", _form(texts, name)
    if marker.is_file() and marker.read_text() == form and all((stage / path).is_file() for path in modules):
        _write(stage, {**texts, **modules})
        return
    marker.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "target"
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index",
            "--no-build-isolation", "--target", str(target), str(source / name),
        ]  # fmt: skip
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if ran.returncode:
            said = "\n".join((ran.stderr or ran.stdout).strip().splitlines()[-8:])
            raise Mismatch(Observation(1, what, said, "it is installed", False, "Nobody else could install it either."))
        shutil.rmtree(stage, ignore_errors=True)
        shutil.copytree(target, stage)
    _write(stage, texts)
    marker.write_text(form)


def _form(texts: Mapping[str, str], name: str) -> str:
    """All that decides how pip installs `name`: its files' names, and the text of those that are not Python."""
    inside = {path: text for path, text in texts.items() if path.startswith(f"{name}/")}
    said = "\0".join(f"{path}\0{'' if path.endswith('.py') else text}" for path, text in sorted(inside.items()))
    return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()


def _write(stage: Path, texts: Mapping[str, str]) -> None:
    """The files, for everybody to read: the lab's programs are other users, whatever the learner's umask is."""
    for name, text in texts.items():
        path = stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
    for path in (stage, *stage.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _dist_info(texts: Mapping[str, str]) -> dict[str, str]:
    """METADATA and entry_points.txt (PyPA: "Recording installed projects", "Entry points specification")."""
    if "pyproject.toml" not in texts:
        return {}
    project: dict[str, Any] = tomllib.loads(texts["pyproject.toml"]).get("project", {})
    name, version = str(project.get("name", "exercise")), str(project.get("version", "0"))
    folder = f"{name.replace('-', '_')}-{version}.dist-info"
    groups: dict[str, dict[str, str]] = project.get("entry-points", {})
    points = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in table.items())
        for group, table in groups.items()
    ]
    return {
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{folder}/entry_points.txt": "\n".join(points),
    }
