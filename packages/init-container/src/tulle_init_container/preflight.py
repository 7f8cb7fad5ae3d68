"""Whether this machine can do what the init container needs, for `tulle check` and for the curious.

Looks for the programs, then rehearses: the real program applies and verifies its rules in a network namespace
made for that and gone afterwards. Changes nothing on the machine. Not as root, the namespace belongs to a user
namespace with a range of uids (newuidmap), because the owner match needs the proxy's uid to exist.
"""

import json
import os
import subprocess
import sys
from typing import NamedTuple

from tulle_init_container.backend import find, find_program
from tulle_init_container.family import FAMILIES, IPV6, Family

REHEARSAL_SECONDS = 30
# a pod's network as far as the rules care: loopback, one interface, and a default route for both families
POD = """set -e
ip link set lo up
ip link add tulle-check type veth peer name tulle-peer
ip addr add 198.18.0.2/24 dev tulle-check
ip link set tulle-peer up
ip link set tulle-check up
ip route add default dev tulle-check
if [ -e /proc/net/if_inet6 ]; then
    ip addr add fd00:18::2/64 dev tulle-check nodad && ip -6 route add default dev tulle-check || true
fi
exec "$0" -m tulle_init_container
"""


class Check(NamedTuple):
    """One line of `tulle check`: what should be so, whether it is, and what to do if not (else empty)."""

    name: str
    ok: bool
    hint: str


def run() -> list[Check]:
    """Check programs, namespaces and redirection; in about half a second. Never raises for a failed check."""
    checks = [_installed(family) for family in FAMILIES]
    missing = [name for name in ("ip", "unshare") if find_program(name) is None]
    checks.append(Check("the programs ip and unshare are installed", not missing,
                        f"not found: {', '.join(missing)}; apt-get install iproute2 util-linux" if missing else ""))
    if all(check.ok for check in checks):
        checks += _rehearse()
    return checks


def _installed(family: Family) -> Check:
    modes = [backend.mode for backend in find(family)]
    name = f"{family.program} is installed" + (f" ({', '.join(modes)})" if modes else "")
    return Check(name, bool(modes), "" if modes else "apt-get install iptables")


def _rehearse() -> list[Check]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
    unshare = ["unshare", *user, "--net", "--"]
    namespaces = _execute([*unshare, "true"])
    made = Check("network namespaces can be made", namespaces.returncode == 0,
                 "" if namespaces.returncode == 0 else _namespace_hint(namespaces.stderr, rootless=bool(user)))
    if not made.ok:
        return [made]
    trial = _execute([*unshare, "sh", "-c", POD, sys.executable])
    lines = [_parsed(line) for line in trial.stderr.splitlines()]
    problems = [f"{line['message']}: {line.get('next_step', '')}" for line in lines if line.get("level") == "error"]
    hint = problems[0] if problems else trial.stderr.strip() or f"it ended with status {trial.returncode}"
    mode = next((line["mode"] for line in lines if "mode" in line), "none")
    checks = [made]
    for family in FAMILIES:
        ok = any(line["message"].startswith(f"{family.name} outbound verified") for line in lines)
        if family is IPV6 and not ok and not os.path.exists("/proc/net/if_inet6"):
            checks.append(Check("the kernel has no IPv6, so that there is nothing to redirect", True, ""))
        else:
            checks.append(Check(f"{family.name} redirection works ({mode})", ok, "" if ok else hint))
    return checks


def _execute(command: list[str]) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TULLE_")}
    try:
        return subprocess.run(command, capture_output=True, text=True, env={**environment, "PATH": path},
                              stdin=subprocess.DEVNULL, timeout=REHEARSAL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _parsed(line: str) -> dict[str, str]:
    """One log line; a line that another program wrote becomes a message without a level."""
    try:
        parsed = json.loads(line)
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) and "message" in parsed else {"message": line}


def _namespace_hint(complaint: str, *, rootless: bool) -> str:
    said = complaint.strip() or "unshare failed without a message"
    if not rootless:
        return f"{said}; a container without CAP_SYS_ADMIN cannot make them"
    return (f"{said}; run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1,"
            " kernel.apparmor_restrict_unprivileged_userns=0), install uidmap (newuidmap) and give this user a range"
            " in /etc/subuid and /etc/subgid")
