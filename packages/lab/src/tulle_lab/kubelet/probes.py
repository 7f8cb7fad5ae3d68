"""Probes: asking a container whether it has started, is ready, is alive (core/v1 Probe).

`Tally` is the pure count of successes and failures. `watch` asks for ever. The questions come from the node, as
kubelet's do, so that they pass whatever guards the pod's network.

One difference from Kubernetes: before the first success the lab asks several times a period, but only when something
listens on the port, and counts failures only once a period. A pod is thus ready when its program is, not up to a
period later; and no request fails because it came too early.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import trio

from tulle_lab.cluster.objects import Object

_EAGER_FIRST, _EAGER_MOST, _EAGER_GROWTH = 0.05, 0.5, 1.5  # seconds, seconds, factor
_MAX_HEAD = 64 * 1024


@dataclass(frozen=True)
class Result:
    """One question's answer; `why` says what was wrong."""

    ok: bool
    why: str = ""


@dataclass
class Tally:
    """Counts answers in a row. `add` says when a threshold is crossed."""

    successes_needed: int
    failures_allowed: int
    successes: int = 0
    failures: int = 0

    def add(self, ok: bool) -> bool | None:
        """True: from now on well; False: from now on ill; None: no decision yet."""
        if ok:
            self.successes, self.failures = self.successes + 1, 0
            return True if self.successes >= self.successes_needed else None
        self.successes, self.failures = 0, self.failures + 1
        return False if self.failures >= self.failures_allowed else None


Ask = Callable[[], Awaitable[Result]]
Decide = Callable[[bool, str], Awaitable[None]]


async def watch(probe: Object, ask: Ask, decide: Decide, worth_asking: Callable[[], bool] = lambda: True) -> None:
    """Ask for ever, and tell `decide` (well?, why not) whenever a threshold is reached. Cancel to stop.

    Until the first success, nothing is asked unless `worth_asking`; it counts as a failure all the same.
    """
    period, timeout = float(probe["periodSeconds"]), float(probe["timeoutSeconds"])
    tally = Tally(probe["successThreshold"], probe["failureThreshold"])
    await trio.sleep(probe.get("initialDelaySeconds", 0))
    counted, pause, answered_well = trio.current_time(), _EAGER_FIRST, False
    while True:
        began = trio.current_time()
        result = Result(False, "nothing listens on its port")
        if answered_well or worth_asking():
            result = Result(False, f"no answer in {timeout:g} s")
            with trio.move_on_after(timeout):
                result = await ask()
            pause = min(pause * _EAGER_GROWTH, _EAGER_MOST)
        answered_well = answered_well or result.ok
        if answered_well or began >= counted + period:
            counted = began
            decision = tally.add(result.ok)
            if decision is not None:
                await decide(decision, result.why)
        await trio.sleep_until(began + period if answered_well else min(began + pause, counted + period))


async def http_get(host: str, port: int, get: Object) -> Result:
    """200 to 399 is well. Certificates are not verified (nor does kubelet)."""
    path = get.get("path") or "/"
    headers = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/tulle-lab", "Accept": "*/*", "Connection": "close"}
    headers |= {header["name"]: header["value"] for header in get.get("httpHeaders") or []}
    request = f"GET {path if path.startswith('/') else '/' + path} HTTP/1.1\r\n"
    request += "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    try:
        stream: Any = await trio.open_tcp_stream(get.get("host") or host, port)
        async with stream:
            if get.get("scheme") == "HTTPS":
                stream = trio.SSLStream(stream, _trusting(), https_compatible=True)
            await stream.send_all(request.encode("latin-1"))
            head = b""
            while b"\r\n" not in head and len(head) < _MAX_HEAD and (chunk := await stream.receive_some()):
                head += chunk
    except (OSError, trio.BrokenResourceError, ssl.SSLError) as error:
        return Result(False, f"GET {path} on port {port}: {_reason(error)}")
    words = head.split(b"\r\n", 1)[0].split()
    if len(words) < 2 or not words[1].isdigit():
        return Result(False, f"GET {path} on port {port}: the answer is not HTTP: {head[:40]!r}")
    status = int(words[1])
    return Result(200 <= status < 400, f"GET {path} on port {port}: HTTP status {status}")


async def tcp_socket(host: str, port: int) -> Result:
    """Well when the port accepts a connection."""
    try:
        stream = await trio.open_tcp_stream(host, port)
    except OSError as error:
        return Result(False, f"port {port}: {_reason(error)}")
    await stream.aclose()
    return Result(True)


def port_number(port: int | str, container: Object) -> int:
    """A probe's port: a number, or the name of one of the container's ports (validation saw that there is one)."""
    if isinstance(port, int):
        return port
    return next(int(entry["containerPort"]) for entry in container.get("ports") or [] if entry.get("name") == port)


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _reason(error: BaseException) -> str:
    """The innermost reason: trio wraps connection errors in "all attempts to connect failed"."""
    inner = error.__cause__ or error.__context__
    if isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return str(inner or error) or type(error).__name__
