"""The Tiltfile, run by a Starlark interpreter with Tilt's functions recorded. Runs nothing that it names."""

from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import starlark

ROOT = Path(__file__).parents[1]
ACTIONS = (
    "allow_k8s_contexts", "docker_build", "k8s_resource", "k8s_yaml", "kustomize", "local_resource",
)  # fmt: skip
STEPS = ("run", "sync")
"""Of live_update: what they were given is handed on, as ["sync", from, to]."""


@dataclass(frozen=True)
class Called:
    """function -> [(arguments, keywords), ...], in their order."""

    by: dict = field(default_factory=lambda: {name: [] for name in ACTIONS})

    def __getitem__(self, name):
        return self.by[name]

    def named(self, name):
        """The calls whose first argument is a name: name -> keywords, with the second argument as `second`."""
        return {
            arguments[0]: {**keywords, "second": arguments[1] if len(arguments) > 1 else None}
            for arguments, keywords in self.by[name]
        }


def evaluate(folder=ROOT):
    """What folder/Tiltfile called."""
    called, module = Called(), starlark.Module()

    def recorder(name):
        def record(*arguments, **keywords):
            called.by[name].append((arguments, keywords))
            return f"{name}({arguments[0]})"

        return record

    def step(name):
        return lambda *arguments: [name, *arguments]

    for name in ACTIONS:
        module.add_callable(name, recorder(name))
    for name in STEPS:
        module.add_callable(name, step(name))
    module["TRIGGER_MODE_MANUAL"] = "manual"
    # Tilt's dialect has `for` at the top level
    dialect = starlark.Dialect.extended()
    dialect.enable_top_level_stmt = True
    tree = starlark.parse("Tiltfile", (folder / "Tiltfile").read_text(), dialect=dialect)
    starlark.eval(module, tree, starlark.Globals.extended_by([]))
    return called


def ignored(path, patterns):
    """Whether a relative path is left out by patterns like "**/tests" (of .dockerignore's those that we use)."""
    assert all(each.startswith("**/") for each in patterns)
    return any(fnmatch(part, each.removeprefix("**/")) for part in Path(path).parts for each in patterns)


def within(path, folders):
    """Whether a relative path is one of `folders`, or lies in one."""
    return any(Path(path).is_relative_to(each) for each in folders)
