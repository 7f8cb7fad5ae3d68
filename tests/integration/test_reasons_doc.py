"""docs/reasons.md and `tulle explain` know every reason in the code, with its status, and none that is not there."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
import tulle_data_plane
from tulle_cli.reasons import BY_SLUG, CONNECTION, REASONS
from tulle_data_plane.errors import STATUS
from tulle_plugin_api import Failure

ROOT = Path(__file__).parents[2]
SOURCES = (
    *ROOT.glob("packages/data-plane/src/**/*.py"),
    *ROOT.glob("plugins/policies/*/src/**/*.py"),
    ROOT / "packages/plugin-api/src/tulle_plugin_api/flows.py",  # says "aborted"
)


def classes() -> set[str]:
    """The reason of every class of failure."""
    for module in pkgutil.walk_packages(tulle_data_plane.__path__, "tulle_data_plane."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, todo = set(), [Failure]
    while todo:
        kind = todo.pop()
        if kind.__module__.startswith("tulle_"):
            found.add(kind.reason)
        todo += kind.__subclasses__()
    return found


class Slugs(ast.NodeVisitor):
    """Reasons in one file: `reason="x"`, `reason = "x"`, `Refused(503, "x")`, `ProtocolError("x")`, defaults."""

    def __init__(self, tree: ast.Module) -> None:
        self.constants = {
            target.id: node.value.value
            for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets if isinstance(target, ast.Name)
        }  # fmt: skip
        self.found: set[str] = set()
        self.statuses: dict[str, int] = {}
        self.visit(tree)

    def value(self, node: ast.AST) -> str | None:
        found = self.constants.get(node.id) if isinstance(node, ast.Name) else getattr(node, "value", None)
        return found if isinstance(found, str) and found else None

    def add(self, node: ast.AST) -> str | None:
        for one in (node.body, node.orelse) if isinstance(node, ast.IfExp) else (node,):
            if slug := self.value(one):
                self.found.add(slug)
        return self.value(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        for keyword in node.keywords:
            if keyword.arg == "reason" and name != "count":  # a counter's label says why of something else
                self.add(keyword.value)
        if name == "Refused" and len(node.args) > 1:
            slug = self.add(node.args[1])
            if slug and isinstance(node.args[0], ast.Constant):
                self.statuses[slug] = node.args[0].value
        if name == "ProtocolError" and node.args:
            self.add(node.args[0])
        if name == "getattr" and len(node.args) == 3 and self.value(node.args[1]) == "reason":
            self.add(node.args[2])
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if any(getattr(target, "id", getattr(target, "attr", "")) == "reason" for target in node.targets):
            self.add(node.value)
        self.generic_visit(node)

    def visit_Tuple(self, node: ast.Tuple) -> None:
        if len(node.elts) == 2 and self.value(node.elts[0]) == "tulle-reason":
            self.add(node.elts[1])
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        if self.value(node.body) == "aborted":  # flows.reason_of
            self.add(node.body)
        self.generic_visit(node)


SCANNED = {path: Slugs(ast.parse(path.read_text())) for path in SOURCES}


def in_code() -> set[str]:
    scanned = {slug for one in SCANNED.values() for slug in one.found}
    return scanned | classes() | set(STATUS)


def test_the_scanner_sees_what_it_should():
    found = Slugs(ast.parse(
        'X = "named"\nraise Refused(429, "r")\nraise Refused(503, X)\nreason = "a" if y else "b"\n'
        'say(reason="kw")\ngetattr(e, "reason", "fallback")\nHeaders.of([("tulle-reason", X)])\nProtocolError("p")\n'
        'runtime.count("ejections_total", reason="label")\n'
    ))  # fmt: skip
    assert found.found == {"r", "named", "a", "b", "kw", "fallback", "p"}
    assert found.statuses == {"r": 429, "named": 503}


def test_every_reason_in_the_code_has_its_row_and_the_other_way_round():
    assert in_code() - set(BY_SLUG) == set(), "add rows to tulle_cli/reasons.py, then scripts/reasons"
    assert set(BY_SLUG) - in_code() == set(), "no proxy says these any more: take their rows out"


@pytest.mark.parametrize("row", REASONS, ids=lambda row: row.slug)
def test_statuses_are_those_of_the_code(row):
    policies = {slug: status for one in SCANNED.values() for slug, status in one.statuses.items()}
    if row.group == CONNECTION:
        assert row.status is None
    elif row.slug in STATUS:
        assert row.status == STATUS[row.slug][0]
    elif row.slug in policies:
        assert row.status == policies[row.slug]
    else:
        assert row.slug in ("refused", "fault", "cors-preflight", "redirect", "external-policy")


def test_the_page_is_what_the_module_says():
    subprocess.run([sys.executable, ROOT / "scripts/reasons", "--check"], check=True)
