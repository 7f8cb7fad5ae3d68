"""`tulle plugins list` and `new`: what is written passes its own tests at once, installed as pip would install it."""

import json
import os
import subprocess
import sys
import tomllib
from types import ModuleType

import pytest
from click.testing import CliRunner
from tulle_cli import scaffold
from tulle_cli.command import plugins as module
from tulle_plugin_api import hookimpl, load
from tulle_plugin_api.loader import PluginInfo, Plugins


def tulle(*words):
    return CliRunner().invoke(module.command, words)


# --- list -----------------------------------------------------------------------------------------------------------


INFOS = [
    PluginInfo("balancer-a", "1.0", "a", ["balancer a"]),
    PluginInfo("both", "1.0", "b", ["balancer b", "policy p"]),
    PluginInfo("policy-broken", "2.0", "c", error="ImportError: no\nmodule"),
    PluginInfo("checks-x", "1.0", "d", ["2 checks"]),
]


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(module, "load", lambda: Plugins(infos=INFOS))
    monkeypatch.setattr(module, "_commands", list)


def test_list_as_json_has_every_field(installed):
    rows = json.loads(tulle("list", "-o", "json").output)
    assert [set(row) for row in rows] == [
        {"name", "version", "kind", "provides", "source", "state", "error"}
    ] * 4  # fmt: skip
    assert [row["kind"] for row in rows] == ["balancer", "balancer, policy", "policy", "checks"]
    assert rows[2] == {
        "name": "policy-broken", "version": "2.0", "kind": "policy", "provides": [], "source": "c", "state": "failed",
        "error": "ImportError: no\nmodule",
    }  # fmt: skip


def test_list_as_a_table(installed):
    lines = [" ".join(line.split()) for line in tulle("list").output.splitlines()]
    assert lines == [
        "NAME VERSION KIND PROVIDES SOURCE STATE ERROR",
        "balancer-a 1.0 balancer a a loaded -",
        "both 1.0 balancer, policy balancer b, policy p b loaded -",
        "policy-broken 2.0 policy - c failed ImportError: no module",
        "checks-x 1.0 checks 2 checks d loaded -",
    ]


# --- new ------------------------------------------------------------------------------------------------------------


def install(folder, site):
    """What pip does, without pip: the modules, and the metadata that names entry points."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    lines = [f"{name} = {value}" for name, value in project["entry-points"]["tulle"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[tulle]", *lines, ""]))
    return {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{folder / 'src'}"}


@pytest.mark.parametrize("name", ["follow-the-sun-2", "contract"])
@pytest.mark.parametrize("kind", scaffold.KINDS)
def test_a_new_plugin_passes_at_once(kind, name, tmp_path):
    done = tulle("new", kind, name, "--into", str(tmp_path / "plugins"))
    assert done.exit_code == 0, done.output
    folder = tmp_path / "plugins" / f"tulle-{kind}-{name}"
    environment = install(folder, tmp_path / "site")
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=folder, env=environment,
        capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert tests.returncode == 0, tests.stdout[-5000:]
    assert "TestContract" not in tests.stdout
    assert int(tests.stdout.split(" passed")[0].split()[-1]) >= 6
    code = "import sys; from tulle_cli.main import main; sys.argv[0] = 'tulle'; main()"
    listed = subprocess.run(
        [sys.executable, "-c", code, "plugins", "list", "-o", "json"], env=environment, capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    row = next(row for row in json.loads(listed.stdout) if row["name"] == f"{kind}-{name}")
    assert (row["kind"], row["provides"], row["state"], row["error"]) == (kind, [f"{kind} {name}"], "loaded", "")
    assert (row["version"], row["source"]) == ("0.1.0", f"tulle-{kind}-{name}")


@pytest.mark.parametrize("name", ["none", "true", "config", "policy", "exchange", "x"])
@pytest.mark.parametrize("kind", scaffold.KINDS)
def test_no_name_is_a_word_of_python_or_of_the_contract(kind, name):
    code = scaffold.render(kind, name)[f"src/tulle_{kind}_{name}/__init__.py"]
    space = {"__name__": "plugin"}
    exec(compile(code, name, "exec"), space)
    assert load({"plugin": ModuleType("plugin")}).failures, "an empty one fails: so loading is a test"
    plugin = ModuleType("plugin")
    vars(plugin).update(space)
    info = next(info for info in load({"plugin": plugin}).infos if info.name == "plugin")
    assert (info.error, info.provides) == ("", [f"{kind} {name}"])


@pytest.mark.parametrize("kind", scaffold.KINDS)
def test_what_is_written_says_its_contract_and_has_no_holes(kind):
    texts = scaffold.render(kind, "follow-version")
    assert set(texts) == {
        "pyproject.toml", "README.md", f"src/tulle_{kind}_follow_version/__init__.py",
        f"src/tulle_{kind}_follow_version/py.typed", "tests/test_contract.py", f"tests/test_{kind}.py",
    }  # fmt: skip
    code = texts[f"src/tulle_{kind}_follow_version/__init__.py"]
    assert "\nTULLE_CONTRACT = 1\n" in code
    for path, text in texts.items():
        assert "$" not in text, path
        assert all(len(line) <= 120 for line in text.splitlines()), path
        assert text.endswith("\n") or path.endswith("py.typed")


@pytest.mark.parametrize(
    "name", ["", "Mine", "my_plugin", "-x", "x-", "x--y", "2fast", "../up", "a b", "é", "x" * 41, "x\n"]
)
def test_a_name_that_cannot_be_one(name, tmp_path):
    done = tulle("new", "balancer", "--into", str(tmp_path), "--", name)
    assert done.exit_code == 2
    assert "NAME" in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_kind_that_is_none(tmp_path):
    done = tulle("new", "balanser", "mine", "--into", str(tmp_path))
    assert done.exit_code == 2
    assert "balancer" in done.output


def test_nothing_is_overwritten(tmp_path):
    folder = tmp_path / "tulle-policy-mine"
    folder.mkdir()
    (folder / "README.md").write_text("mine")
    done = tulle("new", "policy", "mine", "--into", str(tmp_path))
    assert done.exit_code == 1
    assert "exists already" in done.output
    assert [path.name for path in folder.iterdir()] == ["README.md"]
    assert (folder / "README.md").read_text() == "mine"


def test_a_name_that_is_taken(tmp_path, monkeypatch):
    class Taken:
        @hookimpl
        def tulle_balancers(self):
            return {"taken": lambda config, runtime: None}

    monkeypatch.setattr(module, "load", lambda: load({"taken": Taken()}))
    done = tulle("new", "balancer", "taken", "--into", str(tmp_path))
    assert done.exit_code == 1
    assert "balancer 'taken' is installed already" in done.output
    assert tulle("new", "exporter", "taken", "--into", str(tmp_path)).exit_code == 0


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    done = tulle("new", "balancer", "mine", "--into", str(tmp_path / "file" / "below"))
    assert done.exit_code == 1
    assert "cannot be written" in done.output
