"""docs/exporters.md and the exporters' READMEs name every setting that there is, and none that is not."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from tulle_data_plane.settings import Settings, from_environment
from tulle_plugin_api import ExporterContext, load

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "docs/exporters.md").read_text().splitlines()
ROWS = [line.split("|") for line in LINES if line.startswith("| `TULLE_")]
TABLE = {cells[1].strip(" `"): cells[2].strip() for cells in ROWS}  # variable -> default
EXPORTERS = load(kinds=("exporter",)).exporters


def known(name):
    """The options that an exporter knows, by its own error message."""
    with pytest.raises(ValueError, match="unknown option") as refused:
        EXPORTERS[name](ExporterContext(options={"zzzzzzzz": ""}))
    return {option.strip() for option in str(refused.value).partition("known options: ")[2].split(",")}


def variable(name, option):
    return f"TULLE_EXPORTER_{name}_{option}".upper().replace("-", "_")


def test_every_setting_is_in_the_table_and_nothing_else():
    expected = {variable(name, option) for name in EXPORTERS for option in known(name)}
    assert {row for row in TABLE if row.startswith("TULLE_EXPORTER_")} == expected
    assert {row for row in TABLE if not row.startswith("TULLE_EXPORTER_")} == {
        "TULLE_EXPORTERS", "TULLE_TRACE_SAMPLE", "TULLE_TRACE_FORMAT",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(EXPORTERS))
def test_its_own_readme_names_its_settings(name):
    text = (ROOT / "plugins/exporters" / name / "README.md").read_text()
    start = variable(name, "")
    rows = {row.removeprefix(start).lower() for row in re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE)}
    assert {row for row in rows if not row.startswith("tulle_")} == known(name)


@pytest.mark.parametrize("name", sorted(EXPORTERS))
def test_the_defaults_in_the_table_are_the_defaults(name):
    """Each is given as the table says it: it must be understood."""
    rows = {row: re.search("`(.*?)`", value) for row, value in TABLE.items() if row.startswith(variable(name, ""))}
    environment = {row: match[1] for row, match in rows.items() if match}
    options = from_environment(environment).exporter_options[name]
    EXPORTERS[name](ExporterContext(options=options))


def test_the_proxys_own_defaults():
    defaults = {field.name: field.default for field in fields(Settings)}
    assert TABLE["TULLE_EXPORTERS"] == f"`{','.join(defaults['exporters'])}`"
    assert TABLE["TULLE_TRACE_SAMPLE"] == f"`{defaults['trace_sample']}`"
    assert TABLE["TULLE_TRACE_FORMAT"] == f"`{defaults['trace_format']}`"
