"""docs/conformance.md is true: each test that it names exists, and each test has a row."""

import re
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = (HERE.parents[1] / "docs/conformance.md").read_text()


def test_every_test_has_a_row_and_every_row_a_test():
    named = re.findall(r"\| (test_\w+\.py::test_\w+) \|", DOCUMENT)
    there = [
        f"{file.name}::{name}"
        for file in sorted(HERE.glob("test_*.py"))
        if file.name != Path(__file__).name
        for name in re.findall(r"^async def (test_\w+)", file.read_text(), re.MULTILINE)
    ]
    assert sorted(named) == sorted(there)
    assert len(named) == len(set(named))


def test_every_other_row_says_why():
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| ") and not line.startswith("| feature")]
    without = [row for row in rows if "::" not in row]
    assert all("waits for" in row or "refused by name" in row for row in without), without


def test_every_test_says_what_it_proves_or_its_file_does():
    for file in HERE.glob("test_*.py"):
        assert file.read_text().startswith('"""'), file
