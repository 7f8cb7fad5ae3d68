"""docs/examples: each plugin is built and installed by the real installer, found, and passes its own tests.

Into a folder of its own, which only these processes see; nothing is downloaded.
"""

import ast
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml
from tulle_plugin_api import load
from tulle_plugin_api.meshpolicy import validate

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs/examples"
DISTRIBUTIONS = sorted(path.parent for path in EXAMPLES.glob("*/pyproject.toml"))
SCRIPTS = Path(sysconfig.get_path("scripts"))

pytestmark = pytest.mark.skipif(not (SCRIPTS / "uv").exists(), reason="uv is not installed here")


def run(*words, cwd, **environment):
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with all of them installed."""
    folder = tmp_path_factory.mktemp("site")
    run(
        SCRIPTS / "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation",
        "--python", sys.executable, "--target", folder, *DISTRIBUTIONS, cwd=folder,
    )  # fmt: skip
    return folder


def test_there_is_one_of_each_kind():
    assert [path.name.partition("-")[0] for path in DISTRIBUTIONS] == ["balancer", "catalog", "exporter", "policy"]


def test_they_are_found_and_loaded(site):
    rows = json.loads(run(SCRIPTS / "tulle", "plugins", "list", "-o", "json", cwd=site, PYTHONPATH=str(site)))
    names = {path.name for path in DISTRIBUTIONS}
    found = {row["name"]: row for row in rows if row["source"].removeprefix("tulle-") in names}
    assert sorted(found) == [path.name for path in DISTRIBUTIONS]
    assert {(row["state"], row["error"]) for row in found.values()} == {("loaded", "")}


def test_their_own_tests_pass(site):
    folders = [path / "tests" for path in DISTRIBUTIONS]
    words = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", EXAMPLES, "--import-mode=importlib")
    said = run(sys.executable, "-m", "pytest", *words, "-rA", *folders, cwd=site, PYTHONPATH=str(site))
    for folder in DISTRIBUTIONS:
        assert f"{folder.name}/tests/test_contract.py" in said


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda path: path.name)
def test_it_imports_the_contract_alone_and_what_it_declares(folder):
    declared = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]
    own = {path.name for path in (folder / "src").iterdir()}
    allowed = {name.replace("-", "_") for name in declared} | set(sys.stdlib_module_names) | own
    for file in (folder / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= allowed, f"{file}: {names}"


def test_policies_in_their_documents_are_accepted(site):
    sys.path.insert(0, str(site))
    try:
        plugins = load()
    finally:
        sys.path.remove(str(site))
    shown = [
        yaml.safe_load(block.partition("```")[0])
        for readme in EXAMPLES.glob("*/README.md")
        for block in readme.read_text().split("```yaml\n")[1:]
    ]
    assert {policy["spec"]["type"] for policy in shown} == {"balancer", "deadline"}
    for policy in shown:
        assert validate(policy, plugins.policies, plugins.balancers) == []
