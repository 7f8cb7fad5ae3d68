"""Proves that redirection works by using it: connects out of the pod and into it, and sees both arrive.

Owns nothing that outlives a call: listeners, probes and the wire are gone on every way out. The packets sent
out live for one hop, so that a connection which is *not* captured dies at the pod's door.
"""

import os
import selectors
import socket
import time
from contextlib import ExitStack
from typing import NamedTuple

from tulle_init_container.backend import Backend
from tulle_init_container.config import Config
from tulle_init_container.errors import NotRedirected, PortBusy
from tulle_init_container.family import IPV4, Family
from tulle_init_container.knock import knock
from tulle_init_container.network import addresses, probe_destination, probe_port
from tulle_init_container.original_destination import original_destination
from tulle_init_container.render import nat_lines
from tulle_init_container.rules import chains
from tulle_init_container.wire import wire

DEADLINE_SECONDS = 5.0


class Verdict(NamedTuple):
    """What a check found: `verified` False means that there was nothing to try, and `detail` says why."""

    verified: bool
    detail: str


def outbound(config: Config, family: Family) -> Verdict:
    """Dial an address outside the pod as root, and as the proxy's uid: only the first may be captured.

    Raises NotRedirected or PortBusy.
    """
    if not addresses(family):
        return Verdict(False, f"the pod has no {family.name} address")
    host, port = probe_destination(config, family), probe_port(config)
    if host is None or port is None:
        return Verdict(False, f"no {family.name} destination that the pod has a route for is captured")
    dialled = f"{host} port {port}"
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(config.outbound_port, family))
        # The proxy's probe goes first: were it captured, it would be the first to be accepted, because over
        # loopback the handshake is over when connect returns. No waiting for something not to happen.
        proxys = _socket_of(config.proxy_uid, family)
        if proxys is not None:
            _dial(stack.enter_context(proxys), host, port)
        ours = stack.enter_context(socket.socket(family.address_family, socket.SOCK_STREAM))
        _dial(ours, host, port)
        accepted = _accept(listener)
        if accepted is None:
            raise NotRedirected(f"{family.name}: a connection to {dialled} did not arrive at the proxy's outbound"
                                f" port {config.outbound_port} within {DEADLINE_SECONDS:g} s")
        connection = stack.enter_context(accepted)
        if connection.getpeername()[:2] != ours.getsockname()[:2]:
            raise NotRedirected(f"{family.name}: a connection of the proxy's own uid {config.proxy_uid} came back to"
                                " the proxy, which would then talk to itself for ever")
        original = original_destination(connection, family)
        if original != (host, port):
            raise NotRedirected(f"{family.name}: a connection to {dialled} arrived at the proxy, but the kernel says"
                                f" that it was going to {original[0]} port {original[1]}")
    tried = "tried" if proxys is not None else "not tried: no CAP_SETUID"
    return Verdict(True, f"{dialled} arrived at the proxy with its original destination"
                         f" (bypass of uid {config.proxy_uid}: {tried})")


def inbound(config: Config, backend: Backend) -> Verdict:
    """Read the inbound rules back from the kernel, and let a connection arrive from a wire made for that.

    Raises NotRedirected or PortBusy. Where the kernel makes no veth pair, reading them back must do.
    """
    family = backend.family
    _read_back(config, backend)
    port = next((port for port in (9, *range(1, 65536)) if not any(port in item for item in config.skip_inbound_ports)),
                None)
    if not addresses(family) or port is None:
        return Verdict(True, "the kernel holds the rules; there is nothing that could arrive")
    with _listen(config.inbound_port, family, everywhere=True) as listener:
        try:
            with wire(family) as ends:
                outcome = knock(ends, family, port, DEADLINE_SECONDS)
                accepted = _accept(listener) if outcome == "connected" else None
        except OSError as error:
            return Verdict(True, f"the kernel holds the rules (no connection was tried: {error.strerror or error})")
        if accepted is None:
            raise NotRedirected(f"{family.name}: a connection from the network to port {port} did not arrive at the"
                                f" proxy's inbound port {config.inbound_port} ({outcome})")
        with accepted:
            original = original_destination(accepted, family)
    if original != (ends.near, port):
        raise NotRedirected(f"{family.name}: a connection to {ends.near} port {port} arrived at the proxy, but the"
                            f" kernel says that it was going to {original[0]} port {original[1]}")
    return Verdict(True, f"a connection to {ends.near} port {port} arrived at the proxy with its original destination")


def _read_back(config: Config, backend: Backend) -> None:
    """Raise NotRedirected unless the jump to our inbound chain comes first and every rule is there."""
    expected = next(chain for chain in chains(config, backend.family) if chain.hook == "PREROUTING")
    lines = list(nat_lines(backend.save()))
    jumps = [line for line in lines if line.startswith(f"-A {expected.hook} ")]
    present = [line for line in lines if line.startswith(f"-A {expected.name} ")]
    if not jumps or f"-j {expected.name}" not in jumps[0]:
        raise NotRedirected(f"{backend.family.name}: {backend.save_program} does not show the jump from"
                            f" {expected.hook} to {expected.name} as the first rule")
    if len(present) != len(expected.rules) or expected.rules[-1].target not in present[-1]:
        raise NotRedirected(f"{backend.family.name}: {backend.save_program} shows {len(present)} rules in"
                            f" {expected.name}, and {len(expected.rules)} were committed")


def _listen(port: int, family: Family, *, everywhere: bool = False) -> socket.socket:
    listener = socket.socket(family.address_family, socket.SOCK_STREAM)
    address = family.anywhere if everywhere else family.loopback
    try:
        if family is not IPV4:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise PortBusy(f"{family.name}: the trial could not listen on {address} port {port}:"
                       f" {error.strerror}") from error
    return listener


def _socket_of(uid: int, family: Family) -> socket.socket | None:
    """Make a socket that the owner match sees as `uid`'s; None without the right to act as another user."""
    own = os.geteuid()
    try:
        os.seteuid(uid)
    except OSError:  # EPERM: no CAP_SETUID; EINVAL: a user namespace that does not map the uid
        return None
    try:
        return socket.socket(family.address_family, socket.SOCK_STREAM)
    finally:
        os.seteuid(own)


def _dial(probe: socket.socket, host: str, port: int) -> None:
    """Begin to connect. Waits for an IPv6 address that is still being checked for duplicates (RFC 4862)."""
    probe.setblocking(False)
    if probe.family == IPV4.address_family:
        probe.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
    else:
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            probe.connect((host, port))
        except BlockingIOError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise NotRedirected(f"connecting to {host} port {port} failed at once: {error}") from error
            time.sleep(0.05)
        else:
            return


def _accept(listener: socket.socket) -> socket.socket | None:
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        if not selector.select(DEADLINE_SECONDS):
            return None
    connection, _ = listener.accept()
    # close with a reset, so that the proxy finds its port without connections in TIME_WAIT
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    return connection
