"""The root command: help without imports, entry points, suggestions, colour; and the commands that ask nobody."""

import json
import subprocess
import sys

import click
import pytest
import yaml
from click.testing import CliRunner
from tulle_cli import registry
from tulle_cli.errors import CliError
from tulle_cli.main import root

HEAVY = {
    "rich", "yaml", "msgspec", "pluggy", "tulle_plugin_api", "tulle_admission_controller", "tulle_init_container",
    "tulle_lab", "trio", "asyncio", "http.client", "ssl", "cryptography", "grpc", "tulle_cli.command.check",
}


def modules_after(*args):
    script = (
        "import sys\nfrom tulle_cli.main import root\n"
        f"try: root({list(args)!r}, prog_name='tulle')\nexcept SystemExit as e: code = e.code\n"
        "print('MODULES', *sorted(sys.modules)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return done.returncode, set(done.stdout.rpartition("MODULES")[2].split())


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["-h"]])
def test_help_imports_nothing_heavy(args):
    code, modules = modules_after(*args)
    assert code == 0
    assert modules & HEAVY == set()
    assert "tulle_cli.registry" in modules, "the test looks at the right process"


def test_a_command_imports_what_it_needs_and_no_other_command():
    _, modules = modules_after("stat", "--help")
    assert "http.client" in modules
    assert modules & {"rich", "yaml", "msgspec", "tulle_lab", "tulle_cli.command.check"} == set()


