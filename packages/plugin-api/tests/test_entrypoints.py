"""Our reader of entry points against the standard library's, on what is installed here and on odd files."""

import importlib.metadata
import sys

import pytest
from tulle_plugin_api.entrypoints import EntryPoint, entry_points


@pytest.mark.parametrize("group", ["tulle", "console_scripts", "pytest11", "no-such-group"])
def test_the_same_as_importlib_metadata_finds(group):
    # the standard library keeps the first of a distribution's copies on sys.path, as we do
    theirs = {(one.name, one.value.replace(" ", "")) for one in importlib.metadata.entry_points(group=group)}
    assert {(one.name, one.value.replace(" ", "")) for one in entry_points(group)} == theirs
    assert theirs or group in ("no-such-group", "tulle")


def install(folder, name, text, version="1.0"):
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    if text is not None:
        (info / "entry_points.txt").write_text(text)


def test_comments_blank_lines_spaces_and_other_groups(tmp_path):
    text = "[other]\nx = no\n\n# a comment\n; another\n[tulle]\n  b-two=mod.two:Plugin.make\n"
    text += "a-one = mod_one [extra]\n[tullex]\ny = no\n"
    install(tmp_path, "My_Plugin", text, "2.1.dev3")
    assert entry_points("tulle", [str(tmp_path)]) == [
        EntryPoint("a-one", "mod_one [extra]", "my-plugin", "2.1.dev3"),
        EntryPoint("b-two", "mod.two:Plugin.make", "my-plugin", "2.1.dev3"),
    ]


def test_the_first_on_the_path_counts(tmp_path):
    install(tmp_path / "a", "mine", "[tulle]\nx = new\n", "2.0")
    install(tmp_path / "b", "mine", "[tulle]\nx = old\n", "1.0")
    path = [str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "a")]
    assert [(one.value, one.version) for one in entry_points("tulle", path)] == [("new", "2.0")]


def test_distributions_without_entry_points_and_folders_that_are_none(tmp_path):
    install(tmp_path, "plain", None)
    (tmp_path / "file").write_text("")
    assert entry_points("tulle", [str(tmp_path), str(tmp_path / "file"), str(tmp_path / "gone")]) == []


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("entry_target", lambda module: module),
        ("entry_target:Plugin", lambda module: module.Plugin),
        ("entry_target:Plugin.make", lambda module: module.Plugin.make),
        ("entry_target : Plugin [extra]", lambda module: module.Plugin),
        ("entry_target [extra]", lambda module: module),
    ],
)
def test_loading(value, found, tmp_path, monkeypatch):
    (tmp_path / "entry_target.py").write_text("class Plugin:\n    make = staticmethod(print)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "entry_target", raising=False)
    loaded = EntryPoint("x", value, "d", "1").load()
    assert loaded is found(sys.modules["entry_target"])


def test_loading_what_is_not_there():
    with pytest.raises(ModuleNotFoundError):
        EntryPoint("x", "no_such_module:f", "d", "1").load()
    with pytest.raises(AttributeError):
        EntryPoint("x", "sys:no_such_thing", "d", "1").load()
