"""From the control plane's proxy objects to the cells of `tulle proxy`. Pure. Also finds the proxy somebody means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tulle_cli.errors import CliError

Proxy = Mapping[str, Any]

STATUS_HEAD = ("NAMESPACE", "POD", "STATE", "DESTINATIONS", "MEMORY", "VERSION")
ONE_HEAD = ("DESTINATION", "SERVICE", "STATE", "RUNS", "WANTED", "CHANGED")
CONFIG_HEAD = ("DESTINATION", "SERVICE", "PROTOCOL", "BALANCER", "BACKEND", "WEIGHT", "ENDPOINTS")
NUMERIC = frozenset({"DESTINATIONS", "MEMORY", "WEIGHT"})


def status_cells(proxy: Proxy) -> tuple[str, ...]:
    """Cells under STATUS_HEAD."""
    memory = proxy.get("resident_bytes")
    return (
        proxy["namespace"],
        proxy["pod"],
        proxy["state"],
        str(sum(1 for item in proxy["destinations"] if item["destination"] != "inbound")),
        f"{memory / 1e6:.1f}MB" if memory else "",
        proxy["version"],
    )


def one_cells(destination: Mapping[str, Any]) -> tuple[str, ...]:
    """Cells under ONE_HEAD: the version the proxy runs beside the one it should."""
    return (
        destination["destination"],
        service_of(destination),
        destination["state"],
        destination.get("acked_version") or "",
        destination.get("version") or "",
        destination.get("changed") or "",
    )


def service_of(destination: Mapping[str, Any]) -> str:
    """The Service's authority; says so where the destination is not in the mesh."""
    if destination["destination"] == "inbound":
        return ""
    return destination.get("service") or ("" if destination.get("known") else "(not in the mesh: passed through)")


def troubles(proxies: Sequence[Proxy]) -> list[str]:
    """One line for each proxy that is not SYNCED and says why, and for each plugin that misbehaves in one."""
    lines = []
    for item in proxies:
        who = f"{item['namespace']}/{item['pod']}"
        if item.get("error"):
            lines.append(f"{who}: {item['error']}")
        lines += [
            f"{who}: plugin {fault['plugin']} {fault['state']} ({fault['failures']}x): {fault['error']}"
            for fault in item.get("plugins", ())
        ]
    return lines


def faults(proxies: Sequence[Proxy]) -> dict[str, tuple[str, str]]:
    """(state, words) of each plugin that misbehaves in some proxy: the worst state, and the last error of one."""
    found: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for item in proxies:
        for fault in item.get("plugins", ()):
            found.setdefault(fault["plugin"], []).append((f"{item['namespace']}/{item['pod']}", fault))
    told = {}
    for plugin, rows in found.items():
        state = min((fault["state"] for _, fault in rows), key=lambda one: _WORST.index(one) if one in _WORST else 9)
        pod, fault = max(rows, key=lambda row: int(row[1]["failures"]))
        where = f"{pod}" if len(rows) == 1 else f"{len(rows)} proxies, such as {pod}"
        told[plugin] = state, f"in {where} ({fault['failures']}x): {fault['error']}"
    return told


_WORST = ("failed", "disabled", "suspended", "misbehaving")


def config_cells(destination: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Rows under CONFIG_HEAD: one a backend (and route that names it), or one for what has none."""
    name, config = destination["destination"], destination.get("config") or {}
    if name == "inbound":
        for port in config.get("ports", []):
            yield (f"inbound :{port.get('port')}", _service(port.get("service")), _protocol(port), "", "", "", "")
        return
    first = (name, service_of(destination), _protocol(config), config.get("balancer", ""))
    rows = list(_backends(config))
    if not rows:
        yield (*first, "", "", "")
    for number, row in enumerate(rows):
        yield (*(first if number == 0 else (" ",) * 4), *row)


def _backends(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    weights = {
        part.get("backend"): str(part.get("weight", 0))
        for route in config.get("routes", [])
        for part in route.get("backends", [])
    }
    for backend in config.get("backends", []):
        endpoints = backend.get("endpoints", [])
        where = ", ".join(_endpoint(item) for item in endpoints) or (
            "none is ready" if backend.get("resolved") else "no such Service or port"
        )
        yield backend.get("name", ""), weights.get(backend.get("name"), ""), where


def _endpoint(item: Mapping[str, Any]) -> str:
    address = item.get("address", "")
    return f"[{address}]:{item.get('port')}" if ":" in address else f"{address}:{item.get('port')}"


def _service(service: Mapping[str, Any] | None) -> str:
    return str((service or {}).get("authority", ""))


def _protocol(config: Mapping[str, Any]) -> str:
    return str(config.get("protocol", "")).removeprefix("PROTOCOL_").lower()


def find(proxies: Sequence[Proxy], wanted: str, namespace: str | None) -> Proxy:
    """The proxy of pod `wanted`: "POD", "NAMESPACE/POD", "POD.NAMESPACE", or the beginning of exactly one pod's name.

    Raises CliError naming those that could be meant.
    """
    if "/" in wanted:
        namespace, wanted = wanted.split("/", 1)
    here = [item for item in proxies if namespace in (None, item["namespace"])]
    exact = [item for item in here if item["pod"] == wanted] or [
        item for item in proxies if f"{item['pod']}.{item['namespace']}" == wanted
    ]
    meant = exact or [item for item in here if item["pod"].startswith(wanted)]
    if len(meant) == 1:
        return meant[0]
    where = f"namespace {namespace}" if namespace else "any namespace"
    if meant:
        names = ", ".join(f"{item['namespace']}/{item['pod']}" for item in meant)
        raise CliError(f"{wanted!r} could be several pods", names, "give the whole name, or NAMESPACE/POD")
    raise CliError(
        f"no connected proxy of a pod {wanted!r} in {where}",
        "the pod does not exist, has no proxy, or its proxy has lost the control plane",
        "tulle proxy status -A lists those that are connected",
    )


