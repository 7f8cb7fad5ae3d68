"""HTTPRoute, GRPCRoute and ReferenceGrant (Gateway API v1, standard and experimental fields), as they arrive.

Owns the rules of a route as a whole. What Tulle does not do is refused by name, the route as a whole: a filter or match
that were ignored would send requests where nobody wanted them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from tulle_plugin_api.config import ConfigError, Duration

from tulle_control_plane.core.objects import (
    BackendRef,
    GRPCRoute,
    HTTPRoute,
    Match,
    ReferenceGrant,
    Rule,
    Session,
)
from tulle_control_plane.core.parse.filters import GRPC_FILTERS, HTTP_FILTERS, read_filters
from tulle_control_plane.core.parse.matches import TOKEN, grpc_match, http_match
from tulle_control_plane.core.parse.problems import Problems
from tulle_control_plane.core.parse.references import BackendShape, ParentShape, backend_ref, clients, parent_ref
from tulle_control_plane.core.parse.shapes import Items, StrictShape, check_name, many, read, read_metadata

GATEWAY_GROUP = "gateway.networking.k8s.io"

MOST_PARENTS, MOST_RULES, MOST_BACKENDS, MOST_MATCHES, MOST_MATCHES_OF_ALL = 32, 16, 16, 64, 128
MOST_ATTEMPTS = 10
MOST_GRANTED = 16

_NO_PARENTS: tuple[ParentShape, ...] = ()
RouteT = TypeVar("RouteT", HTTPRoute, GRPCRoute)


class _Rule(StrictShape, frozen=True):
    name: str | None = None
    matches: Items = None
    filters: Items = None
    backend_refs: Items = None
    timeouts: dict[str, Any] | None = None
    retry: dict[str, Any] | None = None
    session_persistence: dict[str, Any] | None = None


class _Timeouts(StrictShape, frozen=True):
    request: Duration | None = None
    backend_request: Duration | None = None


class _Retry(StrictShape, frozen=True):
    codes: list[Annotated[int, msgspec.Meta(ge=400, le=599)]] | None = None
    attempts: Annotated[int, msgspec.Meta(ge=0, le=MOST_ATTEMPTS)] | None = None
    backoff: Duration | None = None


class _CookieConfig(StrictShape, frozen=True):
    lifetime_type: Literal["Permanent", "Session"] | None = None


class _Session(StrictShape, frozen=True):
    session_name: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    absolute_timeout: Duration | None = None
    idle_timeout: Duration | None = None
    type: Literal["Cookie", "Header"] | None = None
    cookie_config: dict[str, Any] | None = None


class _RouteSpec(StrictShape, frozen=True):
    parent_refs: Items = None
    # GEP-1294: hostnames say nothing in a mesh; the Service that was dialled does
    hostnames: list[str] | None = None
    rules: Items = None
    use_default_gateways: str | None = None  # there are no Gateways


class _GrantFrom(StrictShape, frozen=True):
    group: str
    kind: str
    namespace: str


class _GrantTo(StrictShape, frozen=True):
    group: str
    kind: str
    name: str | None = None


class _GrantSpec(StrictShape, frozen=True):
    from_: Items = msgspec.field(name="from", default=None)
    to: Items = None


def parse_http_route(obj: dict[str, Any]) -> HTTPRoute:
    """An HTTPRoute. Raises ConfigError with every problem found."""
    return _route(obj, HTTPRoute, http_match, HTTP_FILTERS)


def parse_grpc_route(obj: dict[str, Any]) -> GRPCRoute:
    """A GRPCRoute. Raises ConfigError with every problem found."""
    return _route(obj, GRPCRoute, grpc_match, GRPC_FILTERS)


def parse_reference_grant(obj: dict[str, Any]) -> ReferenceGrant:
    """A ReferenceGrant; what it grants for other kinds than ours is left out. Raises ConfigError."""
    metadata, problems = read_metadata(obj.get("metadata")), Problems()
    spec = read(_GrantSpec, obj.get("spec"), "spec")
    for word, items in (("from", spec.from_), ("to", spec.to)):
        problems.most(items, MOST_GRANTED, f"spec.{word}")
        if not items:
            problems.add(f"spec.{word}: missing; who may refer (from), and to what (to): 1 to {MOST_GRANTED} each")
    problems.check()
    given, wanted = many(_GrantFrom, spec.from_, "spec.from"), many(_GrantTo, spec.to, "spec.to")
    for index, one in enumerate(given):
        problems.take("", check_name, one.namespace, f"spec.from[{index}].namespace")
    for index, other in enumerate(wanted):
        problems.take("", check_name, other.name or "any", f"spec.to[{index}].name")
    problems.check()
    return ReferenceGrant(
        namespace=metadata.namespace or "default",
        name=metadata.name,
        from_=tuple((each.kind, each.namespace) for each in given if each.group == GATEWAY_GROUP),
        to=tuple((each.kind, each.name or "") for each in wanted if each.group in ("", "core")),
    )


def _route(
    obj: dict[str, Any], kind: type[RouteT], match: Callable[[object, str], Match], filters: tuple[str, ...]
) -> RouteT:
    metadata = read_metadata(obj.get("metadata"))
    namespace, problems = metadata.namespace or "default", Problems()
    spec = read(_RouteSpec, obj.get("spec"), "spec")
    parents = problems.take(_NO_PARENTS, many, ParentShape, spec.parent_refs, "spec.parentRefs")
    problems.most(parents, MOST_PARENTS, "spec.parentRefs")
    attached = [
        problems.take(None, parent_ref, p, namespace, f"spec.parentRefs[{i}]")
        for i, p in enumerate(parents)
        if p.is_service
    ]
    for index, parent in enumerate(attached):
        if parent is not None and parent in attached[:index]:
            problems.add(
                f"spec.parentRefs: Service {'/'.join(parent.service)} is there twice; "
                "references to one parent differ in port or sectionName"
            )
    given = spec.rules or []
    problems.most(given, MOST_RULES, "spec.rules")
    reader = _RuleReader(namespace, match, filters)
    rules = [
        problems.take(Rule(), reader.rule, item, f"spec.rules[{i}]")
        for i, item in enumerate(given)
    ]
    names = [rule.name for rule in rules if rule.name]
    for index, rule in enumerate(rules):
        if rule.name and names.count(rule.name) > 1:
            problems.add(f"spec.rules[{index}].name: {rule.name!r} is the name of more than one rule of this route")
    if sum(len(rule.matches) for rule in rules) > MOST_MATCHES_OF_ALL:
        problems.add(f"spec.rules: at most {MOST_MATCHES_OF_ALL} matches in all rules together")
    whose = problems.take(None, clients, metadata)
    problems.check()
    assert whose is not None
    return kind(
        namespace=namespace,
        name=metadata.name,
        created=metadata.created,
        parents=tuple(parent for parent in attached if parent is not None),
        rules=tuple(rules) or (Rule(),),
        clients=whose,
    )


class _RuleReader:
    """Reads the rules of one kind of route."""

    def __init__(self, namespace: str, match: Callable[[object, str], Match], filters: tuple[str, ...]) -> None:
        self._namespace, self._match, self._known = namespace, match, filters

    def rule(self, data: object, path: str) -> Rule:
        """A rule. Raises ConfigError with every problem found."""
        if data is None:
            raise ConfigError([f"{path}: expected object, got null"])
        item = read(_Rule, data, path)
        problems = Problems()
        problems.most(item.matches, MOST_MATCHES, f"{path}.matches")
        matches = tuple(
            problems.take(Match(), self._match, m, f"{path}.matches[{i}]")
            for i, m in enumerate(item.matches or ())
        )
        filters = problems.take(
            (), read_filters, item.filters, f"{path}.filters", self._namespace, matches, self._known
        )
        backends = problems.take((), self._backends, item.backend_refs, f"{path}.backendRefs", matches)
        types = [each.get("type") for each in item.filters or () if isinstance(each, dict)]
        if "RequestRedirect" in types and item.backend_refs:
            problems.add(f"{path}: a RequestRedirect filter answers itself; it excludes backendRefs")
        if self._known is GRPC_FILTERS:
            for word, field in (("timeouts", item.timeouts), ("retry", item.retry)):
                if field is not None:
                    problems.add(f"{path}.{word}: a GRPCRoute has no such field; use a MeshPolicy")
        policies = [
            *problems.take((), _timeouts, item.timeouts, f"{path}.timeouts"),
            *problems.take((), _retry, item.retry, f"{path}.retry"),
        ]
        session = problems.take(None, _session, item.session_persistence, f"{path}.sessionPersistence")
        name = problems.take("", check_name, item.name, f"{path}.name") if item.name else ""
        problems.check()
        return Rule(name, backends, matches, filters, tuple(policies), session)

    def _backends(self, items: Items, path: str, matches: tuple[Match, ...]) -> tuple[BackendRef, ...]:
        problems = Problems()
        problems.most(items, MOST_BACKENDS, path)
        found: list[BackendRef] = []
        for index, item in enumerate(many(BackendShape, items, path)):
            at = f"{path}[{index}]"
            ref = problems.take(None, backend_ref, item, at, self._namespace)
            filters = problems.take(
                (), read_filters, item.filters, f"{at}.filters", self._namespace, matches, self._known
            )
            if ref is not None:
                weight = 1 if item.weight is None else item.weight
                found.append(BackendRef(ref.service, ref.port, weight, ref.kind, ref.version, filters))
        problems.check()
        return tuple(found)


def _timeouts(data: dict[str, Any] | None, path: str) -> list[tuple[str, str | None]]:
    """As the timeout policy's configuration."""
    if not data:
        return []
    given = read(_Timeouts, data, path)
    if given.request and given.backend_request and given.backend_request > given.request:
        raise ConfigError(
            [f"{path}.backendRequest: at most request, which is {given.request:g} s; got {given.backend_request:g} s"]
        )
    config = {"request": data.get("request"), "per_try": data.get("backendRequest")}
    return [("timeout", _json({name: text for name, text in config.items() if text is not None}))]


