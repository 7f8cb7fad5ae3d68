"""Routes of a Service, as one client namespace sees them (GEP-1294, the Gateway API for meshes).

Owns which routes hold and where they send; precedence.py has their order. A client in a namespace that has routes of
its own to the Service (consumer routes) follows those alone; every other client follows the routes in the Service's
namespace (producer routes). Of different kinds only one holds: GRPCRoutes, where there are any, else HTTPRoutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from tulle_control_plane.core.objects import (
    AnyRoute,
    BackendRef,
    Clients,
    Filter,
    GRPCRoute,
    HTTPRoute,
    Key,
    Match,
    Mirror,
    PluginFilter,
    Rule,
    Service,
    ServicePort,
    Session,
    ValueMatch,
)
from tulle_control_plane.core.policies import Directions, on_rule
from tulle_control_plane.core.precedence import preflight_rank, rank, route_order
from tulle_control_plane.core.reader import Reader
from tulle_control_plane.core.results import Backend, MirrorTo, Policy, Route, Row, Share
from tulle_control_plane.core.results import Filter as Filtered
from tulle_control_plane.core.services import Settings, backend_name, backend_of, reference, subset_of

EVERYTHING = Match()


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a Service's routes come to."""

    routes: tuple[Route, ...] = ()
    rows: tuple[Row, ...] = ()
    backends: tuple[Backend, ...] = ()


def routes_for(reader: Reader, client: str, service: Service, port: ServicePort) -> list[AnyRoute]:
    """The routes that hold for a client's namespace, the oldest first."""
    attached: list[AnyRoute] = [*reader.grpc_routes_to(service.key), *reader.routes_to(service.key)]
    attached = [
        route
        for route in attached
        if any(parent.service == service.key and parent.selects(port) for parent in route.parents)
    ]
    own = [route for route in attached if route.namespace == client]
    producers = [route for route in attached if route.namespace == service.namespace]
    # routes for some clients say nothing about the others of their namespace: those follow the producer's
    group = own if any(not route.clients for route in own) else own + [r for r in producers if r not in own]
    grpc: list[AnyRoute] = [route for route in group if isinstance(route, GRPCRoute)]
    return sorted(grpc or group, key=route_order)


def overruled_by(reader: Reader, route: HTTPRoute, service: Service) -> GRPCRoute | None:
    """The GRPCRoute because of which an HTTPRoute does not hold on any port of a Service (GEP-1294, "Route types")."""
    ports = [p for p in service.ports if any(x.service == service.key and x.selects(p) for x in route.parents)]
    first = None
    for port in ports:
        holding = routes_for(reader, route.namespace, service, port)
        if not holding or not isinstance(holding[0], GRPCRoute):
            return None
        first = first or holding[0]
    return first


def allowed(reader: Reader, route: AnyRoute, backend: BackendRef, parent: Key) -> bool:
    """Whether a route may send there: its own namespace, its parent's (who calls a Service may be sent back to its
    namespace), or where a ReferenceGrant says so. Stricter than GEP-1294, which lets a mesh go without the grant.
    """
    namespace, name = backend.service
    if namespace in (route.namespace, parent[0]):
        return True
    return any(
        (type(route).__name__, route.namespace) in grant.from_
        and (("Service", name) in grant.to or ("Service", "") in grant.to)
        for grant in reader.grants_in(namespace)
    )


def rule_name(route: AnyRoute, index: int) -> str:
    """What a rule is called: its name, else its number (with "#" where a rule's name is that number)."""
    names = {rule.name for rule in route.rules}
    name = route.rules[index].name or (str(index) if str(index) not in names else f"#{index}")
    return f"{route.namespace}/{route.name}/{name}"


def compile_routes(
    reader: Reader, client: str, service: Service, port: ServicePort, settings: Settings, directions: Directions
) -> Compiled:
    """The rules, the table that leads to them, and every backend once: the Service's own first, the others by name."""
    own = backend_of(reader, service.key, port.port, settings)
    compiler = _Compiler(reader, service, settings, directions, {own.name: own})
    ranked = []
    routes: list[Route] = []
    for route in routes_for(reader, client, service, port):
        for index, rule in enumerate(route.rules):
            for number, match in enumerate(rule.matches or (EVERYTHING,)):
                ranked.append((rank(route, index, number, match), Row(len(routes), match, route.clients)))
                preflight = preflight_of(rule, match)
                if preflight is not None:
                    at = preflight_rank(route, index, number, match)
                    ranked.append((at, Row(len(routes), preflight, route.clients)))
            routes.append(compiler.route(route, index, rule))
    if routes and all(row.clients for _, row in ranked):
        # GEP-1294, "Route presence": for clients that no route is for there is none, and the Service is called
        ranked.append(((1,), Row(len(routes), EVERYTHING, Clients())))
        routes.append(Route(name="", backends=(Share(own.name, 1),)))
    backends = compiler.backends
    del backends[own.name]
    ranked.sort(key=lambda pair: pair[0])
    others = (backends[name] for name in sorted(backends))
    return Compiled(tuple(routes), tuple(row for _, row in ranked), (own, *others))


