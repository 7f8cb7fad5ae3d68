"""`python -m tulle_lab.launch STATE LOCK READY`: makes the lab's namespaces and becomes its PID 1.

Owns the order of namespaces. A chain of short-lived processes, because a process cannot enter a PID namespace that it
makes itself, and because the uid range must be mapped from outside:

    launcher (the user) -fork-> unshare user -> [launcher runs newuidmap] -> unshare the rest -fork-> PID 1 (init)
                                                                                    PID 1 -fork, exec-> the daemon

READY is the pipe on which the daemon says that it listens; when everybody dies first, it closes by itself.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path

from tulle_lab.errors import LabError
from tulle_lab.launch import machine, requirements, subids
from tulle_lab.sandbox import syscalls
from tulle_lab.sandbox.init import Init
from tulle_lab.sandbox.syscalls import Clone
from tulle_lab.state import StateFolder

_EVERYTHING = Clone.NEWNS | Clone.NEWNET | Clone.NEWPID | Clone.NEWUTS | Clone.NEWIPC


def main(arguments: list[str]) -> int:
    """Run the chain; returns in each of its processes."""
    state, lock, ready = StateFolder(Path(arguments[0])), int(arguments[1]), int(arguments[2])
    try:
        if os.getuid() != 0 and not _enter_user_namespace():
            return 0
        syscalls.unshare(_EVERYTHING)
        pid = os.fork()
        if pid:
            _write_record(state, pid)
            return 0
        return _pid_one(state, lock, ready)
    except (OSError, LabError, subprocess.SubprocessError) as error:
        if not isinstance(error, LabError):
            error = LabError("the lab cannot make its namespaces", str(error), "tulle check --pre")
        os.write(ready, json.dumps(error.to_json()).encode())
        return 1


def _enter_user_namespace() -> bool:
    """Fork a child that is root of a new user namespace. True in the child, False in the parent when all is done."""
    child_r, child_w = os.pipe()
    parent_r, parent_w = os.pipe()
    pid = os.fork()
    if pid:
        os.close(child_w)
        if os.read(child_r, 1):
            _map_ids(pid)
            os.write(parent_w, b"1")
        os.close(parent_w)
        os.waitpid(pid, 0)
        return False
    os.close(parent_w)
    syscalls.unshare(Clone.NEWUSER)
    os.write(child_w, b"1")
    if not os.read(parent_r, 1):
        raise LabError("the user ids of the lab could not be mapped", "newuidmap refused", "tulle check --pre")
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    return True


def _map_ids(pid: int) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    for program, path, own in (("newuidmap", "/etc/subuid", os.getuid()), ("newgidmap", "/etc/subgid", os.getgid())):
        found = subids.largest(Path(path).read_text(), user, os.getuid())
        if found is None:
            raise LabError(f"{path} has no range for {user}", fix="tulle check --pre")
        executable = requirements.find_program(program) or program
        subprocess.run([executable, str(pid), *subids.mapping(own, found)], check=True)


def _write_record(state: StateFolder, pid: int) -> None:
    partial = state.record.with_suffix(".tmp")
    partial.write_text(json.dumps({"pid": pid}))
    partial.rename(state.record)


def _pid_one(state: StateFolder, lock: int, ready: int) -> int:
    os.setsid()
    syscalls.name_process("tulle-lab-init")
    machine.prepare(state)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    daemon = os.fork()
    if not daemon:
        for fd in (theirs.fileno(), lock, ready):
            os.set_inheritable(fd, True)
        channel = str(theirs.fileno())
        os.execv(sys.executable, [sys.executable, "-m", "tulle_lab.daemon", str(state.path), channel, str(ready)])
    theirs.close()
    os.close(ready)
    os.set_inheritable(lock, False)
    return Init(ours, daemon).serve()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
