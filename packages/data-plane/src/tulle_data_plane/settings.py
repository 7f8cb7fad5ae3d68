"""What the proxy is told at its start: TULLE_* environment variables, checked once, together.

Owns names, defaults and their validation. Refuses to start with bad ones: each is named with what would be right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from tulle_data_plane.limits import LIMITS

DEFAULT_OPAQUE_PORTS = "25,587,3306,4444,5432,6379,9300,11211"
"""Ports whose servers usually speak first: SMTP, MySQL, PostgreSQL, Redis, Elasticsearch, memcached."""


TRACE_FORMATS = ("w3c", "b3", "b3-multi")
LEVELS = ("debug", "info", "warning", "error")


class BadSettings(ValueError):
    """One or more settings are wrong. The message names each."""


class PortSet:
    """Ports and ranges, "25,587,4190-4191"."""

    def __init__(self, text: str) -> None:
        """Raises ValueError saying what would be right."""
        self.text = text
        self._ports: set[int] = set()
        for part in filter(None, (p.strip() for p in text.split(","))):
            first, _, last = part.partition("-")
            if not _is_number(first) or ("-" in part and not _is_number(last)):
                raise ValueError(f"{part!r} is not a port or range; write 25 or 4190-4191")
            low, high = int(first), int(last or first)
            if not 1 <= low <= high <= 65535:
                raise ValueError(f"{part!r}: ports are 1 to 65535, the lower first")
            self._ports.update(range(low, high + 1))

    def __contains__(self, port: object) -> bool:
        return port in self._ports


@dataclass(frozen=True)
class Settings:
    """Times are seconds."""

    pod_name: str = ""
    pod_namespace: str = "default"
    pod_ip: str = ""
    pod_ips: tuple[str, ...] = ()
    node_name: str = ""
    zone: str = ""  # where this proxy runs, as in EndpointSlices; empty: unknown, and no zone is preferred
    service_account: str = "default"
    workload: str = ""
    control_plane: str = ""  # "host:port"; empty: none, everything passes through
    outbound_port: int = 4140
    inbound_port: int = 4143
    admin_port: int = 4191
    opaque_ports: PortSet = field(default_factory=lambda: PortSet(DEFAULT_OPAQUE_PORTS))
    exporters: tuple[str, ...] = ("prometheus", "access-log")
    exporter_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    trace_sample: float = 0.01  # share of the traces that begin here to record; who asks by header decides himself
    trace_format: str = "w3c"  # in which a trace that begins here is told to the next hop
    log_level: str = "info"
    drain_seconds: float = 120.0
    detect_seconds: float = 10.0
    connect_seconds_outbound: float = 1.0
    connect_seconds_inbound: float = 0.3
    pool_idle_seconds: float = 50.0  # a kept connection to an upstream: shorter than what servers usually allow
    discovery_seconds: float = 2.0  # a new destination waits so long for the control plane, then passes through
    destination_idle_seconds: float = 300.0  # an unused destination is unsubscribed

    # limits.py says what each bounds, and its range
    request_line_bytes: int = 16 * 1024
    head_bytes: int = 64 * 1024
    head_fields: int = 100
    chunk_extension_bytes: int = 4 * 1024
    trailer_bytes: int = 8 * 1024
    head_seconds: float = 10.0
    body_rate: int = 100
    body_grace_seconds: float = 30.0
    idle_seconds: float = 600.0
    write_seconds: float = 600.0
    half_closed_seconds: float = 3600.0


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise ValueError("expected a positive number of seconds, such as 1.5")
    return value


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError("expected a share from 0 to 1, such as 0.01 for one in a hundred")
    return value


def _trace_format(text: str) -> str:
    if text not in TRACE_FORMATS:
        raise ValueError(f"expected {', '.join(TRACE_FORMATS[:-1])} or {TRACE_FORMATS[-1]}")
    return text


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _port(text: str) -> int:
    if not _is_number(text) or not 1 <= int(text) <= 65535:
        raise ValueError("expected a port, 1 to 65535")
    return int(text)


def _level(text: str) -> str:
    if text not in LEVELS:
        raise ValueError("expected debug, info, warning or error")
    return text


def _target(text: str) -> str:
    host, _, port = text.rpartition(":")
    if text and not (host and _is_number(port) and 1 <= int(port) <= 65535):
        raise ValueError("expected host:port, such as tulle-control-plane.tulle-system.svc.cluster.local:8086")
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


# environment variable, field, how it is read
_VARIABLES: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
    ("TULLE_POD_NAME", "pod_name", str),
    ("TULLE_POD_NAMESPACE", "pod_namespace", str),
    ("TULLE_POD_IP", "pod_ip", str),
    ("TULLE_POD_IPS", "pod_ips", _names),
    ("TULLE_NODE_NAME", "node_name", str),
    ("TULLE_ZONE", "zone", str),
    ("TULLE_SERVICE_ACCOUNT", "service_account", str),
    ("TULLE_WORKLOAD", "workload", str),
    ("TULLE_CONTROL_PLANE", "control_plane", _target),
    ("TULLE_OUTBOUND_PORT", "outbound_port", _port),
    ("TULLE_INBOUND_PORT", "inbound_port", _port),
    ("TULLE_ADMIN_PORT", "admin_port", _port),
    ("TULLE_OPAQUE_PORTS", "opaque_ports", PortSet),
    ("TULLE_EXPORTERS", "exporters", _names),
    ("TULLE_TRACE_SAMPLE", "trace_sample", _share),
    ("TULLE_TRACE_FORMAT", "trace_format", _trace_format),
    ("TULLE_LOG_LEVEL", "log_level", _level),
    ("TULLE_DRAIN_SECONDS", "drain_seconds", _seconds),
    ("TULLE_DETECT_SECONDS", "detect_seconds", _seconds),
    ("TULLE_CONNECT_SECONDS_OUTBOUND", "connect_seconds_outbound", _seconds),
    ("TULLE_CONNECT_SECONDS_INBOUND", "connect_seconds_inbound", _seconds),
    ("TULLE_POOL_IDLE_SECONDS", "pool_idle_seconds", _seconds),
    ("TULLE_DISCOVERY_SECONDS", "discovery_seconds", _seconds),
    ("TULLE_DESTINATION_IDLE_SECONDS", "destination_idle_seconds", _seconds),
    *((limit.variable, limit.setting, limit.read) for limit in LIMITS),
)


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Settings from TULLE_* variables. Raises BadSettings that names every bad one."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for variable, name, read in _VARIABLES:
        if variable in environment:
            try:
                values[name] = read(environment[variable])
            except ValueError as error:
                problems.append(f"{variable}={environment[variable]!r}: {error}")
    if problems:
        raise BadSettings("; ".join(problems))
    settings = Settings(**values, exporter_options=_exporter_options(environment))
    ports = [(variable, getattr(settings, name)) for variable, name, read in _VARIABLES if read is _port]
    for (one, port), (other, same) in combinations(ports, 2):
        if port == same:
            raise BadSettings(f"{one}={port} and {other}={port}: each needs a port of its own")
    if settings.request_line_bytes > settings.head_bytes:
        raise BadSettings(
            f"TULLE_REQUEST_LINE_BYTES={settings.request_line_bytes} is more than TULLE_HEAD_BYTES="
            f"{settings.head_bytes}, of which the line is a part: raise the second or lower the first"
        )
    return settings


def _exporter_options(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    # TULLE_EXPORTER_ACCESS_LOG_FORMAT=common -> {"access-log": {"format": "common"}}; which exporters there are is
    # not known yet, so all splits of the name are kept
    options: dict[str, dict[str, str]] = {}
    for variable, value in environment.items():
        if variable.startswith("TULLE_EXPORTER_"):
            words = variable.removeprefix("TULLE_EXPORTER_").lower().split("_")
            for cut in range(1, len(words)):
                options.setdefault("-".join(words[:cut]), {})["_".join(words[cut:])] = value
    return options
