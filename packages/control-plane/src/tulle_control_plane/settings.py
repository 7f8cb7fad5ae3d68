"""The control plane's settings: environment variables, overridden by flags.

Owns names, defaults and what is wrong with a value; one table drives the parser and --help. What a catalog plugin
needs (TULLE_MANIFESTS, TULLE_KUBECONFIG) it reads itself from the same environment.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tulle_control_plane.core.ports import PortSet
from tulle_control_plane.core.services import SERVER_SPEAKS_FIRST
from tulle_control_plane.logs import LEVELS


class BadSettings(Exception):
    """A setting is wrong. The message names the variable and says what would be right."""


@dataclass(frozen=True)
class Settings:
    """See `--help`."""

    catalog: str = "manifests"
    host: str = ""
    grpc_port: int = 8086
    api_port: int = 8085
    health_port: int = 8087
    api_socket: Path | None = None
    cluster_domain: str = "cluster.local"
    system_namespace: str = "tulle-system"
    opaque_ports: PortSet = SERVER_SPEAKS_FIRST
    log_level: str = "info"


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise ValueError("expected a port, 1 to 65535 (0 for any that is free)")
    return int(text)


def _level(text: str) -> str:
    if text not in LEVELS:
        raise ValueError(f"expected one of {', '.join(LEVELS)}")
    return text


def _name(text: str) -> str:
    if not text or text.strip() != text:
        raise ValueError("expected a name")
    return text


# field, variable, flag, reader, help
_TABLE: tuple[tuple[str, str, str, Callable[[str], Any], str], ...] = (
    ("catalog", "TULLE_CATALOG", "--catalog", _name, "catalog plugin: manifests, kubernetes (default manifests)"),
    (
        "host",
        "TULLE_LISTEN_HOST",
        "--listen-host",
        str,
        "address for proxies and health checks (default: all, IPv4 and IPv6)",
    ),
    ("grpc_port", "TULLE_GRPC_PORT", "--grpc-port", _port, "port that proxies dial (default 8086)"),
    ("api_port", "TULLE_API_PORT", "--api-port", _port, "port of the HTTP API, on 127.0.0.1 (default 8085)"),
    ("health_port", "TULLE_HEALTH_PORT", "--health-port", _port, "port of /live and /ready (default 8087)"),
    ("api_socket", "TULLE_API_SOCKET", "--api-socket", Path, "unix socket for the HTTP API, mode 0600 (default none)"),
    (
        "cluster_domain",
        "TULLE_CLUSTER_DOMAIN",
        "--cluster-domain",
        _name,
        "suffix of Services' names (default cluster.local)",
    ),
    (
        "system_namespace",
        "TULLE_SYSTEM_NAMESPACE",
        "--system-namespace",
        _name,
        "where policies for the whole mesh may live (default tulle-system)",
    ),
    (
        "opaque_ports",
        "TULLE_OPAQUE_PORTS",
        "--opaque-ports",
        PortSet.parse,
        "ports whose server speaks first (default 25,587,3306,4444,5432,6379,9300,11211)",
    ),
    ("log_level", "TULLE_LOG_LEVEL", "--log-level", _level, "debug, info, warning or error (default info)"),
)


def load(argv: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Settings from flags, else variables, else defaults. Raises BadSettings; exits for --help as argparse does."""
    parser = argparse.ArgumentParser(
        prog="tulle-control-plane",
        description="Tulle's control plane: catalog, streaming configuration, telemetry.",
        epilog="Each flag overrides the environment variable named with it.",
    )
    for name, variable, flag, _, text in _TABLE:
        parser.add_argument(flag, dest=name, metavar="VALUE", help=f"{text} [{variable}]")
    given = vars(parser.parse_args(argv))
    values: dict[str, Any] = {}
    for name, variable, flag, reader, _ in _TABLE:
        text, origin = (given[name], flag) if given[name] is not None else (environment.get(variable, ""), variable)
        if text:
            try:
                values[name] = reader(text)
            except ValueError as error:
                raise BadSettings(f"{origin}={text!r}: {error}") from None
    settings = Settings(**values)
    ports: dict[int, str] = {}
    for name, variable, *_ in _TABLE:
        if name.endswith("_port") and (port := getattr(settings, name)):
            if port in ports:
                raise BadSettings(f"{ports[port]} and {variable} are both {port}; they must differ")
            ports[port] = variable
    return settings
