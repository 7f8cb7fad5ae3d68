"""The program's configuration: TULLE_* variables, overridden by flags. Reading and refusing only.

One table of settings: variable, reader, default, help. The flag is the variable without TULLE_, in lower case with
dashes. A bad value is refused with the variable's name and what would be right.
"""

from __future__ import annotations

import argparse
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from . import names
from .annotations import READERS
from .keyring import Lifetimes
from .settings import IPTABLES_MODES, LOG_LEVELS, PULL_POLICIES, SIDECAR_MODES, InjectSettings


class ConfigError(ValueError):
    """Configuration that cannot be used; the message names the variable and what would be right."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the program is told."""

    host: str
    webhook_port: int
    health_port: int
    names: tuple[str, ...]
    ca_bundle_file: Path | None
    webhook_configuration: str
    namespaces_file: Path | None
    watch_namespaces: bool
    lifetimes: Lifetimes
    log_level: str
    drain_delay_seconds: float
    drain_seconds: float
    inject: InjectSettings


def _text(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("expected text")
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text

    return read


def _number(low: float, high: float, kind: type[int] | type[float] = int) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            raise ValueError(f"expected {what} from {low:g} to {high:g}")
        return value

    return read


def _optional(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: read(text) if text else ""


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _subnets(text: str) -> str:
    try:
        return ",".join(str(ipaddress.ip_network(part)) for part in _words(text))
    except ValueError as error:
        raise ValueError(f"expected a comma list of subnets like 10.0.0.0/8,fd00::/8 ({error})") from None


_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*", re.ASCII)


def _host_names(text: str) -> tuple[str, ...]:
    for name in _words(text):
        try:
            ipaddress.ip_address(name)
        except ValueError:
            if len(name) > 253 or not _DNS_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is neither a DNS name nor an IP address") from None
    return _words(text)


def _object_name(text: str) -> str:
    if text and (len(text) > 253 or not _DNS_NAME.fullmatch(text)):
        raise ValueError("expected the name of the webhook configurations, such as tulle")
    return text


def _path(text: str) -> Path | None:
    return Path(text) if text else None


_DEFAULTS = InjectSettings()
_CPU, _MEMORY = _optional(READERS[names.CPU_REQUEST]), _optional(READERS[names.MEMORY_REQUEST])

SETTINGS: tuple[tuple[str, Callable[[str], Any], str, str], ...] = (
    # variable, reader, default, help
    ("TULLE_WEBHOOK_HOST", str, "", "address to listen on; empty: all, IPv4 and IPv6"),
    ("TULLE_WEBHOOK_PORT", _number(0, 65535), "8443", "HTTPS port for /mutate and /validate; 0: any free one"),
    ("TULLE_HEALTH_PORT", _number(0, 65535), "8444", "HTTP port for /live, /ready and /metrics; 0: any free one"),
    ("TULLE_WEBHOOK_NAMES", _host_names, "", "more DNS names and IP addresses for the certificate, comma list"),
    ("TULLE_CA_BUNDLE_FILE", _path, "", "file that the CA bundle is written to"),
    ("TULLE_WEBHOOK_CONFIGURATION", _object_name, "", "in a cluster: the configurations whose caBundle is patched"),
    ("TULLE_NAMESPACES_FILE", _path, "", "JSON file {namespace: {annotation: value}}, read again when it changes"),
    (
        "TULLE_WATCH_NAMESPACES",
        _one_of("true", "false"),
        "false",
        "in a cluster: their annotations, listed and watched",
    ),
    ("TULLE_WEBHOOK_CA_SECONDS", _number(60, 10 * 31_536_000), "31536000", "lifetime of the authority"),
    ("TULLE_WEBHOOK_CERT_SECONDS", _number(60, 31_536_000), "86400", "lifetime of the server certificate"),
    ("TULLE_WEBHOOK_SETTLE_SECONDS", _number(0, 86400), "600", "time until a new CA bundle is known everywhere"),
    ("TULLE_LOG_LEVEL", _one_of(*LOG_LEVELS), "info", "this program's own logs"),
    ("TULLE_DRAIN_DELAY_SECONDS", _number(0, 600, float), "0", "on SIGTERM: not ready, but serving, for so long"),
    ("TULLE_DRAIN_SECONDS", _number(0, 600, float), "10", "on SIGTERM: longest wait for reviews in progress"),
    ("TULLE_INIT_IMAGE", READERS[names.PROXY_IMAGE], _DEFAULTS.init_image, "image of tulle-init"),
    ("TULLE_PROXY_IMAGE", READERS[names.PROXY_IMAGE], _DEFAULTS.proxy_image, "image of tulle-proxy"),
    ("TULLE_IMAGE_PULL_POLICY", _one_of(*PULL_POLICIES), _DEFAULTS.image_pull_policy, "of both"),
    ("TULLE_SIDECAR_MODE", _one_of(*SIDECAR_MODES), _DEFAULTS.mode, "classic: for Kubernetes before 1.29"),
    ("TULLE_CONTROL_PLANE", _text, _DEFAULTS.control_plane, "host:port that proxies dial"),
    ("TULLE_EXPORTERS", str, _DEFAULTS.exporters, "comma list of the proxies' exporter plugins"),
    ("TULLE_PROXY_LOG_LEVEL", _one_of(*LOG_LEVELS), _DEFAULTS.log_level, "of the proxies"),
    ("TULLE_PROXY_DRAIN_SECONDS", _number(0, 3600), str(_DEFAULTS.drain_seconds), "of the proxies"),
    ("TULLE_OPAQUE_PORTS", READERS[names.OPAQUE_PORTS], _DEFAULTS.opaque_ports, "ports that are plain TCP"),
    ("TULLE_SKIP_INBOUND_PORTS", READERS[names.OPAQUE_PORTS], "", "ports that are not redirected"),
    ("TULLE_SKIP_OUTBOUND_PORTS", READERS[names.OPAQUE_PORTS], "", "ports that are not redirected"),
    ("TULLE_SKIP_OUTBOUND_SUBNETS", _subnets, "", "destinations that are not redirected, comma list"),
    ("TULLE_IPTABLES_MODE", _one_of(*IPTABLES_MODES), _DEFAULTS.iptables_mode, "of tulle-init"),
    ("TULLE_PROXY_CPU_REQUEST", _CPU, _DEFAULTS.cpu_request, "default; empty: none"),
    ("TULLE_PROXY_CPU_LIMIT", _CPU, _DEFAULTS.cpu_limit, "default; empty: none"),
    ("TULLE_PROXY_MEMORY_REQUEST", _MEMORY, _DEFAULTS.memory_request, "default; empty: none"),
    ("TULLE_PROXY_MEMORY_LIMIT", _MEMORY, _DEFAULTS.memory_limit, "default; empty: none"),
    ("TULLE_NAMESPACE", _text, names.OWN_NAMESPACE, "where Tulle itself runs; never injected"),
    ("TULLE_EXCLUDED_NAMESPACES", _words, ",".join(names.KUBERNETES_NAMESPACES), "never injected either"),
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; tulle-admission-controller --help lists the flags")


def flag(variable: str) -> str:
    """`TULLE_WEBHOOK_PORT` -> `--webhook-port`."""
    return "--" + variable.removeprefix("TULLE_").lower().replace("_", "-")


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> Config:
    """The configuration. Raises ConfigError; `--help` and `--version` print and raise SystemExit(0)."""
    parser = _Parser("tulle-admission-controller", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=names.VERSION)
    for variable, _, default, text in SETTINGS:
        about = f"{text} ({variable}; default {default!r})".replace("%", "%%")
        parser.add_argument(flag(variable), dest=variable, metavar="X", help=about)
    given = vars(parser.parse_args(arguments))
    values: dict[str, Any] = {}
    for variable, read, default, text in SETTINGS:
        raw = given[variable] if given[variable] is not None else environment.get(variable, default)
        try:
            values[variable.removeprefix("TULLE_").lower()] = read(raw)
        except ValueError as error:
            where = flag(variable) if given[variable] is not None else variable
            raise ConfigError(f"{where} ({text}) cannot be {raw!r}: {error}") from None
    return _config(values)


def _config(values: dict[str, Any]) -> Config:
    own = values["namespace"]
    service = f"tulle-admission-controller.{own}.svc"
    return Config(
        host=values["webhook_host"],
        webhook_port=values["webhook_port"],
        health_port=values["health_port"],
        names=tuple(dict.fromkeys((service, f"{service}.cluster.local", *values["webhook_names"]))),
        ca_bundle_file=values["ca_bundle_file"],
        webhook_configuration=values["webhook_configuration"],
        namespaces_file=values["namespaces_file"],
        watch_namespaces=values["watch_namespaces"] == "true",
        lifetimes=Lifetimes(
            timedelta(seconds=values["webhook_ca_seconds"]),
            timedelta(seconds=values["webhook_cert_seconds"]),
            timedelta(seconds=values["webhook_settle_seconds"]),
        ),
        log_level=values["log_level"],
        drain_delay_seconds=values["drain_delay_seconds"],
        drain_seconds=values["drain_seconds"],
        inject=InjectSettings(
            init_image=values["init_image"],
            proxy_image=values["proxy_image"],
            image_pull_policy=values["image_pull_policy"],
            mode=values["sidecar_mode"],
            control_plane=values["control_plane"],
            exporters=",".join(_words(values["exporters"])),
            log_level=values["proxy_log_level"],
            drain_seconds=values["proxy_drain_seconds"],
            opaque_ports=values["opaque_ports"],
            skip_inbound_ports=values["skip_inbound_ports"],
            skip_outbound_ports=values["skip_outbound_ports"],
            skip_outbound_subnets=values["skip_outbound_subnets"],
            iptables_mode=values["iptables_mode"],
            cpu_request=values["proxy_cpu_request"],
            cpu_limit=values["proxy_cpu_limit"],
            memory_request=values["proxy_memory_request"],
            memory_limit=values["proxy_memory_limit"],
            own_namespace=own,
            excluded_namespaces=values["excluded_namespaces"],
        ),
    )
