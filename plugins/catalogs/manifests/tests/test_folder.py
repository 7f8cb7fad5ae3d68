"""Which manifests a folder holds, and which of them changed."""

import pytest
from tulle_catalog_manifests import folder as folder_module
from tulle_catalog_manifests.folder import Folder, Missing


def test_what_looks_the_same_is_not_read_again_unless_it_is_suspected(tmp_path, monkeypatch):
    """Two writes within one tick of the file system's clock, of equal length, leave equal signatures."""
    monkeypatch.setattr(folder_module, "_signature", lambda status: (0, 0, 0, 0, 0))
    folder = Folder(tmp_path)
    (tmp_path / "a.json").write_text("1")
    assert folder.scan().changed == {"a.json": b"1"}
    (tmp_path / "a.json").write_text("2")
    assert not folder.scan()
    assert folder.scan({"a.json"}).changed == {"a.json": b"2"}


def test_new_changed_and_removed(tmp_path):
    folder = Folder(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.yml").write_text("1")
    (tmp_path / "b.yaml").write_text("1")
    assert set(folder.scan().changed) == {"deep/a.yml", "b.yaml"}
    (tmp_path / "b.yaml").write_text("22")
    (tmp_path / "deep" / "a.yml").unlink()
    scan = folder.scan()
    assert (scan.changed, scan.removed) == ({"b.yaml": b"22"}, {"deep/a.yml"})
    assert not folder.scan()


def test_a_missing_folder_changes_nothing_of_what_was_seen(tmp_path):
    path = tmp_path / "m"
    path.mkdir()
    (path / "a.json").write_text("1")
    folder = Folder(path)
    folder.scan()
    path.rename(tmp_path / "aside")
    with pytest.raises(Missing, match="No such file"):
        folder.scan()
    assert "No such file" in folder.problem()
    (tmp_path / "aside").rename(path)
    assert not folder.scan()
    assert not folder.replaced


def test_another_folder_of_the_name_is_noticed(tmp_path):
    path = tmp_path / "m"
    path.mkdir()
    folder = Folder(path)
    folder.scan()
    path.rename(tmp_path / "aside")
    path.mkdir()
    (path / "a.json").write_text("1")
    folder.scan()
    assert folder.replaced
    folder.scan()
    assert not folder.replaced


def test_an_empty_folder_in_its_place_takes_nothing_away(tmp_path):
    """Whoever swapped the folder before we looked may only be late with filling it."""
    path = tmp_path / "m"
    path.mkdir()
    (path / "a.json").write_text("1")
    folder = Folder(path)
    folder.scan()
    path.rename(tmp_path / "aside")
    path.mkdir()
    with pytest.raises(Missing, match="another folder"):
        folder.scan()
    assert "no manifest" in folder.problem()
    path.rmdir()
    (tmp_path / "aside").rename(path)
    assert not folder.scan()


def test_a_file_that_may_not_be_read_is_said(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text("1")

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folder_module, "_read", refuse)
    assert Folder(tmp_path).scan().unreadable == {"a.json": "cannot be read: Permission denied"}


def test_a_file_that_goes_while_we_look_was_never_there(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text("1")
    folder = Folder(tmp_path)
    folder.scan()
    (tmp_path / "a.json").write_text("22")

    def gone(path):
        raise FileNotFoundError(2, "No such file")

    monkeypatch.setattr(folder_module, "_read", gone)
    assert folder.scan().removed == {"a.json"}
    assert not folder.scan().removed
