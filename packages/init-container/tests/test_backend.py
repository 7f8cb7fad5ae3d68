"""Which iptables is used, and what its complaints are called."""

import pytest
from tulle_init_container import backend
from tulle_init_container.backend import Backend, choose, classify, find, find_program, mode_of, run
from tulle_init_container.errors import KernelLacks, LockUnavailable, NotPermitted, ProgramMissing, RulesRejected
from tulle_init_container.family import IPV4

EMPTY = "*nat\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
OTHERS = "*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -j RETURN\nCOMMIT\n"
OURS = "*nat\n:OUTPUT ACCEPT [0:0]\n:TULLE_OUTPUT - [0:0]\n-A OUTPUT -j TULLE_OUTPUT\nCOMMIT\n"
BROKEN = KernelLacks("nf_tables not supported")


def make(mode, saved=EMPTY, problem=None):
    return Backend(IPV4, mode, f"iptables-{mode}-restore", f"iptables-{mode}-save", saved, problem)


@pytest.mark.parametrize(("wanted", "found", "expected"), [
    ("auto", [make("nft"), make("legacy")], "nft"),
    ("auto", [make("legacy")], "legacy"),
    ("auto", [make("nft", problem=BROKEN), make("legacy")], "legacy"),
    ("auto", [make("nft"), make("legacy", OTHERS)], "legacy"),
    ("auto", [make("nft", OTHERS), make("legacy", OURS)], "legacy"),
    ("auto", [make("nft", OURS), make("legacy", OTHERS)], "nft"),
    ("legacy", [make("nft", OURS), make("legacy")], "legacy"),
    ("nft", [make("nft"), make("legacy", OURS)], "nft"),
])
def test_choice(wanted, found, expected):
    assert choose(wanted, found).mode == expected


def test_nothing_suitable():
    with pytest.raises(ProgramMissing, match="found: none"):
        choose("auto", [])
    with pytest.raises(ProgramMissing, match=r"of mode nft .*found: legacy"):
        choose("nft", [make("legacy")])
    with pytest.raises(KernelLacks):
        choose("nft", [make("nft", problem=BROKEN), make("legacy")])


@pytest.mark.parametrize(("complaint", "failure"), [
    ("Fatal: can't open lock file /run/xtables.lock: Permission denied", LockUnavailable),
    ("Another app is currently holding the xtables lock; still 9s 0us time ahead", LockUnavailable),
    ("iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)",
     NotPermitted),
    ("iptables-restore: line 3 failed: Operation not permitted.", NotPermitted),
    ("can't initialize iptables table `nat': Table does not exist (do you need to insmod?)", KernelLacks),
    ("iptables-restore: line 4 failed: No chain/target/match by that name.", KernelLacks),
    ("Failed to initialize nft: Protocol not supported", KernelLacks),
    ("Couldn't load match `owner':No such file or directory", KernelLacks),
    ("Warning: Extension owner revision 1 not supported, missing kernel module?", KernelLacks),
    ("Error occurred at line: 7", RulesRejected),
    ("", RulesRejected),
])
def test_complaints_have_names(complaint, failure):
    error = classify("iptables-restore", complaint)
    assert type(error) is failure
    assert complaint in str(error)
    assert error.next_step


@pytest.mark.parametrize(("version", "mode"), [
    ("iptables-restore v1.8.9 (nf_tables)", "nft"),
    ("iptables-restore v1.8.9 (legacy)", "legacy"),
    ("iptables-restore v1.6.1", "legacy"),
])
def test_mode_of_a_version(version, mode):
    assert mode_of(version) == mode


def program(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The only folder with programs in it, but for the shell."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(backend, "SYSTEM_FOLDERS", ())
    return tmp_path


def test_a_machine_with_one_unnamed_iptables(folder):
    program(folder, "iptables-restore", 'echo "iptables-restore v1.8.10 (nf_tables)"')
    program(folder, "iptables-save", f"printf '{EMPTY}'".replace("\n", "\\n"))
    [found] = find(IPV4)
    assert (found.mode, found.saved, found.restore_program) == ("nft", EMPTY, str(folder / "iptables-restore"))


def test_a_back_end_that_does_not_run_is_found_with_its_problem(folder):
    for part in ("save", "restore"):
        program(folder, f"iptables-nft-{part}", 'echo "Failed to initialize nft: Protocol not supported" >&2; exit 1')
    [found] = find(IPV4)
    assert isinstance(found.problem, KernelLacks)


def test_no_iptables(folder):
    assert find(IPV4) == []
    assert find_program("iptables-restore") is None


def test_a_program_gets_the_rules_and_a_lock_file_that_it_can_write(folder, monkeypatch):
    program(folder, "iptables-nft-restore", 'read -r line; echo "$@ lock=$XTABLES_LOCKFILE $line"')
    monkeypatch.setattr(backend.os, "access", lambda path, mode: False)
    assert run([str(folder / "iptables-nft-restore"), "--noflush"], "*nat\n") == (
        "--noflush lock=/tmp/tulle-xtables.lock *nat\n")


def test_a_program_that_cannot_be_started(tmp_path):
    with pytest.raises(ProgramMissing, match="could not be started"):
        run([str(tmp_path / "gone")])
