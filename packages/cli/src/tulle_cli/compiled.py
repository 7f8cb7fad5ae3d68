"""From a destination's compiled configuration (JSON of discovery.proto) to lines that people read. Pure.

Owns the words for matches, filters, policies, and what differs between two configurations. Refuses to judge whether a
request fits: that is the proxy's own code (tulle_data_plane.logic).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tulle_cli.figures import percent

Config = Mapping[str, Any]

HEAD = ("#", "MATCH", "ROUTE", "BACKEND", "WEIGHT", "SHARE", "READY", "FILTERS", "POLICIES")
NUMERIC = frozenset({"#", "WEIGHT", "SHARE", "READY"})
BLANK = " "
"""A cell that repeats the one above it; an empty one would become "-"."""
NOBODY = "(no backend: 500)"
_WORDS = {"MATCH_TYPE_EXACT": "is", "MATCH_TYPE_PREFIX": "begins with", "MATCH_TYPE_REGEX": "matches"}


def cells(config: Config) -> Iterator[tuple[str, ...]]:
    """Rows under HEAD, in matching order: one a match and backend."""
    routes = config.get("routes") or []
    ready = {backend["name"]: len(backend.get("endpoints") or []) for backend in config.get("backends") or []}
    if not routes:
        name = own_backend(config)
        yield "1", "everything", "", name, "1", percent(1.0), str(ready.get(name, 0)), "", ""
        return
    for number, (match, index) in enumerate(matches(config), 1):
        route = routes[index]
        first = (str(number), match, route.get("name", ""))
        last = (filters(route), ", ".join(policy["type"] for policy in route.get("policies") or []))
        for backend, weight, share in weights(route):
            count = str(ready.get(backend, 0)) if backend in ready else ""
            shown = "" if share is None else percent(share)
            yield *first, backend, weight, shown, count, *last
            first, last = (BLANK, BLANK, BLANK), (BLANK, BLANK)


def own_backend(config: Config) -> str:
    """The Service's own: always the first."""
    backends = config.get("backends") or []
    return str(backends[0]["name"]) if backends else ""


def matches(config: Config) -> Iterator[tuple[str, int]]:
    """Each match in words, with the index of its route. A configuration without matches: the first route takes all."""
    found = config.get("matches")
    if not found:
        yield from (("everything" if index == 0 else "nothing more", index)
                    for index, _ in enumerate(config.get("routes") or []))  # fmt: skip
        return
    for match in found:
        yield match_words(match), match.get("route", 0)


def match_words(match: Config) -> str:
    """ "path begins with /cart, header x-user is 7"; "everything"."""
    parts = []
    if path := match.get("path"):
        parts.append(f"path {_WORDS.get(path.get('type', ''), '?')} {path.get('value', '')}")
    if method := match.get("method"):
        parts.append(f"method is {method}")
    for word, name in (("header", "headers"), ("query", "query")):
        parts += [
            f"{word} {one['name']} {_WORDS.get(one.get('type', ''), '?')} {one.get('value', '')}"
            for one in match.get(name) or []
        ]
    source = match.get("source") or {}
    for word, name in (("client in namespace", "namespaces"), ("client runs as", "service_accounts")):
        if values := source.get(name):
            parts.append(f"{word} {' or '.join(values)}")
    parts += [f"client has label {name}={value}" for name, value in sorted((source.get("labels") or {}).items())]
    return ", ".join(parts) or "everything"


def weights(route: Config) -> list[tuple[str, str, float | None]]:
    """Of each backend its name, weight, and share of the requests (0 to 1)."""
    backends = route.get("backends") or []
    total = sum(one.get("weight", 0) for one in backends)
    if any("redirect" in one for one in route.get("filters") or []):
        return [("(answered here)", "", None)]
    if not total:
        return [*((one["backend"], "0", 0.0) for one in backends), (NOBODY, "", 1.0)]
    return [(one["backend"], str(one.get("weight", 0)), one.get("weight", 0) / total) for one in backends]


