"""From core's results to discovery.proto, field by field.

Owns the mapping, and nothing else. Core stays free of protobuf; the stream stays free of core's types.
"""

from __future__ import annotations

import json
from collections import OrderedDict

from tulle_api.v1 import discovery_pb2 as pb

from tulle_control_plane.core.objects import PathEdit, PluginFilter, Redirect, Rewrite
from tulle_control_plane.core.results import (
    Backend,
    Destination,
    Endpoint,
    Filter,
    Inbound,
    MirrorTo,
    Policy,
    Protocol,
    Route,
    Row,
    ServiceRef,
)
from tulle_control_plane.core.snapshots import Snapshot

_PROTOCOLS = {
    Protocol.DETECT: pb.PROTOCOL_DETECT,
    Protocol.HTTP1: pb.PROTOCOL_HTTP1,
    Protocol.HTTP2: pb.PROTOCOL_HTTP2,
    Protocol.OPAQUE: pb.PROTOCOL_OPAQUE,
}


class Messages:
    """Serialized messages: made once, however many proxies get them."""

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._by_version: OrderedDict[str, bytes] = OrderedDict()

    def serialized(self, snapshot: Snapshot) -> bytes:
        """A snapshot as the bytes of a WatchResponse."""
        found = self._by_version.get(snapshot.version)
        if found is None:
            found = self._by_version[snapshot.version] = response(snapshot).SerializeToString()
            if len(self._by_version) > self._most:
                self._by_version.popitem(last=False)
        return found


def response(snapshot: Snapshot) -> pb.WatchResponse:
    """A snapshot as the message that carries it."""
    result = snapshot.result
    if isinstance(result, Destination):
        return pb.WatchResponse(version=snapshot.version, destination=destination(result))
    return pb.WatchResponse(version=snapshot.version, inbound=inbound(result))


def destination(result: Destination) -> pb.Destination:
    """A destination."""
    if not result.known:
        return pb.Destination(address=result.address)
    return pb.Destination(
        address=result.address,
        known=True,
        service=_service(result.service),
        protocol=_PROTOCOLS[result.protocol],
        routes=[_route(route) for route in result.routes],
        backends=[_backend(backend) for backend in result.backends],
        policies=[_policy(policy) for policy in result.policies],
        balancer=result.balancer,
        balancer_config=result.balancer_config,
        matches=[_row(row) for row in result.rows],
    )


def inbound(result: Inbound) -> pb.Inbound:
    """A pod's own ports."""
    return pb.Inbound(
        ports=[
            pb.InboundPort(
                port=port.port,
                service=_service(port.service),
                protocol=_PROTOCOLS[port.protocol],
                policies=[_policy(policy) for policy in port.policies],
                probe_paths=port.probe_paths,
            )
            for port in result.ports
        ],
        labels=dict(result.labels),
    )


def _service(ref: ServiceRef | None) -> pb.Service | None:
    if ref is None:
        return None
    return pb.Service(name=ref.name, namespace=ref.namespace, port=ref.port, authority=ref.authority)


def _route(route: Route) -> pb.Route:
    session = route.session
    return pb.Route(
        name=route.name,
        backends=[
            pb.WeightedBackend(
                backend=share.backend,
                weight=share.weight,
                filters=[_filter(each, route.name) for each in share.filters],
            )
            for share in route.backends
        ],
        policies=[_policy(policy) for policy in route.policies],
        filters=[_filter(each, route.name) for each in route.filters],
        session=None
        if session is None
        else pb.Session(
            name=session.name,
            header=session.header,
            absolute_ms=session.absolute_ms,
            idle_ms=session.idle_ms,
            permanent=session.permanent,
        ),
        without_policies=route.without_policies,
    )


def _filter(each: Filter, source: str) -> pb.Filter:
    match each:
        case PluginFilter(type_, config):
            return pb.Filter(policy=pb.Policy(type=type_, source=source, config=config))
        case MirrorTo(service, percent):
            to = {"service": service.name, "namespace": service.namespace, "port": service.port, "percent": percent}
            return pb.Filter(policy=pb.Policy(type="mirror", source=source, config=json.dumps(to)))
        case Redirect():
            return pb.Filter(
                redirect=pb.Redirect(
                    scheme=each.scheme, hostname=each.hostname, path=_path_edit(each.path), port=each.port,
                    status=each.status,
                )
            )  # fmt: skip
        case Rewrite():
            return pb.Filter(rewrite=pb.Rewrite(hostname=each.hostname, path=_path_edit(each.path)))


def _path_edit(edit: PathEdit | None) -> pb.PathEdit | None:
    if edit is None:
        return None
    if edit.full is not None:
        return pb.PathEdit(full=edit.full)
    return pb.PathEdit(replacement=edit.replacement or "", prefix=edit.prefix)


_MATCH_TYPES = {
    "Exact": pb.MATCH_TYPE_EXACT,
    "PathPrefix": pb.MATCH_TYPE_PREFIX,
    "RegularExpression": pb.MATCH_TYPE_REGEX,
}


def _row(row: Row) -> pb.RouteMatch:
    match, clients = row.match, row.clients
    path = match.path
    return pb.RouteMatch(
        route=row.route,
        path=None if path is None else pb.PathMatch(type=_MATCH_TYPES[path.kind], value=path.value),
        method=match.method,
        headers=[pb.ValueMatch(name=v.name, type=_MATCH_TYPES[v.kind], value=v.value) for v in match.headers],
        query=[pb.ValueMatch(name=v.name, type=_MATCH_TYPES[v.kind], value=v.value) for v in match.query],
        source=pb.SourceMatch(
            labels=dict(clients.labels), namespaces=clients.namespaces, service_accounts=clients.service_accounts
        )
        if clients
        else None,
    )


def _backend(backend: Backend) -> pb.Backend:
    return pb.Backend(
        name=backend.name,
        service=_service(backend.service),
        resolved=backend.resolved,
        endpoints=[_endpoint(endpoint) for endpoint in backend.endpoints],
    )


def _endpoint(endpoint: Endpoint) -> pb.Endpoint:
    return pb.Endpoint(
        address=endpoint.address,
        port=endpoint.port,
        pod=endpoint.pod,
        namespace=endpoint.namespace,
        workload=endpoint.workload,
        zone=endpoint.zone,
        weight=endpoint.weight,
        labels=dict(endpoint.labels),
        meshed=endpoint.meshed,
    )


def _policy(policy: Policy) -> pb.Policy:
    return pb.Policy(type=policy.type, source=policy.source, config=policy.config)
