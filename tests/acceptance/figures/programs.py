"""Programs that nobody here wrote, unmodified, behind the mesh; and that the proxies count each as what it is."""

from __future__ import annotations

import re

from tests.acceptance import packages
from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.mesh import CLIENT, NAMESPACE, Mesh
from tests.acceptance.metrics import Counted
from tests.acceptance.words import failures, no_failures

NGINX_REQUESTS = 2000
PGBENCH = ("-c", "4", "-j", "2", "-T", "5")
REDIS_REQUESTS = 20_000
REDIS_BENCHMARK = ("-n", str(REDIS_REQUESTS), "-c", "20", "-t", "set,get", "--csv")
BANNER_WITHIN = 1.0


class _Counts:
    """What both proxies of a program's way counted since this was made: the client's, and the server's own."""

    def __init__(self, mesh: Mesh, service: str) -> None:
        self._mesh, self._service = mesh, service
        self._before = self._now()

    def _now(self) -> tuple[Counted, Counted]:
        mesh = self._mesh
        return (
            Counted.of(mesh.metrics(mesh.pod("client")), "outbound", self._service),
            Counted.of(mesh.metrics(mesh.pod(self._service)), "inbound", self._service),
        )

    def since(self) -> tuple[Counted, Counted]:
        """(at the client, at the server)."""
        return tuple(now - before for now, before in zip(self._now(), self._before, strict=True))  # type: ignore[return-value]


def _as_tcp(counts: tuple[Counted, Counted], least: int) -> tuple[str, list[tuple[bool, str]]]:
    """Counted as relayed connections at both ends, and never as HTTP."""
    client, server = counts
    text = f"counted as {client.tcp:.0f} TCP connections"
    return text, [
        (client.tcp >= least, f"the client's proxy counted {client.tcp:.0f} TCP connections, not {least} or more"),
        (server.tcp >= least, f"the server's proxy counted {server.tcp:.0f} TCP connections, not {least} or more"),
        (client.http == server.http == 0, f"counted as HTTP: {client.http:.0f} and {server.http:.0f} requests"),
    ]


def _client(mesh: Mesh, *argv: str) -> str:
    return mesh.lab.exec(CLIENT, *argv, namespace=NAMESPACE, seconds=60)


def _nginx(mesh: Mesh) -> Outcome:
    packages.need({"nginx": "nginx-light"})
    mesh.up()
    mesh.apply("nginx")
    counts = _Counts(mesh, "nginx")
    page = _client(mesh, "curl", "-sS", "--fail", "--max-time", "10", "http://nginx/index.html")
    report = mesh.script("curls", "http://nginx/index.html", "--requests", str(NGINX_REQUESTS))
    client, server = counts.since()
    made = NGINX_REQUESTS + 1
    return judged(
        f"{failures(report)}; counted as {client.http:.0f} HTTP requests",
        *no_failures(report),
        ("nginx behind Tulle" in page, "the page is not nginx's"),
        (client.http == made, f"the client's proxy counted {client.http:.0f} requests, not {made}"),
        (server.http >= made, f"the server's proxy counted {server.http:.0f} requests, not {made} and the probes"),
        (client.tcp == server.tcp == 0, "counted as TCP as well"),
    )


def _postgres(mesh: Mesh) -> Outcome:
    packages.need({f"/usr/lib/postgresql/*/bin/{name}": "postgresql" for name in ("initdb", "postgres", "pgbench")})
    mesh.up()
    mesh.apply("postgres")
    counts = _Counts(mesh, "postgres")
    bench = 'exec "$(ls /usr/lib/postgresql/*/bin/pgbench | tail -n 1)" -h postgres -U postgres "$@" postgres 2>&1'
    mesh.until(lambda: _client(mesh, "sh", "-c", bench, "pgbench", "-i", "-q", "-s", "1"), "pgbench -i", 30)
    said = _client(mesh, "sh", "-c", bench, "pgbench", *PGBENCH)
    done = re.search(r"transactions actually processed: (\d+)", said)
    failed = re.search(r"failed transactions: (\d+)", said)
    text, bars = _as_tcp(counts.since(), 5)
    return judged(
        f"{failed[1] if failed else '?'} failed of {done[1] if done else '?'} transactions; {text}",
        (done is not None and int(done[1]) > 100, f"pgbench said: {said.strip()[-300:]}"),
        (failed is not None and failed[1] == "0", "transactions failed"),
        *bars,
    )


def _redis(mesh: Mesh) -> Outcome:
    packages.need({"redis-server": "redis-server", "redis-benchmark": "redis-tools"})
    mesh.up()
    mesh.apply("redis")
    counts = _Counts(mesh, "redis")
    _client(mesh, "redis-cli", "-h", "redis", "set", "tulle", "a fine netting")
    value = _client(mesh, "redis-cli", "-h", "redis", "get", "tulle").strip()
    said = _client(mesh, "redis-benchmark", "-h", "redis", *REDIS_BENCHMARK)
    rates = re.findall(r'^"(SET|GET)","([\d.]+)"', said, re.MULTILINE)
    executed = _client(mesh, "redis-cli", "-h", "redis", "info", "commandstats")
    calls = {name: int(count) for name, count in re.findall(r"cmdstat_(set|get):calls=(\d+)", executed)}
    text, bars = _as_tcp(counts.since(), 20)
    return judged(
        f"{', '.join(f'{name} {float(rate):.0f}/s' for name, rate in rates) or 'no rates'}; {text}",
        (value == "a fine netting", f"what was set came back as {value!r}"),
        (len(rates) == 2, f"redis-benchmark said: {said.strip()[-300:]}"),
        (min(calls.get("set", 0), calls.get("get", 0)) >= REDIS_REQUESTS, f"the server executed {calls}"),
        *bars,
    )


def _smtp(mesh: Mesh) -> Outcome:
    packages.need({"/usr/lib/python3/dist-packages/aiosmtpd/__init__.py": "python3-aiosmtpd"})
    mesh.up()
    mesh.apply("smtp")
    counts = _Counts(mesh, "smtp")
    reports = [mesh.script("banner", "smtp", port) for port in ("25", "2525")]
    slowest = max(report["banner_seconds"] for report in reports)
    text, bars = _as_tcp(counts.since(), 2)
    return judged(
        f"banner after {slowest:.3f} s at most, on ports 25 and 2525; {text}",
        (slowest < BANNER_WITHIN, "it waited for the client to speak"),
        (all(report["code"] == 220 and not report["refused"] for report in reports), f"mail failed: {reports}"),
        *bars,
    )


FIGURES = (
    Figure("nginx", "all 2,000 answered, and counted as HTTP", _nginx),
    Figure("postgresql", "pgbench: 0 failed, counted as TCP", _postgres),
    Figure("redis", "redis-benchmark: all executed, counted as TCP", _redis),
    Figure("smtp", "a server that speaks first: banner in under 1 s, counted as TCP", _smtp),
)
