"""Listening and serving: two uvicorn servers in one loop, started and drained together.

Owns sockets and the order of start and stop. On SIGTERM or SIGINT: not ready, serve on for the drain delay, finish
reviews in progress, stop the health port last. SIGHUP renews the certificates at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette

from .app import Deciders, health_app, webhook_app
from .config import Config
from .keyring import Keyring
from .kubernetes_api import ApiServer
from .metrics import Metrics
from .rotation import Rotation, utc_now
from .sinks import CaBundleSink, FileSink, KubernetesSink, NoSink

log = logging.getLogger(__name__)


class ServeError(Exception):
    """The program cannot serve; the message says why and what to do."""


_GOODBYE_SECONDS = 1.0


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: there are two of them, and stopping is decided in `serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finishes what is in progress; clients that are idle and do not close in their turn are cut off."""
        goodbye = asyncio.create_task(self._cut_off())
        try:
            await super().shutdown(sockets)
        finally:
            goodbye.cancel()

    async def _cut_off(self) -> None:
        # TLS waits for the peer's close_notify (asyncio: 30 s), which a client with an idle connection may never send
        while self.server_state.connections:
            await asyncio.gather(*self.server_state.tasks, return_exceptions=True)
            await asyncio.sleep(_GOODBYE_SECONDS)  # for answers on their way
            if not self.server_state.tasks:
                for connection in list(self.server_state.connections):
                    connection.transport.abort()


async def serve(config: Config, deciders: Deciders, waiting: Callable[[], str] = str) -> None:
    """Runs until SIGTERM or SIGINT, then drains and returns. Raises ServeError if it cannot begin or go on.

    `waiting` says what else must be there before reviews may come; empty when nothing is missing.
    """
    metrics = Metrics()
    rotation = Rotation(Keyring(config.names, config.lifetimes, utc_now()), _sink(config))
    stopping = asyncio.Event()

    def not_ready() -> str:
        if stopping.is_set():
            return "draining"
        return waiting() if rotation.is_published else "the CA bundle is not published yet"

    with contextlib.ExitStack() as sockets:
        webhook_socket = sockets.enter_context(_listen(config.host, config.webhook_port, "TULLE_WEBHOOK_PORT"))
        health_socket = sockets.enter_context(_listen(config.host, config.health_port, "TULLE_HEALTH_PORT"))
        webhook = _server(webhook_app(deciders, metrics), config, rotation)
        health = _server(health_app(not_ready, rotation.keyring, metrics), config)
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, stopping.set)
        loop.add_signal_handler(signal.SIGHUP, rotation.renew_now)

        rotating = asyncio.create_task(rotation.run(), name="rotation")
        serving_health = asyncio.create_task(health.serve([health_socket]), name="health server")
        serving = asyncio.create_task(webhook.serve([webhook_socket]), name="webhook server")
        ports = {"webhook_port": webhook_socket.getsockname()[1], "health_port": health_socket.getsockname()[1]}
        log.info("serving", extra={"fields": {**ports, "names": config.names}})
        try:
            await _until(stopping, [rotating, serving, serving_health])
            log.info("draining")
            await asyncio.sleep(config.drain_delay_seconds)
            webhook.should_exit = True
            await serving
            health.should_exit = True
            await serving_health
        finally:
            rotating.cancel()
            await asyncio.gather(rotating, return_exceptions=True)
    log.info("stopped")


def _sink(config: Config) -> CaBundleSink:
    if config.webhook_configuration:
        try:
            return KubernetesSink(ApiServer.from_environment(os.environ), config.webhook_configuration, utc_now)
        except ValueError as error:
            message = f"TULLE_WEBHOOK_CONFIGURATION is set, but {error}; unset it outside of a cluster"
            raise ServeError(message) from None
    return FileSink(config.ca_bundle_file) if config.ca_bundle_file else NoSink()


async def _until(stopping: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Waits for the signal; a task that ends before it takes the program down, since half of it is of no use."""
    waiting = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task in done:
            waiting.cancel()
            error = None if task.cancelled() else task.exception()
            raise ServeError(f"the {task.get_name()} ended by itself; the supervisor has to restart this") from error


def _server(app: Starlette, config: Config, rotation: Rotation | None = None) -> _Server:
    context = rotation.context if rotation else None
    return _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            limit_concurrency=1000,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, round(config.drain_seconds)),
            ssl_context_factory=(lambda *_: context) if context else None,
        )
    )


def _listen(host: str, port: int, variable: str) -> socket.socket:
    if host:
        attempts = [(socket.AF_INET6 if ":" in host else socket.AF_INET, host)]
    else:
        attempts = [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")]  # the latter for a machine without IPv6
    problem = OSError("no address")
    for family, address in attempts:
        try:
            return _bound(family, address, port)
        except OSError as error:
            problem = error
            if error.errno == errno.EADDRINUSE:
                break
    raise ServeError(
        f"cannot listen on {host or 'any address'}, port {port}: {problem.strerror or problem}; "
        f"end what uses it, or set {variable}"
    ) from problem


def _bound(family: int, address: str, port: int) -> socket.socket:
    # The protocol is named, which socket.create_server does not do: without it asyncio does not recognise TCP and
    # leaves Nagle's algorithm on, and each answer waits 40 ms for a delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((address, port))
        listener.listen(1024)
    except BaseException:
        listener.close()
        raise
    return listener
