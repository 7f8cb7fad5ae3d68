"""The package does no I/O and knows no time: what it may import is checked where it is written."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import tulle_data_plane.wire
from tulle_data_plane.wire.errors import REASONS

FILES = sorted(Path(tulle_data_plane.wire.__file__).parent.glob("*.py"))
MAY_IMPORT = {
    "__future__", "collections", "dataclasses", "enum", "functools", "http", "operator", "re", "tulle_plugin_api",
    "typing",
}  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_imports_nothing_that_does_io(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            assert name.split(".")[0] in MAY_IMPORT or name.startswith("tulle_data_plane.wire."), name


def test_every_reason_is_raised_and_every_raise_has_a_reason():
    strings = {
        node.value
        for path in FILES
        if path.name != "errors.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(REASONS) <= strings
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ProtocolError":
                reason = node.args[0]
                assert not isinstance(reason, ast.Constant) or reason.value in REASONS
