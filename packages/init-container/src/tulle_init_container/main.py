"""`tulle-init`: flags and environment in, exit status out. 0 done, 1 not done, 2 bad arguments.

Configuration comes from TULLE_* variables, and flags override them. Logs are JSON lines on stderr; `--dry-run`
prints the rules on stdout and touches nothing.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, NoReturn

from tulle_init_container import verify
from tulle_init_container.apply import apply, remove
from tulle_init_container.config import (
    Config,
    Mode,
    parse_mode,
    parse_port,
    parse_ports,
    parse_subnets,
    parse_uid,
)
from tulle_init_container.errors import ConfigError, InitError
from tulle_init_container.family import FAMILIES, IPV6
from tulle_init_container.network import addresses
from tulle_init_container.render import restore_input
from tulle_init_container.rules import chains

# flag, environment variable, default, help
SETTINGS = (
    ("--outbound-port", "TULLE_OUTBOUND_PORT", "4140", "the proxy's port for what the pod sends"),
    ("--inbound-port", "TULLE_INBOUND_PORT", "4143", "the proxy's port for what the pod receives"),
    ("--proxy-uid", "TULLE_PROXY_UID", "4140", "the proxy's user id; only its connections bypass the rules"),
    ("--skip-inbound-ports", "TULLE_SKIP_INBOUND_PORTS", "", "ports reached directly: 4191,8000-8100"),
    ("--skip-outbound-ports", "TULLE_SKIP_OUTBOUND_PORTS", "", "destination ports that are not captured"),
    ("--skip-outbound-subnets", "TULLE_SKIP_OUTBOUND_SUBNETS", "", "destinations not captured: 10.0.0.0/8,fd00::/8"),
    ("--iptables-mode", "TULLE_IPTABLES_MODE", "auto", "auto, nft or legacy"),
)


class Task(NamedTuple):
    """What the command line asks for."""

    config: Config
    mode: Mode
    dry_run: bool
    remove: bool
    verify: bool


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; tulle-init --help lists what there is")


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Task:
    """Read flags and variables. Raises ConfigError naming the one at fault."""
    parser = _Parser(prog="tulle-init", description="Send this pod's TCP traffic through its Tulle proxy.",
                     allow_abbrev=False)
    for flag, variable, default, text in SETTINGS:
        parser.add_argument(flag, metavar="VALUE", help=f"{text} (default {default or 'none'}; {variable})")
    parser.add_argument("--dry-run", action="store_true", help="print the rules, each explained, and stop")
    parser.add_argument("--remove", action="store_true", help="take the rules out again, and stop")
    parser.add_argument("--no-verify", action="store_true", help="do not try whether redirection works")
    options = vars(parser.parse_args(arguments))

    def setting(flag: str) -> tuple[str, str]:
        """The value of a setting, and the name under which it was given."""
        _, variable, default, _ = next(row for row in SETTINGS if row[0] == flag)
        given = options[flag.removeprefix("--").replace("-", "_")]
        return (given, flag) if given is not None else (environment.get(variable, default), variable)

    config = Config(
        outbound_port=parse_port(*setting("--outbound-port")),
        inbound_port=parse_port(*setting("--inbound-port")),
        proxy_uid=parse_uid(*setting("--proxy-uid")),
        skip_inbound_ports=parse_ports(*setting("--skip-inbound-ports")),
        skip_outbound_ports=parse_ports(*setting("--skip-outbound-ports")),
        skip_outbound_subnets=parse_subnets(*setting("--skip-outbound-subnets")),
    )
    if options["dry_run"] and options["remove"]:
        raise ConfigError("--dry-run and --remove exclude each other; --dry-run shows what would be put in")
    return Task(config, parse_mode(*setting("--iptables-mode")), options["dry_run"], options["remove"],
                not options["no_verify"])


def say(level: str, message: str, **fields: object) -> None:
    """Write one log line: JSON, on stderr."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    print(json.dumps({"time": now, "level": level, "message": message, **fields}), file=sys.stderr, flush=True)


def dry_run(config: Config) -> str:
    """Render both families' rules as they would be committed to empty tables."""
    return "\n".join(
        restore_input(chains(config, family), heading=f"{family.name}: {family.program}-restore --noflush -w")
        for family in FAMILIES
    )


def redirect(task: Task) -> None:
    """Apply and verify, family by family. Raises InitError; what was committed before that stays."""
    for family in FAMILIES:
        try:
            backend = apply(chains(task.config, family), family, task.mode, say)
        except InitError as error:
            if family is not IPV6 or addresses(family):
                raise
            say("warning", f"IPv6 is not redirected, and the pod has no IPv6 address that would need it: {error}")
            continue
        if task.verify:
            for check, verdict in (("outbound", verify.outbound(task.config, family)),
                                   ("inbound", verify.inbound(task.config, backend))):
                outcome = "verified" if verdict.verified else "not verified"
                say("info", f"{family.name} {check} {outcome}: {verdict.detail}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    try:
        task = parse(sys.argv[1:] if arguments is None else arguments, os.environ)
        if task.dry_run:
            print(dry_run(task.config), end="")
        elif task.remove:
            if not sum(remove(family, say) for family in FAMILIES):
                say("info", "there were no rules of Tulle's to remove")
        else:
            redirect(task)
            say("info", "this pod's TCP traffic goes through the proxy; UDP and ICMP do not")
    except InitError as error:
        say("error", str(error), next_step=error.next_step)
        return 2 if isinstance(error, ConfigError) else 1
    return 0
