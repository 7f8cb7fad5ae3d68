"""Every way in which the init container can fail: one class, one message, one next step.

`main.py` turns `ConfigError` into exit status 2 and all others into 1. Nothing else knows exit codes.
"""


class InitError(Exception):
    """A failure to set up redirection. `next_step` says what the reader should do about it."""

    next_step = ""

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.next_step = next_step or self.next_step


class ConfigError(InitError):
    """An argument or environment variable is not usable; the message names it and what would be right."""

    next_step = "correct it and run again; --dry-run shows the rules without touching the machine"


class ProgramMissing(InitError):
    """No iptables-restore program of the wanted kind was found on PATH or in /usr/sbin and /sbin."""

    next_step = "install the iptables package in the image (Debian: apt-get install iptables)"


class NotPermitted(InitError):
    """The kernel does not let this process change the firewall of this network namespace."""

    next_step = ("give the container the NET_ADMIN and NET_RAW capabilities and run it as uid 0"
                 " (securityContext: runAsUser: 0, capabilities: {add: [NET_ADMIN, NET_RAW]});"
                 " on a machine of your own, run it as root")


class LockUnavailable(InitError):
    """iptables could not take its lock file, which says that no other iptables is at work."""

    next_step = "wait for the other iptables to end, or mount a writable /run (an emptyDir) if it is read-only"


class KernelLacks(InitError):
    """The kernel, or this iptables, lacks a table, match or target that the rules need."""

    next_step = ("try the other back end with --iptables-mode nft or legacy; the node needs the kernel modules"
                 " of nat, REDIRECT and the owner, multiport and comment matches")


class RulesRejected(InitError):
    """iptables-restore refused the rules for a reason that has no class of its own. Nothing was changed."""

    next_step = "see the message above; --dry-run prints the rules that were refused"


class PortBusy(InitError):
    """The proxy's port is already taken, so that redirection to it cannot be tried."""

    next_step = ("a running proxy holds it: the rules are in place, and --no-verify skips the trial; if it is"
                 " another program, give the proxy another port")


class NotRedirected(InitError):
    """The rules are in place, but a connection that they cover did not arrive at the proxy as it should."""

    next_step = ("compare `iptables-save -t nat` of both back ends (iptables-nft-save, iptables-legacy-save) for"
                 " rules of others that come first, or choose with --iptables-mode; the rules were left in place,"
                 " --remove takes them out")
