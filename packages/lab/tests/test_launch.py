"""Before a lab exists: the state folder and its lock, subordinate ids, requirements, what pods may see of a home."""

import os
import socket
import subprocess
import sys

import pytest
from tulle_lab.errors import LabError
from tulle_lab.launch import plugins, requirements, subids
from tulle_lab.launch.requirements import Missing
from tulle_lab.launch.subids import Range
from tulle_lab.sandbox import rootfs
from tulle_lab.state import StateFolder, default_path, listen, short_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("me:100000:65536\n", Range(100000, 65536)),
        ("1000:5:7", Range(5, 7)),
        ("other:1:9\nme:10:20\nme:100:200\n", Range(100, 200)),
        ("me:x:y\nme:1\n# me:1:2\n", None),
        ("menno:1:2", None),
    ],
)
def test_subordinate_ids(text, expected):
    assert subids.largest(text, "me", 1000) == expected


def test_the_user_becomes_root_of_the_lab():
    assert subids.mapping(1000, Range(100000, 65536)) == ["0", "1000", "1", "1", "100000", "65536"]


def test_every_missing_thing_is_told_with_its_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(
        requirements,
        "CHECKS",
        {
            "a": lambda: Missing("no a", "get a"),
            "b": lambda: None,
            "c": lambda: Missing("no c", "get c"),
        },
    )
    with pytest.raises(LabError, match=r"(?s)no a\n.*get a\n.*no c\n.*get c"):
        requirements.require(tmp_path)


def test_old_kernels_and_other_systems(monkeypatch):
    for system, release, words in (
        ("Linux", "5.10.0-28-amd64", "kernel is 5.10"),
        ("Darwin", "23.1.0", "this is Darwin"),
    ):
        monkeypatch.setattr(requirements.platform, "system", lambda system=system: system)
        monkeypatch.setattr(requirements.platform, "release", lambda release=release: release)
        assert words in requirements._kernel().what
    monkeypatch.setattr(requirements.platform, "system", lambda: "Linux")
    for release in ("5.12.0", "6.1.0-18-amd64", "6.18.44-fc", "10.0"):
        monkeypatch.setattr(requirements.platform, "release", lambda release=release: release)
        assert requirements._kernel() is None


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"TULLE_LAB_STATE": "/a/b", "XDG_STATE_HOME": "/x"}, "/a/b"),
        ({"XDG_STATE_HOME": "/x"}, "/x/tulle/lab"),
        ({"HOME": "/home/me"}, "/home/me/.local/state/tulle/lab"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": ""}, "/home/me/.local/state/tulle/lab"),
    ],
)
def test_where_the_state_is(variables, expected, monkeypatch):
    for name in ("TULLE_LAB_STATE", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(default_path()) == expected


def test_the_lock_is_held_by_whoever_inherits_it_and_no_longer(tmp_path):
    state = StateFolder(tmp_path / "state")
    assert not state.is_running()
    assert not state.path.exists(), "asking creates nothing"
    lock = state.try_lock()
    assert state.is_running()
    assert state.try_lock() is None
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(lock,)) as child:
        os.close(lock)
        assert state.is_running()
        child.stdin.close()
        child.wait()
    assert not state.is_running()
    assert state.path.stat().st_mode & 0o777 == 0o700


def test_clearing_takes_what_is_ours_and_leaves_the_rest(tmp_path):
    state = StateFolder(tmp_path)
    for name in ("lab.json", "lab.sock", "daemon.log", "notes.txt"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "control-plane.sock").symlink_to("run/nowhere")
    (state.cluster / "default").mkdir(parents=True)
    assert "cluster" in state.clear(keep_lock=False)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert state.clear() == []


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"pid": "x"}'])
def test_a_record_that_says_nothing(tmp_path, text):
    (tmp_path / "lab.json").write_text(text)
    assert StateFolder(tmp_path).pid() is None


def test_a_socket_in_a_deep_folder_for_its_owner_only(tmp_path):
    path = tmp_path / ("d" * 120) / "lab.sock"
    path.parent.mkdir()
    with listen(path) as server, socket.socket(socket.AF_UNIX) as client:
        assert path.stat().st_mode & 0o777 == 0o600
        with short_address(path) as address:
            client.connect(address)
        server.accept()[0].close()


def test_closed_folders_on_the_way_to_this_python(tmp_path, monkeypatch):
    inner = tmp_path / "home" / "me" / "venv"
    inner.mkdir(parents=True)
    (tmp_path / "home" / "me").chmod(0o700)
    for path in (tmp_path / "home", inner, tmp_path):
        path.chmod(0o755)
    monkeypatch.setattr(sys, "path", [str(inner)])
    closed = [path for path in rootfs.closed_directories() if path.startswith(str(tmp_path))]
    assert closed == [str(tmp_path / "home" / "me")]


def test_programs_of_a_clone_in_tmp(monkeypatch):
    """One mount for everything of a clone; several where there is nothing in common."""
    monkeypatch.setattr(os.path, "isdir", lambda path: True)
    monkeypatch.setattr(os.path, "realpath", lambda path: path)
    assert rootfs.programs(["/tmp/clone/.venv", "/tmp/clone/packages/a/src", "/usr/lib"]) == ["/tmp/clone"]
    assert rootfs.programs(["/tmp/a/x", "/tmp/b/y", "/run/c"]) == ["/tmp/a/x", "/tmp/b/y", "/run/c"]
    assert rootfs.programs(["/usr/lib", "/home/me"]) == []


# --- extra plugins ----------------------------------------------------------------------------------------------------


def installed(folder, name="tulle-policy-mine", group="tulle"):
    """A folder as `pip install --target` leaves it, as far as that matters here."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(f"[{group}]\npolicy-mine = mine\n")
    return folder


def test_folders_with_plugins(tmp_path):
    one, two = installed(tmp_path / "one"), installed(tmp_path / "two")
    assert plugins.folders(f"{one}, {two},{one}/../one,") == (str(one), str(two))
    assert plugins.folders("") == plugins.folders(" , ") == ()


def test_folders_without_plugins_say_what_to_do(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "pyproject.toml").write_text("[project.entry-points.tulle]\n")
    other = installed(tmp_path / "other", group="console_scripts")
    for given, words in [
        (tmp_path / "none", "there is no folder"),
        (source, "it has a pyproject.toml: that is a plugin's source"),
        (other, "no plugin is installed in"),
        (installed(tmp_path / "a:b"), "a colon separates the folders of PYTHONPATH"),
    ]:
        with pytest.raises(LabError, match=words) as refused:
            plugins.folders(f"{given}")
        assert refused.value.fix


def test_what_the_labs_process_is_given_can_be_read_from_it(tmp_path):
    given = plugins.variables(("/a", "/b c"))
    assert given == {"TULLE_PLUGINS": "/a,/b c", "PYTHONPATH": "/a:/b c"}
    assert plugins.variables(()) == {}
    assert plugins.handed_down(given) == ("/a", "/b c")
    assert plugins.handed_down({}) == ()
    pipe, environment = subprocess.PIPE, {**os.environ, **given}
    with subprocess.Popen(["cat"], stdin=pipe, stdout=pipe, bufsize=0, env=environment) as process:
        process.stdin.write(b"x")
        assert process.stdout.read(1) == b"x"  # it runs: until then the kernel may show no environment
        assert plugins.of_running(process.pid) == ("/a", "/b c")
        process.stdin.close()
    assert plugins.of_running(process.pid) is None
