"""docs/plugins.md is true: every hook has its heading, a working example and a real plugin; the tutorial works.

The tutorial is followed to the letter: files are written as shown, commands run as shown, in an environment of their
own that sees everything installed here.
"""

import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest
from tulle_plugin_api import contract, hookspecs, load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/plugins.md").read_text()
HOOKS = [name for name in dir(hookspecs) if name.startswith("tulle_")]

BLOCK = re.compile(r"(?:^`(?P<path>[\w./-]+)`:[^\n]*\n\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)


def section(title):
    """The text under a heading, up to the next one of its level or above."""
    (level,) = re.findall(rf"^(#+) {re.escape(title)}$", TEXT, re.M)
    after = re.split(rf"^#+ {re.escape(title)}$", TEXT, flags=re.M)[1]
    return re.split(rf"^#{{1,{len(level)}}} ", after, flags=re.M)[0]


# --- hooks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_docstring_a_heading_and_an_example_that_loads(hook):
    assert getattr(hookspecs, hook).__doc__
    (example,) = [m["code"] for m in BLOCK.finditer(section(hook)) if m["language"] == "python"]
    module = ModuleType("example")
    exec(compile(example, f"docs/plugins.md, {hook}", "exec"), vars(module))
    info = next(info for info in load({"example": module}).infos if info.name == "example")
    assert (info.error, len(info.provides)) == ("", 1)
    assert hasattr(vars(module)[hook], "tulle_impl")


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_real_plugin(hook):
    plugins = load()
    provided = {"tulle_checks": plugins.checks}.get(hook) or getattr(plugins, hook.removeprefix("tulle_"))
    assert provided, f"no installed plugin implements {hook}; remove the hook or write one"


def test_every_heading_is_of_a_hook_that_exists():
    assert re.findall(r"^### (tulle_\w+)$", TEXT, re.M) == [
        "tulle_balancers",
        "tulle_policies",
        "tulle_exporters",
        "tulle_catalogs",
        "tulle_checks",
    ]
    assert set(re.findall(r"^### (tulle_\w+)$", TEXT, re.M)) == set(HOOKS)


def test_the_reference_is_what_the_code_says():
    """`scripts/reference` writes it."""
    done = subprocess.run([sys.executable, ROOT / "scripts/reference", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_reference_that_has_drifted_is_noticed(tmp_path):
    for path in ("scripts/reference", "docs/plugins.md"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text((ROOT / path).read_text().replace("| That try ended,", "| That try began,"))
    check = [sys.executable, tmp_path / "scripts/reference", "--check"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 1
    assert "run scripts/reference" in done.stderr
    subprocess.run(check[:-1], check=True)
    assert (tmp_path / "docs/plugins.md").read_text() == TEXT


def test_the_contract_as_tests_has_every_suite():
    names = [name for name in contract.__all__ if name.endswith("Contract")]
    assert re.findall(r"^\| `(\w+Contract)` \|", section("The contract as tests"), re.M) == [
        "BalancerContract", "PolicyContract", "ExporterContract", "CatalogContract",
    ]  # fmt: skip
    assert sorted(names) == sorted(re.findall(r"^\| `(\w+Contract)` \|", TEXT, re.M))


@pytest.mark.parametrize("folder", sorted((ROOT / "plugins").glob("*/*/pyproject.toml")), ids=lambda p: p.parent.name)
def test_every_built_in_is_held_to_the_contract(folder):
    """A new distribution brings tests/test_contract.py, in the suite of its kind."""
    kind = {"policies": "Policy"}.get(folder.parts[-3], folder.parts[-3].removesuffix("s").capitalize())
    assert f"({kind}Contract):" in (folder.parent / "tests/test_contract.py").read_text()


def test_links_lead_somewhere():
    titles = re.findall(r"^#+ (.*)$", TEXT, re.M)
    headings = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in headings, target
        else:
            assert (ROOT / "docs" / target).exists(), target


# --- the tutorial ---------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path):
    """A copy of nothing: an empty folder with a `.venv` that sees what is installed here and can be installed into."""
    venv = tmp_path / ".venv"
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    subprocess.run([uv, "venv", "--quiet", "--offline", "--python", sys.executable, venv], check=True)
    packages = venv / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    (packages / "here.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    (venv / "bin/uv").symlink_to(uv)
    programs = {
        "tulle": "from tulle_cli.main import main; main()",
        "pytest": "import pytest; pytest.console_main()",
    }
    for program, call in programs.items():
        script = venv / "bin" / program
        script.write_text(f"#!{venv}/bin/python\n{call}\n")
        script.chmod(0o755)
    return tmp_path


def test_the_tutorial_works_when_followed(elsewhere):
    ran = 0
    for block in BLOCK.finditer(section("Ten minutes: a balancer of your own")):
        if block["path"]:
            path = elsewhere / block["path"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(block["code"])
            continue
        assert block["language"] == "console", block["code"]
        for command, *expected in (part.splitlines() for part in block["code"].split("$ ")[1:]):
            done = subprocess.run(
                shlex.split(command), cwd=elsewhere, capture_output=True, text=True, timeout=120,
                env={"PATH": "/usr/bin:/bin", "HOME": str(elsewhere), "COLUMNS": "160", "LANG": "C.UTF-8"},
            )  # fmt: skip
            output = done.stdout + done.stderr
            assert done.returncode == 0, f"{command}\n{output}"
            said = " ".join(output.split())
            for line in expected:
                assert " ".join(line.split()) in said, f"{command}: {line!r} is not in\n{output}"
            ran += 1
    assert ran == 5
