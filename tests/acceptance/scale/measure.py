"""What happens to a control plane with a thousand Services when a thousand proxies come, change and come back."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import trio

from tests.acceptance.scale import world
from tests.acceptance.scale.proxies import Crowd, Simulated

GRPC, API = 18086, 18085
COMMON = 0
"""The Service that every proxy calls."""
OTHERS = 9
"""Services that a proxy calls besides; neighbours share most of them."""
CHANGES = 10
BACK = 200
PATIENCE = 300.0
PROGRAM = Path(sys.executable).with_name("tulle-control-plane")
TICKS = os.sysconf("SC_CLK_TCK")


class Source(Protocol):
    """See sources.py."""

    environment: dict[str, str]

    def address(self, number: int) -> str: ...
    def change(self, number: int, ready: int) -> None: ...


async def measure(source: Source, count: int) -> dict[str, Any]:
    """All figures. Times are seconds, memory bytes. Raises Late."""
    began = time.monotonic()
    async with _control_plane(source) as process, trio.open_nursery() as nursery:
        synced, cpu = time.monotonic() - began, _cpu(process.pid)
        found: dict[str, Any] = {"proxies": count, "catalog_seconds": synced, "catalog_cpu_seconds": cpu,
                                 "resident_idle": _resident(process.pid)}
        crowd = Crowd(nursery, f"127.0.0.1:{GRPC}")
        began = time.monotonic()
        for number in range(count):
            wanted = [COMMON, *(1 + (number + each) % (world.SERVICES - 1) for each in range(OTHERS))]
            crowd.join(Simulated(number, [source.address(each) for each in wanted], crowd))
        await crowd.until_all(lambda proxy: len(proxy.arrived) == OTHERS + 2, PATIENCE, "their first configuration")
        found |= {"first_sync_seconds": time.monotonic() - began, "first_sync_cpu_seconds": _cpu(process.pid) - cpu}
        found |= await _changes(source, crowd, process.pid)
        found |= await _comes_back(crowd, process.pid)
        found["resident"] = _resident(process.pid)
        nursery.cancel_scope.cancel()
    return found


async def _changes(source: Source, crowd: Crowd, pid: int) -> dict[str, Any]:
    """How long after a change of the Service that all call it is at each proxy."""
    took: list[float] = []
    name, cpu = source.address(COMMON), _cpu(pid)
    for number in range(CHANGES):
        ready = world.ENDPOINTS - 1 - number % 5
        at = time.monotonic()
        await trio.to_thread.run_sync(source.change, COMMON, ready)
        await crowd.until_all(lambda proxy, ready=ready: proxy.endpoints[name] == ready, PATIENCE, "a change")
        took += [proxy.arrived[name][1] - at for proxy in crowd.proxies]
    spread = statistics.quantiles(took, n=100)
    return {"change_p50": spread[49], "change_p99": spread[98], "change_slowest": max(took),
            "change_cpu_seconds": (_cpu(pid) - cpu) / CHANGES}


async def _comes_back(crowd: Crowd, pid: int) -> dict[str, Any]:
    """200 proxies lose their connections and come back at once, with what they hold; the others hear nothing."""
    back = crowd.proxies[:BACK]
    heard = {proxy.number: dict(proxy.arrived) for proxy in crowd.proxies}
    for proxy in back:
        proxy.leave()
        proxy.arrived.pop("", None)  # the inbound side is always sent: so one sees that it is back
    cpu, began = _cpu(pid), time.monotonic()
    for proxy in back:
        crowd.join(proxy)
    await crowd.until_all(lambda proxy: "" in proxy.arrived, PATIENCE, "their streams again")
    seconds = time.monotonic() - began
    again = sum(proxy.arrived[name] != at
                for proxy in crowd.proxies for name, at in heard[proxy.number].items() if name)
    return {"back_seconds": seconds, "back_cpu_seconds": _cpu(pid) - cpu, "sent_again": again}


@asynccontextmanager
async def _control_plane(source: Source) -> AsyncIterator[subprocess.Popen[bytes]]:
    """The program, ready."""
    environment = {**os.environ, **source.environment, "TULLE_LISTEN_HOST": "127.0.0.1", "TULLE_LOG_LEVEL": "warning"}
    words = [str(PROGRAM), "--grpc-port", str(GRPC), "--api-port", str(API), "--health-port", "0"]
    process = subprocess.Popen(words, env=environment)
    try:
        with trio.fail_after(PATIENCE):
            while not await _ready():
                if process.poll() is not None:
                    raise RuntimeError(f"tulle-control-plane ended with {process.returncode}")
                await trio.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait()


async def _ready() -> bool:
    try:
        async with await trio.open_tcp_stream("127.0.0.1", API) as stream:
            await stream.send_all(b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            return (await stream.receive_some(100)).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _resident(pid: int) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024