def _retry(data: dict[str, Any] | None, path: str) -> list[tuple[str, str | None]]:
    """As the retry policy's configuration. GEP-1731: codes, and connections that fail or are cut off."""
    if data is None:
        return []
    given = read(_Retry, data, path)
    if given.attempts == 0:
        return [("retry", None)]
    config: dict[str, Any] = {}
    if given.codes is not None:
        config |= {"on": ["connect-failure", "reset", "timeout"], "statuses": sorted(set(given.codes))}
    if given.attempts is not None:
        config["attempts"] = given.attempts
    if given.backoff is not None:
        # "not retried before the configured minimum duration"; jitter comes on top
        config["backoff"] = {"min": data["backoff"], "base": "10ms", "max": "250ms"}
    return [("retry", _json(config))]


def _session(data: dict[str, Any] | None, path: str) -> Session | None:
    if data is None:
        return None
    given = read(_Session, data, path)
    header = given.type == "Header"
    if header and given.cookie_config is not None:
        raise ConfigError([f"{path}.cookieConfig: only for type Cookie"])
    cookie = read(_CookieConfig, given.cookie_config, f"{path}.cookieConfig")
    permanent = cookie.lifetime_type == "Permanent"
    if permanent and given.absolute_timeout is None:
        raise ConfigError([f"{path}.absoluteTimeout: missing; a Permanent cookie needs an end"])
    if given.session_name and not TOKEN.fullmatch(given.session_name):
        raise ConfigError(
            [f"{path}.sessionName: expected letters, digits and !#$%&'*+-.^_`|~ only, got {given.session_name[:80]!r}"]
        )
    return Session(
        given.session_name or "",
        header,
        round(1000 * (given.absolute_timeout or 0)),
        round(1000 * (given.idle_timeout or 0)),
        permanent,
    )


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


