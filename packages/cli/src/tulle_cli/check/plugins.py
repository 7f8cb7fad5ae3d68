"""Do the installed plugins and command entry points load? And the checks that plugins bring themselves."""

from __future__ import annotations

from tulle_plugin_api import Check, CheckResult, Plugins

from tulle_cli import registry
from tulle_cli.check.model import Section, check, failed, passed, warned
from tulle_cli.errors import CliError

CATEGORY = "plugins"


def section(plugins: Plugins) -> Section:
    """The checks of this module; `plugins` as loaded."""
    return Section(
        CATEGORY,
        [
            check(CATEGORY, "every plugin loads", lambda: _load(plugins)),
            check(CATEGORY, "every added command loads", _commands),
        ],
    )


def brought(plugins: Plugins, *, before: bool) -> list[Section]:
    """The `tulle_checks` of plugins, one section a category; with `before`, only those that make sense then."""
    by_category: dict[str, list[Check]] = {}
    for item in plugins.checks:
        if item.before or not before:
            by_category.setdefault(item.category, []).append(item)
    return [Section(name, checks, waits=not before) for name, checks in by_category.items()]


def _load(plugins: Plugins) -> CheckResult:
    if not plugins.failures:
        return passed(f"{len(plugins.infos)} plugins")
    return failed(
        "\n".join(f"{info.name} {info.version} of {info.source}: {info.error}" for info in plugins.failures),
        "the others work without it; fix it, or pip uninstall it; `tulle plugins list` shows all",
    )


def _commands() -> CheckResult:
    problems = []
    added = [command for command in registry.known().values() if command.entry is not None]
    for command in added:
        try:
            command.load()
        except CliError as error:
            problems.append(f"{command.name} of {command.source}: {error.why}")
    if problems:
        return failed("\n".join(problems), "every other command works without it; fix it, or pip uninstall it")
    if registry.shadowed():
        return warned(
            f"out of reach, because the name is taken: {', '.join(registry.shadowed())}",
            "rename the entry point in its distribution",
        )
    return passed(", ".join(command.name for command in added))
