"""Tulle's plug-in: lines for `tulle check` about what the lab needs of this machine.

The commands come by another door, the entry point `lab` in the group "tulle.commands".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tulle_plugin_api import Check, CheckResult, hookimpl

from tulle_lab.launch.requirements import CHECKS, Missing


@hookimpl
def tulle_checks() -> Sequence[Check]:
    """One line for each requirement."""
    return [Check("lab", text, _run(check)) for text, check in CHECKS.items()]


def _run(check: Callable[[], Missing | None]) -> Callable[[], CheckResult]:
    def run() -> CheckResult:
        missing = check()
        return CheckResult(True) if missing is None else CheckResult(False, missing.what, missing.fix)

    return run
