"""Opening the byte stream under a connection: TCP or a unix socket, and TLS with ALPN h2 over it.

Owns the socket until it returns it: on error or cancel nothing stays open. Knows nothing of HTTP/2.

The module `ssl` is not imported here, only by who has a context: OpenSSL is 4 MB of a process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from socket import gaierror
from typing import TYPE_CHECKING, TypeAlias

import trio

from tulle_trio_grpc.address import Target

if TYPE_CHECKING:
    import ssl

#: A context, or a function that gives one: it is asked at every connect, so that rotated certificates are used.
SSLContextSource: TypeAlias = "ssl.SSLContext | Callable[[], ssl.SSLContext]"


class DialFailed(Exception):
    """No connection; the message says where to and why."""


async def dial(target: Target, ssl_source: SSLContextSource | None, server_hostname: str | None) -> trio.abc.Stream:
    """Connect, and do the TLS handshake if there is a context; raises DialFailed. The caller sets the time limit."""
    try:
        if target.unix_path is not None:
            plain: trio.SocketStream = await trio.open_unix_socket(target.unix_path)
        else:
            plain = await trio.open_tcp_stream(target.host, target.port)
    except (OSError, ValueError) as error:  # ValueError: a unix path too long for the kernel
        raise DialFailed(f"cannot connect to {target}: {_reason(error)}") from error
    if ssl_source is None:
        return plain
    try:
        return await _start_tls(plain, target, ssl_source, server_hostname or target.host or "localhost")
    except BaseException:
        await trio.aclose_forcefully(plain)
        raise


async def _start_tls(
    plain: trio.SocketStream, target: Target, source: SSLContextSource, server_hostname: str
) -> trio.SSLStream[trio.SocketStream]:
    # trio.SSLStream is about half as fast as ssl.SSLSocket: fine for a control stream, not for the proxy's data.
    context = source() if callable(source) else source
    context.set_alpn_protocols(["h2"])  # RFC 9113 section 3.2
    stream = trio.SSLStream(plain, context, server_hostname=server_hostname, https_compatible=True)
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as error:
        reason = _reason(error.__cause__ or error)
        raise DialFailed(f"TLS handshake with {target} as {server_hostname!r} failed: {reason}") from error
    if stream.selected_alpn_protocol() != "h2":
        raise DialFailed(f"{target} does not offer HTTP/2 over TLS (ALPN 'h2'): this port does not speak gRPC")
    return stream


def _reason(error: BaseException) -> str:
    """The innermost words: trio groups what every address of a name said."""
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(_reason(each) for each in cause.exceptions))
    if isinstance(cause, OSError):
        return _reason(cause)
    if type(error).__module__ == "ssl":  # its numbers are not the kernel's
        return getattr(error, "verify_message", "") or str(error)
    if isinstance(error, OSError) and not isinstance(error, gaierror) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
