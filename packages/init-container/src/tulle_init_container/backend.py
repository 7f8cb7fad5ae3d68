"""The iptables programs of this machine: which there are, which to use, and how to run them.

iptables exists twice, over the kernel's old tables (legacy) and over nf_tables (nft). Rules of either take
effect, but each program shows only its own; so one must be chosen, and the choice said aloud. `choose` decides
and is pure; `find` and `Backend` run programs.
"""

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tulle_init_container.config import Mode
from tulle_init_container.errors import (
    InitError,
    KernelLacks,
    LockUnavailable,
    NotPermitted,
    ProgramMissing,
    RulesRejected,
)
from tulle_init_container.family import Family
from tulle_init_container.render import nat_lines, own_chains

LOCK_SECONDS = 10
RUN_SECONDS = 60  # a program that takes longer hangs
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/sbin")  # often not on the PATH of those who are not root

# what a program's complaint says -> which failure it is; the first row that fits counts
COMPLAINTS: tuple[tuple[str, type[InitError]], ...] = (
    ("lock", LockUnavailable),
    ("Permission denied", NotPermitted),
    ("Operation not permitted", NotPermitted),
    ("you must be root", NotPermitted),
    ("does not exist", KernelLacks),
    ("No chain/target/match", KernelLacks),
    ("not supported", KernelLacks),
    ("missing kernel module", KernelLacks),
    ("Couldn't load", KernelLacks),
    ("Extension", KernelLacks),
)


@dataclass(frozen=True)
class Backend:
    """One family's programs of one kind, with what `save` printed when they were found.

    `problem` is why they cannot be used here (a kernel without nf_tables, say), or None.
    """

    family: Family
    mode: Mode
    restore_program: str
    save_program: str
    saved: str = ""
    problem: InitError | None = None

    def save(self) -> str:
        """Return the tables as iptables-save prints them."""
        return run([self.save_program])

    def restore(self, rules: str) -> None:
        """Commit `rules` in one transaction. On any error nothing has changed, and an InitError says why."""
        run([self.restore_program, "--noflush", f"--wait={LOCK_SECONDS}"], rules)

    @property
    def command(self) -> str:
        """The command line that `restore` runs, for people."""
        return f"{self.restore_program} --noflush --wait={LOCK_SECONDS}"


def run(command: Sequence[str], stdin: str = "") -> str:
    """Run a program and return its output; its failure becomes the InitError that COMPLAINTS names."""
    environment = {**os.environ, "LC_ALL": "C"}
    if not os.access("/run", os.W_OK):  # a read-only root; nobody else programs this pod's tables anyway
        environment["XTABLES_LOCKFILE"] = "/tmp/tulle-xtables.lock"
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment,
                              timeout=RUN_SECONDS, check=False)
    except OSError as error:
        raise ProgramMissing(f"{command[0]} could not be started: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise RulesRejected(f"{command[0]} did not end within {RUN_SECONDS} s") from error
    if done.returncode != 0:
        raise classify(command[0], done.stderr)
    return done.stdout


def classify(program: str, stderr: str) -> InitError:
    """Name the failure that a program's complaint describes."""
    complaint = " / ".join(line for line in stderr.splitlines() if line.strip()) or "no message"
    for text, failure in COMPLAINTS:
        if text in complaint:
            return failure(f"{program} failed: {complaint}")
    return RulesRejected(f"{program} failed: {complaint}")


def find_program(name: str) -> str | None:
    """Find an executable on PATH or in the system folders."""
    for folder in (*os.environ.get("PATH", "").split(os.pathsep), *SYSTEM_FOLDERS):
        path = os.path.join(folder, name)
        if folder and os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None


def find(family: Family) -> list[Backend]:
    """Find the back ends that are installed for a family, nft first, and look at what each holds."""
    found = []
    for mode in ("nft", "legacy"):
        restore = find_program(f"{family.program}-{mode}-restore")
        save = find_program(f"{family.program}-{mode}-save")
        if restore and save:
            found.append(_inspect(Backend(family, mode, restore, save)))
    if not found:
        restore = find_program(f"{family.program}-restore")
        save = find_program(f"{family.program}-save")
        if restore and save:
            found.append(_inspect(Backend(family, mode_of(run([restore, "--version"])), restore, save)))
    return found


def mode_of(version: str) -> Mode:
    """Read the mode from `iptables --version`: before 1.8 there was only legacy, and nothing said so."""
    return "nft" if re.search(r"\(nf_tables\)", version) else "legacy"


def _inspect(backend: Backend) -> Backend:
    try:
        saved, problem = backend.save(), None
    except InitError as error:
        saved, problem = "", error
    return Backend(backend.family, backend.mode, backend.restore_program, backend.save_program, saved, problem)


def choose(wanted: Mode, found: Sequence[Backend]) -> Backend:
    """Choose the back end to use; REASONS says how. Pure.

    Raises ProgramMissing if there is none of the wanted kind, or the problem of the one that was insisted on.
    """
    family = found[0].family.program if found else "iptables"
    suitable = [backend for backend in found if wanted in ("auto", backend.mode)]
    if not suitable:
        there = ", ".join(backend.mode for backend in found) or "none"
        kind = "" if wanted == "auto" else f" of mode {wanted}"
        raise ProgramMissing(f"no {family}-restore{kind} was found on PATH or in {', '.join(SYSTEM_FOLDERS)}"
                             f" (found: {there})")
    usable = [backend for backend in suitable if backend.problem is None]
    if not usable:
        problem = suitable[0].problem
        assert problem is not None
        raise problem
    return next(backend for reason in REASONS for backend in usable if reason(backend))


def _holds_ours(backend: Backend) -> bool:
    return bool(own_chains(backend.saved))


def _holds_others(backend: Backend) -> bool:
    return any(line.startswith("-A") for line in nat_lines(backend.saved))


# why a back end is chosen, best reason first: our rules are there already, so that they are replaced and not
# doubled; others have their rules there; and else the first that is installed, which is nft
REASONS: tuple[Callable[[Backend], bool], ...] = (_holds_ours, _holds_others, lambda backend: True)