def preflight_of(rule: Rule, match: Match) -> Match | None:
    """The preflights of the requests that a rule with a CORS filter takes by their method; None where there is none.

    A browser asks with OPTIONS whether it may send the request itself (Fetch standard, CORS-preflight request). By the
    letter a rule for GET takes no OPTIONS, and its filter would never see what it is there for; the specification says
    nothing (kubernetes-sigs/gateway-api issue 3857). As Envoy Gateway does since its pull request 7144, the rule takes
    preflights, and no other OPTIONS, with its other conditions as they are. Ours must name the method that it takes.
    """
    cors = any(isinstance(each, PluginFilter) and each.type == "cors" for each in rule.filters)
    if not cors or match.method in ("", "OPTIONS"):
        return None
    named = {each.name for each in match.headers}
    asked = (
        ValueMatch("Exact", match.method, "access-control-request-method"),
        ValueMatch("RegularExpression", ".+", "origin"),
    )
    more = tuple(each for each in asked if each.name not in named)
    return replace(match, method="OPTIONS", headers=(*match.headers, *more))


@dataclass
class _Compiler:
    """Compiles the rules of one Service's routes, and gathers the backends that they name."""

    reader: Reader
    service: Service
    settings: Settings
    directions: Directions
    backends: dict[str, Backend] = field(default_factory=dict)

    def route(self, route: AnyRoute, index: int, rule: Rule) -> Route:
        """One rule."""
        shares: dict[tuple[str, tuple[Filtered, ...]], int] = {}
        for ref in rule.backends:
            backend = self._backend(route, ref)
            share = backend.name, tuple(self._filters(route, ref.filters))
            shares[share] = shares.get(share, 0) + ref.weight
        name = rule_name(route, index)
        policies, off = self._policies(route, rule, name)
        return Route(
            name=name,
            backends=tuple(Share(backend, weight, filters) for (backend, filters), weight in shares.items()),
            policies=policies,
            filters=tuple(self._filters(route, rule.filters)),
            session=_named(rule.session, name),
            without_policies=off,
            source=f"{type(route).__name__} {route.namespace}/{route.name}",
        )

    def _policies(self, route: AnyRoute, rule: Rule, name: str) -> tuple[tuple[Policy, ...], tuple[str, ...]]:
        """MeshPolicies on the rule or route; but what the rule's own fields say is nearer than all of them."""
        found = {policy.type: policy for policy in on_rule(self.reader, route, rule.name, self.directions)}
        off = []
        for type_, config in rule.policies:
            found.pop(type_, None)
            if config is None:
                off.append(type_)
            else:
                found[type_] = Policy(type_, f"{type(route).__name__} {name}", config)
        return tuple(found[type_] for type_ in sorted(found)), tuple(off)

    def _filters(self, route: AnyRoute, filters: Iterable[Filter]) -> Iterator[Filtered]:
        for each in filters:
            if not isinstance(each, Mirror):
                yield each
            elif (backend := self._backend(route, each.backend)).resolved:
                # one that cannot be sent to is left out: a copy that nobody gets harms nobody
                yield MirrorTo(backend.service, each.percent)

    def _backend(self, route: AnyRoute, ref: BackendRef) -> Backend:
        if ref.kind != "Service" or not allowed(self.reader, route, ref, self.service.key):
            # a name of its own: where another route may send to the same Service, that one stays resolved
            why = "not-permitted" if ref.kind == "Service" else ref.kind
            name = f"{backend_name(ref.service, ref.port)}#{why}"
            backend = Backend(name, reference(ref.service, ref.port, self.settings), resolved=False)
        else:
            backend = backend_of(self.reader, ref.service, ref.port, self.settings)
            if ref.version:
                backend = subset_of(backend, ref.version)
        return self.backends.setdefault(backend.name, backend)


def _named(session: Session | None, rule: str) -> Session | None:
    if session is None or session.name:
        return session
    return replace(session, name="tulle-session-" + rule.replace("/", "-").replace("#", ""))