def test_every_built_in_loads_and_has_the_help_that_the_table_says(tulle):
    text = tulle("--help").output
    for item in registry.built_in():
        assert isinstance(item.load(), click.Command)
        assert f"  {item.name} " in text


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a distribution with entry points: a .dist-info folder on sys.path, as pip leaves it."""

    def install(name, entry_points, files=None, summary="What it does."):
        folder = tmp_path / "site"
        info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nSummary: {summary}\n")
        lines = "\n".join(f"{key} = {value}" for key, value in entry_points.items())
        (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{lines}\n")
        for path, text in (files or {}).items():
            (folder / path).write_text(text)
        monkeypatch.syspath_prepend(str(folder))

    # other tests' cache of commands
    monkeypatch.setattr(root, "known", property(lambda self: registry.known()), raising=False)
    root.__dict__.pop("known", None)
    yield install
    root.__dict__.pop("known", None)


GREET = "import click\n@click.command()\ndef greet():\n    click.echo('hello')\n"


def fresh():
    root.__dict__.pop("known", None)
    return CliRunner()


def test_a_command_from_an_entry_point(installed):
    installed("tulle-greet", {"greet": "cli_greet:greet"}, {"cli_greet.py": GREET})
    done = fresh().invoke(root, ["--help"])
    assert "greet " in done.output
    assert "What it does." in done.output
    assert "cli_greet" not in sys.modules, "help does not import it"
    assert fresh().invoke(root, ["greet"]).output == "hello\n"


def test_a_broken_entry_point_is_named_and_breaks_nobody(installed):
    installed("tulle-broken", {"broken": "cli_no_such_module:command", "odd": "json:dumps"})
    assert "broken" in fresh().invoke(root, ["--help"]).output
    done = fresh().invoke(root, ["broken"])
    assert done.exit_code == 1
    assert "the command 'broken' of tulle-broken cannot be loaded" in done.stderr
    assert "No module named 'cli_no_such_module'" in done.stderr
    assert "json:dumps is function, expected a click.Command" in fresh().invoke(root, ["odd"]).stderr
    assert fresh().invoke(root, ["version", "--client"]).exit_code == 0

    rows = json.loads(fresh().invoke(root, ["plugins", "list", "-o", "json"]).output)
    [row] = [row for row in rows if row["name"] == "broken"]
    assert (row["state"], row["source"]) == ("failed", "tulle-broken")
    assert "cli_no_such_module" in row["error"]


def test_a_built_in_wins_over_an_entry_point_and_check_says_so(installed):
    installed("tulle-thief", {"stat": "json:dumps"})
    assert registry.known()["stat"].entry is None
    assert registry.shadowed() == ["stat (tulle-thief)"]


def test_an_unknown_command_is_answered_with_the_nearest(tulle):
    done = tulle("edgse")
    assert done.exit_code == 2
    assert "did you mean 'edges'?" in done.stderr
    assert "`tulle --help` lists" in tulle("xyzzy").stderr


def test_errors_say_what_why_and_next(tulle):
    done = tulle("stat")
    assert done.exit_code == 1
    what, why, following = done.stderr.splitlines()
    assert what.startswith("Error: no control plane answers at unix:")
    assert why == "  why:  there is no such socket: no lab is running"
    assert following.startswith("  next: tulle lab up -f FILE")


def test_an_error_of_several_lines_stays_aligned():
    assert CliError("what", "one\ntwo").format_message() == "what\n  why:  one\n        two"


def test_no_color(tulle, tmp_path, monkeypatch):
    path = tmp_path / "a.yaml"
    path.write_text("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n")
    assert "\x1b[" in tulle("check", "-f", str(path), color=True).output
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in tulle("check", "-f", str(path), color=True).output


POD = """apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {containers: [{name: web, image: nginx%s}]}
---
apiVersion: v1
kind: Service
metadata: {name: é}
"""


def test_inject_from_stdin_to_stdout_with_the_report_on_stderr(tulle):
    done = tulle("inject", stdin=POD % "")
    assert done.exit_code == 0
    assert done.stderr.splitlines() == ['pod "web" injected', 'service "é" skipped: it has no pods']
    pod, service = yaml.safe_load_all(done.stdout)
    assert [item["name"] for item in pod["spec"]["initContainers"]] == ["tulle-init", "tulle-proxy"]
    assert service["metadata"]["name"] == "é"
    assert "é" in done.stdout, "text stays as people wrote it"


def test_inject_twice_is_inject_once(tulle):
    once = tulle("inject", stdin=POD % "").stdout
    again = tulle("inject", stdin=once)
    assert again.stdout == once
    assert "already injected" in again.stderr


def test_inject_prints_nothing_when_something_is_refused(tulle):
    done = tulle("inject", stdin=POD % ", securityContext: {runAsUser: 4140}")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert 'pod "web" refused' in done.stderr
    assert "4140" in done.stderr


def test_inject_files_as_json_and_classic(tulle, tmp_path):
    path = tmp_path / "app.yaml"
    path.write_text(POD % "")
    made = json.loads(tulle("inject", "-f", str(path), "-o", "json", "--classic").stdout)
    assert made["kind"] == "List"
    assert [item["name"] for item in made["items"][0]["spec"]["containers"]] == ["tulle-proxy", "web"]


@pytest.mark.parametrize(("text", "what"), [("a: [", "stdin is not YAML"), (b"\xff", "stdin")])
def test_inject_says_what_cannot_be_read(tulle, text, what):
    done = tulle("inject", stdin=text)
    assert done.exit_code == 1
    assert what in done.stderr


def test_inject_a_file_that_is_not_there(tulle):
    done = tulle("inject", "-f", "/none.yaml")
    assert done.exit_code == 1
    assert "/none.yaml cannot be read" in done.stderr


def test_version(tulle, api):
    found = json.loads(tulle("version", "-o", "json", "--control-plane", api.target).output)
    assert found["control_plane"] == "0.1.0"
    assert "tulle-cli" in found["installed"]
    without = tulle("version")
    assert without.exit_code == 0
    assert "no lab is running" in without.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(tulle, shell):
    assert "_TULLE_COMPLETE" in tulle("completion", shell).output


def test_completing_a_command_imports_no_command():
    script = "import os; os.environ.update(_TULLE_COMPLETE='bash_complete', COMP_WORDS='tulle ed', COMP_CWORD='1')\n"
    script += "from tulle_cli.main import main\nimport sys, atexit\n"
    script += "atexit.register(lambda: print('\\nMODULES', *sys.modules))\nmain()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    offered, _, modules = done.stdout.partition("MODULES")
    assert offered.split() == ["plain,edges"]
    assert set(modules.split()) & HEAVY == set()


def test_the_module_runs_without_being_installed():
    command = [sys.executable, "-m", "tulle_cli.main", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.stdout.startswith("tulle ")
