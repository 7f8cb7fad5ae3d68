"""`tulle explain REASON`: a `tulle-reason` in words. `tulle explain CLIENT METHOD URL`: what a request would meet, and
with --send what it met."""

from __future__ import annotations

import difflib
import ipaddress
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import click

from tulle_cli import ask, figures, options, proxies, reasons, sent, terminal
from tulle_cli.api_client import TIMEOUT, ApiClient, Refused
from tulle_cli.errors import CliError

WIDTH = 100
PATIENCE = 5
"""Seconds beside the request's own, in which the control plane gathers what the proxies tell."""


@click.command("explain")
@click.argument("words", nargs=-1, required=True, metavar="REASON | CLIENT [METHOD] URL")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A field of the request.")
@click.option("-n", "--namespace", default=options.DEFAULT_NAMESPACE, envvar="TULLE_NAMESPACE", show_default=True,
              help="The client's namespace.")
@click.option("--send", is_flag=True, help="Send it, and tell what became of it in both proxies.")
@click.option("--timeout", "seconds", type=click.IntRange(1, 30), default=10, show_default=True, metavar="SECONDS",
              help="With --send: how long an answer is waited for.")
@options.control_plane
@options.output
def command(
    words: tuple[str, ...], headers: tuple[str, ...], namespace: str, send: bool, seconds: int, api: str | None,
    output: str,
) -> None:
    """Why a request was answered so, or what would become of one.

    With a REASON: what that `tulle-reason` means, and what to look at next. docs/reasons.md has them all.

    With CLIENT (deploy/NAME, a pod) and URL: which match fits and which do not and why, which policies hold and where
    they are from, which endpoints it can reach. By the configuration that the client's proxy is told; nothing is sent.

    With --send the client's proxy sends it, as its application might (without a body), and both proxies tell of each
    layer what it did and how long it took; and whether that is what was said before.

    \b
    tulle explain no-endpoints
    tulle explain 'tulle-reason: no-endpoints'     as curl -i shows it
    tulle explain deploy/app-a GET http://app-b/cart -H 'x-user: 7' -n demo
    tulle explain deploy/app-a GET http://app-b/cart -H 'x-user: 7' -n demo --send
    """
    if len(words) == 1:
        if send:
            raise click.UsageError("--send: expected CLIENT METHOD URL")
        _reason(words[0], output)
    elif len(words) in (2, 3):
        method = words[1] if len(words) == 3 else "GET"
        client = ApiClient(api, TIMEOUT + (seconds + PATIENCE if send else 0))
        _ask(client, words[0], ask.request_of(method, words[-1], headers), namespace, output, seconds if send else 0)
    else:
        raise click.UsageError("expected a REASON, or CLIENT METHOD URL")


def _reason(text: str, output: str) -> None:
    row = find(text)
    if output == "json":
        terminal.echo_json({**asdict(row), "answer": row.answer})
        return
    click.echo(f"{click.style(row.slug, bold=True)}   status: {row.answer}")
    for label, words in (("what:", row.what), ("look:", row.look), ("next:", row.command)):
        click.echo(textwrap.fill(words, WIDTH, initial_indent=f"  {label} ", subsequent_indent=" " * 8,
                                 break_on_hyphens=False, break_long_words=False))


def find(text: str) -> reasons.Reason:
    """The row of a slug, or of a header line that holds it. Raises CliError."""
    slug = text.lower().removeprefix("tulle-reason").removeprefix(":").strip()
    row = reasons.BY_SLUG.get(slug)
    if row is None:
        close = difflib.get_close_matches(slug, reasons.BY_SLUG, 1)
        raise CliError(
            f"{slug!r} is no reason of Tulle's own",
            f"did you mean {close[0]!r}?" if close else "a plugin may have reasons of its own: see its README",
            "docs/reasons.md lists them; `tulle plugins list` the plugins that are installed",
        )
    return row


