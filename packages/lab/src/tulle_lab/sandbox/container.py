"""The child's side of starting a process: from a fork of PID 1 to the program, through namespaces.

Owns the order of steps. Every function here runs in a forked child and never returns to PID 1's loop. What goes wrong
is written to the report pipe; the pipe closes by itself when the program is executed.

    PID 1 -fork-> enter/unshare -fork-> shim: PID 1 of the container -fork-> become the user, exec the program
                  (says the pid, exits)        (forwards signals, reaps, exits with the program's status)

The shim is what `docker run --init` adds: a program that is itself PID 1 of a namespace would ignore SIGTERM unless it
handles it (pid_namespaces(7)), and each rollout would wait for its grace period. Kubernetes leaves that to the image.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import termios
from typing import NoReturn

from tulle_lab.sandbox import rootfs, syscalls
from tulle_lab.sandbox.spec import CAPABILITIES, ProcessSpec
from tulle_lab.sandbox.syscalls import Clone

NOT_FOUND, NOT_EXECUTABLE = 127, 126
_KINDS = (
    ("net", Clone.NEWNET),
    ("uts", Clone.NEWUTS),
    ("ipc", Clone.NEWIPC),
    ("pid", Clone.NEWPID),
    ("mnt", Clone.NEWNS),
)


def start(spec: ProcessSpec, namespaces: list[tuple[int, Clone]], stdio: list[int], report: int) -> NoReturn:
    """Run `spec`; call in a forked child. `namespaces` are the pod's; `stdio` becomes descriptors 0, 1 and 2."""
    try:
        _reset_signals()
        stdio, report = _keep_only(stdio, report, [fd for fd, _ in namespaces])
        if spec.join:
            namespaces = [(os.open(f"/proc/{spec.join}/ns/{kind}", os.O_RDONLY), flag) for kind, flag in _KINDS]
        for fd, kind in namespaces:
            syscalls.setns(fd, kind)
            os.close(fd)
        if not spec.join:
            syscalls.unshare(Clone.NEWNS | Clone.NEWPID if spec.own_pids else Clone.NEWNS)
        pid = os.fork()
        if pid:
            os.write(report, f"{pid}\n".encode())
            os._exit(0)
        if spec.join:
            _run(spec, stdio, report)
        rootfs.build(spec.mounts, spec.hidden)
        if not spec.own_pids:
            _run(spec, stdio, report)
        _shim(spec, stdio, report)
    except BaseException as error:
        _fail(report, spec, error)


def _shim(spec: ProcessSpec, stdio: list[int], report: int) -> NoReturn:
    syscalls.name_process(spec.name)
    everything = signal.valid_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, everything)  # a blocked signal waits for sigwait, even for PID 1
    program = os.fork()
    if not program:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, everything)
            _run(spec, stdio, report)
        except BaseException as error:
            _fail(report, spec, error)
    os.closerange(0, max(*stdio, report) + 1)
    while True:
        number = signal.sigwait(everything)
        if number != signal.SIGCHLD:
            _kill(program, number)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == program:
                os._exit(exit_code(status))


def exit_code(status: int) -> int:
    """What a shell would call it: the exit status, or 128 and the signal's number."""
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _run(spec: ProcessSpec, stdio: list[int], report: int) -> NoReturn:
    """Become the container's user and execute its program."""
    os.setsid()
    for target, fd in enumerate(stdio):
        os.dup2(fd, target)
    if spec.terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(spec.cwd)
    os.umask(0o022)
    for number, name in enumerate(CAPABILITIES):
        if name not in spec.capabilities:
            _drop(number)
    os.setgroups(spec.groups)
    os.setresgid(spec.group, spec.group, spec.group)
    os.setresuid(spec.user, spec.user, spec.user)
    if spec.no_new_privileges:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    os.execvpe(spec.argv[0], list(spec.argv), spec.env)


def _drop(number: int) -> None:
    try:
        syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a capability that this kernel does not have
            raise


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _keep_only(stdio: list[int], report: int, others: list[int]) -> tuple[list[int], int]:
    """Close every inherited descriptor that this process has no business with: PID 1's channel above all."""
    keep = sorted({*stdio, report, *others})
    low = 3
    for fd in keep:
        if fd >= low:
            os.closerange(low, fd)
            low = fd + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
    return stdio, report


def _fail(report: int, spec: ProcessSpec, error: BaseException) -> NoReturn:
    code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    try:
        os.write(report, f"error {code} {_explain(spec, error)}\n".encode())
    finally:
        os._exit(code)


def _explain(spec: ProcessSpec, error: BaseException) -> str:
    program = spec.argv[0]
    named = os.path.basename(os.fsdecode(getattr(error, "filename", None) or "")) == os.path.basename(program)
    match error:
        case FileNotFoundError(filename=spec.cwd):
            return f"workingDir {spec.cwd!r} does not exist"
        case FileNotFoundError() if os.path.exists(program):
            return f"{program} cannot run: the interpreter in its first line does not exist"
        case FileNotFoundError() if named:
            return f"there is no program {program!r} on this machine"
        case PermissionError() if named:
            return f"user {spec.user} may not execute {program!r}: check its mode, and that of the folders above it"
        case OSError(errno=errno.EINVAL) if error.filename is None and "(" not in str(error).replace("[Errno", ""):
            return f"user {spec.user} or group {spec.group} is outside the uid range of this lab"
        case _:
            return f"{type(error).__name__}: {error}"
