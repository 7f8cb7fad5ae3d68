"""From the control plane's state to the JSON that README.md documents.

Owns the shape of the answers about proxies and the catalog. (Rows of figures are telemetry/views.py's.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeAlias

from google.protobuf.json_format import MessageToDict

from tulle_control_plane.core import conditions
from tulle_control_plane.core.objects import GRPCRoute, HTTPRoute, Key, MeshPolicy
from tulle_control_plane.core.parse import KINDS
from tulle_control_plane.core.results import Destination
from tulle_control_plane.core.snapshots import Snapshots
from tulle_control_plane.grpc.session import Session, Subscription
from tulle_control_plane.grpc.telemetry import Gauges
from tulle_control_plane.translate import destination, inbound

Json: TypeAlias = dict[str, Any]


def timestamp(seconds: float) -> str:
    """RFC 3339, UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def proxy(session: Session, workload: str, gauges: Gauges | None, now: float, *, with_config: bool = False) -> Json:
    """One proxy; `workload` as the catalog knows it, else the proxy's own word."""
    node = session.node
    state, error = session.state(now)
    return {
        "namespace": node.namespace,
        "pod": node.pod,
        "workload": workload or node.workload,
        "service_account": node.service_account,
        "version": node.version,
        "instance": node.instance,
        "host": node.host,
        "addresses": list(node.addresses),
        "connected_since": timestamp(session.connected),
        "state": state.value,
        "error": error,
        "resident_bytes": gauges.resident_bytes if gauges else None,
        "open_descriptors": gauges.open_descriptors if gauges else None,
        "tasks": gauges.tasks if gauges else None,
        "destinations": [
            _subscription(session.subscriptions[name], now, with_config) for name in sorted(session.subscriptions)
        ],
    }


def _subscription(subscription: Subscription, now: float, with_config: bool) -> Json:
    result = subscription.snapshot.result if subscription.snapshot else None
    row: Json = {
        "destination": subscription.destination,
        "service": subscription.service,
        "known": result.known if isinstance(result, Destination) else result is not None,
        "state": subscription.state(now).value,
        "version": subscription.version,
        "acked_version": subscription.acked_version,
        "changed": timestamp(subscription.changed),
        "error": subscription.error,
    }
    if with_config:
        message = None
        if result is not None:
            message = destination(result) if isinstance(result, Destination) else inbound(result)
        row["config"] = MessageToDict(message, preserving_proto_field_name=True) if message is not None else None
    return row


def routes_to(snapshots: Snapshots, service: Key) -> list[Json]:
    """Every route that names a Service, with its conditions."""
    found = [
        ("HTTPRoute", [route.key for route in snapshots.store.routes_to(service)]),
        ("GRPCRoute", [route.key for route in snapshots.store.grpc_routes_to(service)]),
    ]
    return [
        {"kind": kind, "namespace": key[0], "name": key[1],
         "conditions": [asdict(c) for c in _conditions(snapshots, kind, key, {}, {})]}
        for kind, keys in found
        for key in keys
    ]  # fmt: skip


def catalog(
    snapshots: Snapshots,
    source: str,
    rejected_since: Mapping[str, float],
    kind: str,
    namespace: str,
    sessions: Iterable[Session] = (),
    gone: conditions.Gone = MappingProxyType({}),
) -> Json:
    """What exists, what was refused, and what the proxies of `sessions` run of it.

    `gone`: plugins that run here and have been uninstalled.
    """
    holders = _holders(sessions)
    kinds = [k for k in KINDS if kind in ("", k)]
    return {
        "synced": snapshots.synced,
        "source": source,
        "counts": {k: count for k, count in snapshots.store.counts().items() if k in kinds},
        "objects": {k: rows for k in kinds if (rows := _objects(snapshots, k, namespace, holders, gone))},
        "rejected": [
            {"source": name, "problem": problem, "since": timestamp(rejected_since.get(name, 0.0))}
            for name, problem in sorted(snapshots.rejected.items())
        ],
    }


_Holders: TypeAlias = Mapping[str, list[conditions.Holder]]
"""By the route that they were told of: "HTTPRoute default/app-b"."""


def _holders(sessions: Iterable[Session]) -> _Holders:
    found: dict[str, list[conditions.Holder]] = {}
    for session in sessions:
        told: dict[str, list[Subscription]] = {}
        for subscription in session.subscriptions.values():
            result = subscription.snapshot.result if subscription.snapshot else None
            for source in {route.source for route in result.routes} if isinstance(result, Destination) else ():
                told.setdefault(source, []).append(subscription)
        for source, subscriptions in told.items():
            errors = [each.error for each in subscriptions if each.rejected_version == each.version]
            runs = all(each.acked_version == each.version for each in subscriptions)
            found.setdefault(source, []).append(conditions.Holder(runs, errors[0] if errors else ""))
    return found


def _objects(snapshots: Snapshots, kind: str, namespace: str, holders: _Holders, gone: conditions.Gone) -> list[Json]:
    rows = []
    for key in snapshots.store.keys(kind):
        if namespace in ("", key[0]):
            found = _conditions(snapshots, kind, key, holders, gone)
            rows.append({"namespace": key[0], "name": key[1], "conditions": [asdict(c) for c in found]})
    return rows


def _conditions(
    snapshots: Snapshots, kind: str, key: tuple[str, str], holders: _Holders, gone: conditions.Gone
) -> tuple[conditions.Condition, ...]:
    source = f"{kind} {key[0]}/{key[1]}" if key[0] else f"{kind} {key[1]}"
    held = (conditions.programmed(holders[source]),) if source in holders else ()
    problem = snapshots.rejected.get(source)
    if problem is not None:
        return conditions.refused(problem, in_force=True, partly=source in snapshots.partly) + held
    if kind == "HTTPRoute" and (route := snapshots.store.get(HTTPRoute, key)):
        return conditions.of_route(snapshots.store, route, gone) + held
    if kind == "GRPCRoute" and (grpc := snapshots.store.get(GRPCRoute, key)):
        return conditions.of_route(snapshots.store, grpc, gone) + held
    if kind == "MeshPolicy" and (policy := snapshots.store.get(MeshPolicy, key)):
        return conditions.of_policy(snapshots.store, policy, gone)
    return ()
