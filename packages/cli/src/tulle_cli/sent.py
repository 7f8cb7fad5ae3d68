"""What became of a request that was sent to be explained: as lines, and against what had been said of it. Pure.

Owns the words, and what "agrees" means. The account is the control plane's (`POST /api/v1/explain`), what had been said
is ask.py's answer. Where chance decides (weights, the balancer), what was said is what could be taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tulle_cli import ask, terminal

Json = ask.Json
Account = Mapping[str, Any]
Step = Mapping[str, Any]

@dataclass(frozen=True)
class Seen:
    """What came back. `version`: of the configuration that was asked about."""

    client: Account
    servers: Sequence[Account]
    silent: Sequence[Mapping[str, str]]
    version: str

    @classmethod
    def of(cls, answer: Mapping[str, Any], version: str) -> Seen:
        """From the control plane's answer."""
        return cls(answer["client"], answer["servers"], answer["silent"], version)


def disagreements(told: Json, policies_at: Callable[[str, str], Sequence[Mapping[str, Any]]], seen: Seen) -> list[str]:
    """In what the request fared otherwise than had been said; none: it is as was said.

    `policies_at(namespace, pod)`: those that a server's proxy was told, for its own ports.
    """
    account = seen.client
    if seen.version and account["version"] and account["version"] != seen.version:
        return [f"the client's proxy ran configuration {account['version']}, and {seen.version} was asked about"]
    found = [*_route(told, account)]
    if not found and told["route"] is not None:
        found += [*_policies("", told["policies"], account), *_backends(told, account)]
    for server in seen.servers:
        at = server["namespace"], server["pod"]
        found += _policies(f"at {'/'.join(at)}, ", policies_at(*at), server)
    return found


def _route(told: Json, account: Account) -> Iterator[str]:
    if told["route"] is None:
        if account["reason"] != "no-route":
            yield f"no match was said to fit, and {_answer(account)} came of it by {account['route'] or 'no route'}"
        return
    if account["reason"] == "no-route":
        yield f"{told['route'] or 'a route'} was said to take it, and no match did"
        return
    if account["route"] != told["route"]:
        yield f"{told['route'] or 'no route'} was said to take it, and {account['route'] or 'no route'} did"
    row = next((step["row"] for step in account["steps"] if step["kind"] == "match"), 0)
    number = next((one["number"] for one in told["matches"] if one["chosen"]), 0)
    if row and row != number:
        yield f"match {number} was said to decide, and match {row} did"


def _policies(where: str, told: Sequence[Mapping[str, Any]], account: Account) -> Iterator[str]:
    known = [(one["type"], one.get("source", "")) for one in told]
    met = list(dict.fromkeys((step["name"], step["source"]) for step in _own(account)))
    for one in met:
        if one not in known:
            yield f"{where}{one[0]} ({one[1]}) was met, and not said to hold"
    order = [known.index(one) for one in met if one in known]
    if not where and order != sorted(order):
        yield f"policies were met in another order: {', '.join(name for name, _ in met)}"


def _own(account: Account) -> Iterator[Step]:
    """The policies that are no filters: those are from the rule, and told as what they do."""
    for step in account["steps"]:
        if step["kind"] == "policy" and step["source"] != account["route"]:
            yield step


def _backends(told: Json, account: Account) -> Iterator[str]:
    backend = account["backend"]
    if not backend:
        return  # a redirect, or an answer before there was one
    said = {one["backend"]: one for one in told["backends"]}
    if backend not in said or said[backend]["weight"] == 0:
        yield f"it was for {backend}, which was not said to get any: {', '.join(said) or 'none'}"
        return
    places = {f"{_bracketed(one['address'])}:{one['port']}" for one in said[backend]["endpoints"]}
    for step in account["steps"]:
        if step["address"] and step["address"] not in places:
            yield f"it was tried at {step['namespace']}/{step['pod']} ({step['address']}), no endpoint that was named"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


# --- for people ---------------------------------------------------------------------------------------------------


def lines(seen: Seen, client: str, told: Sequence[str]) -> Iterator[str]:
    """The accounts, and whether they are what had been said (`told`: disagreements)."""
    account, signs = seen.client, terminal.glyphs()
    yield f"sent: {_answer(account)}"
    if account["problem"]:
        yield f"{signs.failed} {account['problem']}"
    yield from _table(f"at the client, {client}:", account)
    for server in seen.servers:
        yield from _table(f"at the server, {server['namespace']}/{server['pod']}:", server)
    for pod in seen.silent:
        yield f"{signs.warning} the proxy of {pod['namespace']}/{pod['pod']} did not tell its part in time"
    if not told:
        yield f"{signs.ok} as was said before it was sent"
    for words in told:
        yield f"{signs.failed} NOT as was said: {words}"
    if account["reason"]:
        yield f"tulle explain {account['reason']} says what that means, and what to look at next"


def _answer(account: Account) -> str:
    if not account["status"]:
        return f"no answer after {_ms(account['ended_us'])} ms"
    made = f" ({account['reason']}, made by a proxy or policy)" if account["reason"] else ""
    return f"{account['status']}{made} after {_ms(account['answered_us'])} ms, {account['body_bytes']} bytes"


def _table(title: str, account: Account) -> Iterator[str]:
    yield title
    yield f"{'AT ms':>9} {'TOOK ms':>9}  LAYER"
    for step in account["steps"]:
        took = _ms(step["ended_us"] - step["began_us"])
        yield f"{_ms(step['began_us']):>9} {took:>9}  {'  ' * step['depth']}{_layer(step)}: {_deed(step)}"
    if account["cut"]:
        yield f"{'':>19}  and more, which is not told"


def _layer(step: Step) -> str:
    if step["kind"] == "policy":
        return f"{step['name']} ({step['source']})"
    return f"{step['kind']} {step['name']}" if step["name"] else str(step["kind"])


def _deed(step: Step) -> str:
    parts = [f"match {step['row']} decides"] if step["row"] else []
    parts += step["notes"]
    if step["outcome"] == "answered":
        parts.append(f"{'answer' if step['kind'] == 'dial' else 'answered'} {step['status']}")
    elif step["outcome"] == "failed":
        parts.append(f"{step['reason']}: {step['detail']}" if step["detail"] else step["reason"])
    elif step["outcome"] == "passed-failure":
        parts.append("passed the failure on")
    elif not step["outcome"]:
        parts.append("had not come to an end")
    return "; ".join(parts) or "passed it on"


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.2f}"
