"""The compiled routes of a Service as JSON: what its clients' proxies are told, in matching order.

Owns the shape of the answer, which README.md documents. `config` is the message itself: whoever wants to know which
row takes a request gives it to tulle_data_plane.logic (`rows_of`, `explain`), as `tulle explain` does.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from tulle_control_plane.core.objects import Clients, Key, Match, PluginFilter, Redirect, Service, ValueMatch
from tulle_control_plane.core.results import Backend, Destination, Filter, MirrorTo, Route, Row
from tulle_control_plane.core.snapshots import DestinationKey, Snapshots
from tulle_control_plane.web.rehearsal import address_of, config_of

Json: TypeAlias = dict[str, Any]


def tables(snapshots: Snapshots, service: Key, port: int, client: str) -> list[Json]:
    """One for each port of the Service (or the one asked for); empty where there is none."""
    found = snapshots.store.get(Service, service)
    if found is None or not found.vips:
        return []
    return [_table(snapshots, found, each.port, client) for each in found.ports if port in (0, each.port)]


def _table(snapshots: Snapshots, service: Service, port: int, client: str) -> Json:
    address = address_of(service.vips[0], port)
    key = DestinationKey(client, address)
    snapshot = snapshots.watch(key)
    snapshots.release(key)
    result = snapshot.result
    assert isinstance(result, Destination)
    return {
        "service": service.name,
        "namespace": service.namespace,
        "port": port,
        "client": client,
        "destination": address,
        "protocol": result.protocol.name,
        "version": snapshot.version,
        "rows": [_row(number, row, result) for number, row in enumerate(result.rows)],
        "policies": [{"type": policy.type, "source": policy.source} for policy in result.policies],
        "backends": [_backend(backend) for backend in result.backends],
        "config": config_of(result),
    }


def _row(number: int, row: Row, result: Destination) -> Json:
    route = result.routes[row.route]
    return {
        "number": number,
        "route": route.name,
        "source": route.source,
        "match": _match(row.match, row.clients),
        "filters": [_filter(each) for each in route.filters],
        "backends": _shares(route),
        "policies": [{"type": policy.type, "source": policy.source} for policy in route.policies],
        "without_policies": list(route.without_policies),
        "session": route.session.name if route.session else "",
    }


_WORDS = {"Exact": "is", "PathPrefix": "begins with", "RegularExpression": "matches"}


def _match(match: Match, clients: Clients) -> list[str]:
    """Conditions, a sentence each; none: everything."""

    def said(what: str, value: ValueMatch) -> str:
        return f"{what} {_WORDS[value.kind]} {value.value}"

    found = [said("path", match.path)] if match.path is not None else []
    found += [f"method is {match.method}"] if match.method else []
    found += [said(f"header {value.name}", value) for value in match.headers]
    found += [said(f"query {value.name}", value) for value in match.query]
    found += [f"client in namespace {' or '.join(clients.namespaces)}"] if clients.namespaces else []
    found += [f"client runs as {' or '.join(clients.service_accounts)}"] if clients.service_accounts else []
    return found + [f"client has label {name}={value}" for name, value in clients.labels]


def _filter(each: Filter) -> str:
    match each:
        case PluginFilter(type_, config):
            return f"{type_} {config}"
        case MirrorTo(service, percent):
            return f"mirror {percent:g}% to {service.namespace}/{service.name}:{service.port}"
        case Redirect():
            return f"redirect {each.status}"
        case _:
            return "rewrite"


def _shares(route: Route) -> list[Json]:
    total = sum(share.weight for share in route.backends)
    return [
        {
            "backend": share.backend,
            "weight": share.weight,
            "percent": round(100 * share.weight / total, 2) if total else 0,
            "filters": [_filter(each) for each in share.filters],
        }
        for share in route.backends
    ]


def _backend(backend: Backend) -> Json:
    return {"name": backend.name, "resolved": backend.resolved, "endpoints": len(backend.endpoints)}
