"""Serving HTTP on TCP and on a unix socket, by uvicorn in the control plane's event loop.

Owns the sockets. Signals are main.py's business, so uvicorn's own handlers are switched off.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

BACKLOG = 256


class SocketTaken(Exception):
    """A socket cannot be listened on. The message says which, why, and what to do."""


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: set `should_exit` to stop it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def make_server(app: Starlette) -> Server:
    """A server to be run with `serve(sockets)`."""
    return Server(
        uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2, server_header=False
        )
    )


def tcp_socket(host: str, port: int, variable: str) -> socket.socket:
    """A listening TCP socket; "" is every address, IPv6 and IPv4. Raises SocketTaken, naming `variable`."""
    try:
        if host:
            return socket.create_server((host, port), family=_family(host), backlog=BACKLOG)
        if socket.has_dualstack_ipv6():
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
        return socket.create_server(("0.0.0.0", port), backlog=BACKLOG)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise SocketTaken(
            f"cannot listen on {host or '*'}:{port}: {why}; end what uses it, or set {variable}"
        ) from None


def unix_socket(path: Path) -> socket.socket:
    """A listening unix socket of mode 0600. One that nobody listens on any more is replaced. Raises SocketTaken."""
    _remove_abandoned(path)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # never, not even for a moment, open to others
    try:
        found.bind(str(path))
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        raise SocketTaken(f"cannot listen on {path}: {error.strerror or error}") from None
    finally:
        os.umask(before)
    return found


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _remove_abandoned(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise SocketTaken(f"{path} exists and is no socket; name another path, or remove it")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise SocketTaken(f"{path} cannot be probed: {error}; remove it if no control plane uses it") from None
    raise SocketTaken(f"another process listens on {path}; stop it, or name another path")
