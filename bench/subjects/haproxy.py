"""HAProxy, one thread, from Debian: weights, timeouts, retries, its HTTP log."""

from __future__ import annotations

from bench.services import CANARY_WEIGHT, RETRIES, SERVICES, STABLE_WEIGHT, TIMEOUT_SECONDS, Service
from bench.subjects.subject import Subject
from bench.world import wait_for


class HAProxy(Subject):
    """See config."""

    title = "HAProxy"
    program = "haproxy"

    def start(self) -> None:
        path = self.folder / "haproxy.cfg"
        path.write_text(config(SERVICES))
        words = ["haproxy", "-db", "-f", str(path)]
        self.processes = [self.world.start(self.name, words, pod=self.pod, core=self.world.proxy_core)]
        wait_for("answer", self.reachable, self.processes[0], self.name)


def config(services: tuple[Service, ...]) -> str:
    """haproxy.cfg. The log goes to stdout, which is /dev/null."""
    return "\n".join([f"""\
global
    nbthread 1
    maxconn 20000
    no strict-limits
    log stdout format raw local0
defaults
    log global
    timeout connect 1s
    timeout client 600s
    timeout http-keep-alive 600s
    timeout server {TIMEOUT_SECONDS}s
    retries {RETRIES}
    option redispatch
""", *map(_section, services)])


def _section(service: Service) -> str:
    mode, log = ("tcp", "option tcplog") if service.opaque else ("http", "option httplog")
    ends = [(ip, STABLE_WEIGHT) for ip in service.stable]
    # the canaries' share is of all; a server's weight is 1 to 256
    ends += [(ip, CANARY_WEIGHT * len(service.stable)) for ip in service.canary]
    servers = "\n".join(f"    server s{number} {ip}:{service.target} weight {weight}"
                        for number, (ip, weight) in enumerate(ends))
    return f"""\
listen {service.name}
    bind 127.0.0.1:{service.local}
    mode {mode}
    {log}
    balance roundrobin
{servers}
"""