def _ask(api: ApiClient, client: str, request: ask.Request, namespace: str, output: str, seconds: int) -> None:
    every = api.get("/api/v1/proxies")["proxies"]
    proxy = _proxy(every, client, namespace)
    where = _service(api, proxy, request)
    tables = _fetch(api, proxy["namespace"], where) if where else []
    table = next((one for one in tables if one["port"] == request.port), None)
    if table is None:
        _passed_through(proxy, request, where, [one["port"] for one in tables], output, sending=bool(seconds))
        return
    own = api.get(f"/api/v1/proxies/{proxy['namespace']}/{proxy['pod']}")
    asker = _asker(own, table["destination"])
    told = ask.answer(table["config"], request, asker, _positions())
    server = _served_by(api, every, told["backends"])
    seen = _send(api, proxy, request, table, seconds) if seconds else None
    wrong = sent.disagreements(told, partial(_policies_at, api), seen) if seen is not None else []
    if output == "json":
        became = {} if seen is None else {"sent": {
            "client": seen.client, "servers": seen.servers, "silent": seen.silent,
            "agrees": not wrong, "disagreements": wrong,
        }}  # fmt: skip
        terminal.echo_json({
            "client": {"namespace": asker.namespace, "pod": proxy["pod"], "workload": proxy["workload"]},
            "request": {"method": request.method, "host": request.host, "port": request.port, "path": request.path},
            "service": f"{table['namespace']}/{table['service']}:{table['port']}", "address": table["destination"],
            "state": asker.state or None,
            **told, "server_policies": server, **became,
        })  # fmt: skip
        return
    signs = terminal.glyphs()
    click.echo(f"{proxy['namespace']}/{proxy['pod']} ({proxy['workload']}): {request.method} {request.path}")
    click.echo(f"{request.host} {signs.arrow} {_heading(table)}")
    click.echo(_known(asker))
    for line in (*ask.lines(told), *_server_lines(server)):
        click.echo(line)
    if seen is not None:
        click.echo()
        for line in sent.lines(seen, f"{proxy['namespace']}/{proxy['pod']}", wrong):
            click.echo(line)


def _send(
    api: ApiClient, proxy: proxies.Proxy, request: ask.Request, table: Mapping[str, Any], seconds: int
) -> sent.Seen:
    """Have it sent. Raises CliError."""
    asked = {"namespace": proxy["namespace"], "pod": proxy["pod"], "destination": table["destination"],
             "method": request.method, "path": request.path, "fields": list(request.headers),
             "seconds": seconds}  # fmt: skip
    seen = sent.Seen.of(api.post("/api/v1/explain", asked), table.get("version", ""))
    if seen.client["problem"] and not seen.client["steps"]:
        raise CliError(
            f"the proxy of {proxy['namespace']}/{proxy['pod']} did not send the request", seen.client["problem"],
            "the same command without --send tells what would become of it",
        )  # fmt: skip
    return seen


def _heading(table: Mapping[str, Any]) -> str:
    """ "Service demo/app-b, port 80 (10.96.0.7:80)"."""
    return f"Service {table['namespace']}/{table['service']}, port {table['port']} ({table['destination']})"


def _proxy(every: Sequence[proxies.Proxy], client: str, namespace: str) -> proxies.Proxy:
    word, slash, name = client.partition("/")
    kind = figures.kind_of(word) if slash else None
    if kind is None or kind == "pod":
        return proxies.find(every, name if kind else client, namespace)
    found = [one for one in every if (one["namespace"], one["workload"]) == (namespace, f"{kind}/{name}")]
    if not found:
        raise CliError(
            f"no connected proxy of {kind} {name} in namespace {namespace}",
            "it does not exist there, or is not in the mesh: then no route holds for its calls",
            "tulle proxy status -A lists those that are connected; -n says in which namespace the client is",
        )
    return found[0]


