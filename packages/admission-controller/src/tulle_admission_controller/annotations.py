"""The annotations that people write on pods and namespaces: one table, read into `ProxyOptions`.

Owns what each annotation may say and how a bad one is refused. The webhook's /mutate and /validate, `tulle inject`
and the lab all come through here, so that they refuse the same things in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import names
from .limits import parse_limits
from .ports import parse_ports, render_ports
from .quantity import check_cpu, check_memory
from .settings import LOG_LEVELS, InjectSettings


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """What one pod's proxy is started with: settings, overridden by annotations, all checked and normalised.

    `resources` is the container's `resources` object, with only the parts that are set.
    """

    image: str
    log_level: str
    limits: str  # as limits.py writes them; empty: the proxy's own
    opaque_ports: str
    skip_inbound_ports: str
    skip_outbound_ports: str
    resources: dict[str, dict[str, str]]


def _switch(text: str) -> str:
    if text not in ("enabled", "disabled"):
        raise ValueError(f'"{text}" is neither "enabled" nor "disabled"')
    return text


def _ports(text: str) -> str:
    return render_ports(parse_ports(text))


def _level(text: str) -> str:
    if text not in LOG_LEVELS:
        raise ValueError(f'"{text}" is not a log level; write one of {", ".join(LOG_LEVELS)}')
    return text


# registry/path:tag@digest, loosely: what cannot be an image at all is refused, the rest is the kubelet's to judge
_IMAGE = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9._:/\[\]-]*(@[A-Za-z0-9_+.-]+:[0-9A-Fa-f]{32,})?", re.ASCII)


def _image(text: str) -> str:
    if len(text) > 512 or not _IMAGE.fullmatch(text) or text[-1] in ":/":
        raise ValueError(f'"{text[:80]}" is not an image reference; write one like "tulle/proxy:{names.VERSION}"')
    return text


def _cpu(text: str) -> str:
    check_cpu(text)
    return text


def _memory(text: str) -> str:
    check_memory(text)
    return text


READERS: dict[str, Callable[[str], str]] = {
    names.INJECT: _switch,
    names.OPAQUE_PORTS: _ports,
    names.SKIP_INBOUND_PORTS: _ports,
    names.SKIP_OUTBOUND_PORTS: _ports,
    names.PROXY_IMAGE: _image,
    names.PROXY_LOG_LEVEL: _level,
    names.PROXY_LIMITS: parse_limits,
    names.CPU_REQUEST: _cpu,
    names.CPU_LIMIT: _cpu,
    names.MEMORY_REQUEST: _memory,
    names.MEMORY_LIMIT: _memory,
}
"""Annotation -> what reads it: gives the normalised value, or raises ValueError saying what would be right."""


def annotation_problems(annotations: Mapping[str, str]) -> list[str]:
    """One message for each annotation of ours that says something impossible; empty when all are right."""
    problems = []
    for name, read in READERS.items():
        if name in annotations:
            try:
                read(annotations[name])
            except ValueError as error:
                problems.append(f"annotation {name}: {error}")
    return problems or _limit_problems(annotations)


def annotation_warnings(annotations: Mapping[str, str]) -> list[str]:
    """One message for each annotation under `tulle.dev/` that nobody reads: most are slips of the pen."""
    strangers = [
        name
        for name in annotations
        if name.startswith(names.PREFIX) and name not in READERS and name != names.INJECTED
    ]
    if not strangers:
        return []
    from difflib import get_close_matches  # only for the unlucky: importing it takes longer than injecting

    warnings = []
    for name in strangers:
        words = [known.removeprefix(names.PREFIX) for known in READERS]
        near = get_close_matches(name.removeprefix(names.PREFIX), words, n=1)
        hint = f"; did you mean {names.PREFIX}{near[0]}?" if near else f"; known are {', '.join(words)}"
        warnings.append(f"annotation {name} is not known and has no effect{hint}")
    return warnings


def read_options(annotations: Mapping[str, str], settings: InjectSettings) -> ProxyOptions:
    """Settings with the annotations laid over them; call it only when `annotation_problems` found none."""

    def get(name: str, default: str) -> str:
        return READERS[name](annotations[name]) if name in annotations else default

    return ProxyOptions(
        image=get(names.PROXY_IMAGE, settings.proxy_image),
        log_level=get(names.PROXY_LOG_LEVEL, settings.log_level),
        limits=get(names.PROXY_LIMITS, ""),
        opaque_ports=get(names.OPAQUE_PORTS, settings.opaque_ports),
        skip_inbound_ports=get(names.SKIP_INBOUND_PORTS, settings.skip_inbound_ports),
        skip_outbound_ports=get(names.SKIP_OUTBOUND_PORTS, settings.skip_outbound_ports),
        resources=_resources(annotations, settings),
    )


_RESOURCES = (
    # resource, its annotations, what measures it
    ("cpu", names.CPU_REQUEST, names.CPU_LIMIT, check_cpu),
    ("memory", names.MEMORY_REQUEST, names.MEMORY_LIMIT, check_memory),
)


def _limit_problems(annotations: Mapping[str, str]) -> list[str]:
    return [
        f"annotation {request}: {annotations[request]} is more than {limit}, which is {annotations[limit]}; "
        "Kubernetes wants the request at or below the limit"
        for _, request, limit, measure in _RESOURCES
        if request in annotations
        and limit in annotations
        and measure(annotations[request]) > measure(annotations[limit])
    ]


def _resources(annotations: Mapping[str, str], settings: InjectSettings) -> dict[str, dict[str, str]]:
    """Requests and limits. Where only one of the two is annotated, the default gives way to it."""
    requests, limits = {}, {}
    defaults = {
        "cpu": (settings.cpu_request, settings.cpu_limit),
        "memory": (settings.memory_request, settings.memory_limit),
    }
    for resource, request_name, limit_name, measure in _RESOURCES:
        request = annotations.get(request_name, defaults[resource][0])
        limit = annotations.get(limit_name, defaults[resource][1])
        if request and limit and measure(request) > measure(limit):
            if limit_name in annotations:
                request = limit
            else:
                limit = request
        if request:
            requests[resource] = request
        if limit:
            limits[resource] = limit
    return {name: values for name, values in (("requests", requests), ("limits", limits)) if values}