def filters(route: Config) -> str:
    """The route's filters, and those of its backends, by kind."""
    found = [filter_words(one) for one in route.get("filters") or []]
    for backend in route.get("backends") or []:
        found += [f"{filter_words(one)} (to {backend['backend']})" for one in backend.get("filters") or []]
    if session := route.get("session"):
        found.append(f"session by {'header' if session.get('header') else 'cookie'} {session.get('name', '')}".rstrip())
    return ", ".join(found)


def filter_words(one: Config) -> str:
    """ "redirect 302 to https", "rewrite path to /x", or a policy's type."""
    if policy := one.get("policy"):
        return str(policy.get("type", ""))
    kind = "redirect" if "redirect" in one else "rewrite"
    edit = one.get(kind) or {}
    parts = [kind]
    if status := edit.get("status"):
        parts.append(str(status))
    parts += [f"{name} {edit[name]}" for name in ("scheme", "hostname", "port") if edit.get(name)]
    if path := edit.get("path"):
        parts.append(f"path {path['full']}" if "full" in path else f"prefix {path.get('replacement', '')}")
    return " ".join(parts)


def heading(address: str, client: str, config: Config) -> str:
    """One line about a destination as a whole."""
    authority = (config.get("service") or {}).get("authority", address)
    balancer = config.get("balancer") or "the default"
    protocol = str(config.get("protocol", "")).removeprefix("PROTOCOL_").lower() or "unknown"
    said = {"detect": "detected per connection"}.get(protocol, protocol)
    return f"{authority} ({address}), for clients in namespace {client}; protocol: {said}; balancer: {balancer}"


def policy_lines(policies: Sequence[Config]) -> list[str]:
    """ "timeout {...} (MeshPolicy demo/slow)"."""
    return [f"{one['type']} {one.get('config') or '{}'} ({one.get('source', '')})" for one in policies]


def plain(config: Config) -> list[str]:
    """A configuration as lines to be compared: everything but endpoints, which come and go by themselves."""
    if "ports" in config or "address" not in config:
        return list(_inbound(config))
    lines = [f"balancer {config.get('balancer') or 'the default'} {config.get('balancer_config', '')}".rstrip()]
    lines.append(f"protocol {str(config.get('protocol', '')).removeprefix('PROTOCOL_').lower()}")
    lines += [f"policy {line}" for line in policy_lines(config.get("policies") or [])]
    resolved = {one["name"]: one.get("resolved", False) for one in config.get("backends") or []}
    if not config.get("routes"):
        lines.append(f"everything -> {own_backend(config)}")
    for match, index in matches(config):
        route = config["routes"][index]
        begin = f"{match} [{route.get('name', '')}]"
        lines += [f"{begin} filter {_filter(one)}" for one in route.get("filters") or []]
        for backend, weight, share in weights(route):
            missing = "" if resolved.get(backend, True) else " (does not exist: 500)"
            part = "" if share is None or not weight else f" weight {weight} ({percent(share)})"
            lines.append(f"{begin} -> {backend}{part}{missing}")
        for one in route.get("backends") or []:
            lines += [f"{begin} -> {one['backend']} filter {_filter(two)}" for two in one.get("filters") or []]
        lines += [f"{begin} policy {line}" for line in policy_lines(route.get("policies") or [])]
        if session := route.get("session"):
            lines.append(f"{begin} session {json.dumps(session, sort_keys=True)}")
        lines += [f"{begin} without policy {name}" for name in route.get("without_policies") or []]
    return lines


def _filter(one: Config) -> str:
    return policy_lines([one["policy"]])[0] if "policy" in one else filter_words(one)


def _inbound(config: Config) -> Iterator[str]:
    for port in config.get("ports") or []:
        protocol = str(port.get("protocol", "")).removeprefix("PROTOCOL_").lower()
        yield f"port {port.get('port')} protocol {protocol}"
        yield from (f"port {port.get('port')} policy {line}" for line in policy_lines(port.get("policies") or []))


def differences(before: Config, after: Config) -> list[str]:
    """Lines that go ("- ...") and come ("+ ..."), in their order; empty when only endpoints differ."""
    compared = list(difflib.unified_diff(plain(before), plain(after), n=0, lineterm=""))
    return [f"{line[0]} {line[1:]}" for line in compared[2:] if line[0] in "-+"]