def _service(api: ApiClient, proxy: proxies.Proxy, request: ask.Request) -> tuple[str, str] | None:
    try:
        address = ipaddress.ip_address(request.host)
    except ValueError:
        domain = api.get("/api/v1/version")["cluster_domain"]
        return ask.service_of(request.host, proxy["namespace"], domain)
    dialled = f"[{address}]:{request.port}" if address.version == 6 else f"{address}:{request.port}"
    for one in proxy["destinations"]:
        if one["destination"] == dialled and one.get("service"):
            name, where = one["service"].split(".")[:2]
            return where, name
    return None


def _fetch(api: ApiClient, client: str, where: tuple[str, str]) -> list[dict[str, Any]]:
    try:
        query = {"service": where[1], "namespace": where[0], "client": client}
        found: list[dict[str, Any]] = api.get("/api/v1/routes", query)["tables"]
    except Refused as refused:
        if refused.status != 404:
            raise
        return []
    return found


def _passed_through(
    proxy: proxies.Proxy, request: ask.Request, where: tuple[str, str] | None, ports: Sequence[int], output: str, *,
    sending: bool,
) -> None:
    if where is not None and ports:
        why = f"Service {'/'.join(where)} has no port {request.port}; its ports: {', '.join(map(str, ports))}"
    elif where is not None:
        why = f"there is no Service {'/'.join(where)} with an address of its own"
    else:
        why = f"{request.host} is no Service's name, and no address that {proxy['pod']} has been told of"
    text = f"{why}: the connection is passed through as it is, and no route or policy holds."
    if output == "json":
        terminal.echo_json({"client": {"namespace": proxy["namespace"], "pod": proxy["pod"]}, "service": None,
                            "why": why})  # fmt: skip
    else:
        click.echo(text + (" So it was not sent: no proxy would tell of it." if sending else ""))


def _asker(own: Mapping[str, Any], address: str) -> ask.Asker:
    states = {one["destination"]: one for one in own["destinations"]}
    inbound = (states.get("inbound") or {}).get("config") or {}
    account = f"{own['namespace']}/{own['service_account']}" if own.get("service_account") else ""
    state = states[address]["state"] if address in states else ""
    return ask.Asker(own["pod"], own["namespace"], account, inbound.get("labels") or {}, state)


def _known(asker: ask.Asker) -> str:
    if not asker.state:
        return "its proxy has not asked for it yet: this is what it would be told"
    if asker.state == "SYNCED":
        return "its proxy runs this configuration"
    return f"its proxy does NOT run this configuration ({asker.state}): tulle proxy status {asker.name}"


def _positions() -> dict[str, int]:
    from tulle_plugin_api import load

    return {name: int(policy.position) for name, policy in load(kinds=("policy",)).policies.items()}


def _served_by(
    api: ApiClient, every: Sequence[proxies.Proxy], backends: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The policies at the called pods: of each backend, those of the first endpoint that has a proxy."""
    connected = {(one["namespace"], one["pod"]) for one in every}
    found = []
    for backend in backends:
        for endpoint in backend["endpoints"]:
            namespace, pod = endpoint.get("namespace", ""), endpoint.get("pod", "")
            if (namespace, pod) not in connected:
                continue
            for port in _inbound(api, namespace, pod):
                if port.get("port") == endpoint.get("port"):
                    found += [{**one, "backend": backend["backend"]} for one in port.get("policies") or []]
            break
    return found


def _inbound(api: ApiClient, namespace: str, pod: str) -> list[dict[str, Any]]:
    """A pod's own ports, as its proxy was told."""
    destinations = api.get(f"/api/v1/proxies/{namespace}/{pod}")["destinations"]
    inbound = next((one["config"] or {} for one in destinations if one["destination"] == "inbound"), {})
    return inbound.get("ports") or []


def _policies_at(api: ApiClient, namespace: str, pod: str) -> list[dict[str, Any]]:
    return [one for port in _inbound(api, namespace, pod) for one in port.get("policies") or []]


def _server_lines(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if found:
        yield "policies at the called pods:"
    for one in found:
        yield f"  {one['backend']}: {one['type']} {one.get('config') or '{}'} ({one.get('source', '')})"

