"""The DNS server on the node, UDP and TCP (RFC 1035, RFC 7766). Kept behind the Service kube-system/kube-dns.

Owns sockets. What to answer is names.py's business.
"""

from __future__ import annotations

import struct

import trio

from tulle_lab.cluster.store import Store
from tulle_lab.network.names import Zone, answer, zone

PORT = 53
_IDLE = 10.0  # seconds a TCP client may be silent


class NameServer:
    """Serves the store's Services. Run `run` in a nursery; `started` once all sockets listen."""

    def __init__(self, store: Store, addresses: tuple[str, ...]) -> None:
        self._store = store
        self._addresses = addresses
        self._zone, self._version = Zone(), -1

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve for ever."""
        async with trio.open_nursery() as nursery:
            for address in self._addresses:
                family = trio.socket.AF_INET6 if ":" in address else trio.socket.AF_INET
                udp = trio.socket.socket(family, trio.socket.SOCK_DGRAM)
                await udp.bind((address, PORT))
                nursery.start_soon(self._udp, udp)
                await nursery.start(trio.serve_listeners, self._tcp, await trio.open_tcp_listeners(PORT, host=address))
            task_status.started()

    def _names(self) -> Zone:
        if self._version != self._store.version:
            self._version = self._store.version
            self._zone = zone(self._store.list("Service"), self._store.list("EndpointSlice"))
        return self._zone

    async def _udp(self, sock: trio.socket.SocketType) -> None:
        while True:
            try:
                query, client = await sock.recvfrom(4096)
                reply = answer(query, self._names(), udp=True)
                if reply is not None:
                    await sock.sendto(reply, client)
            except OSError:
                continue  # the client's port is closed already: its business

    async def _tcp(self, stream: trio.SocketStream) -> None:
        buffer = bytearray()
        try:
            while True:
                with trio.fail_after(_IDLE):
                    chunk = await stream.receive_some()
                if not chunk:
                    return
                buffer += chunk
                while len(buffer) >= 2 and len(buffer) >= 2 + (size := struct.unpack("!H", buffer[:2])[0]):
                    reply = answer(bytes(buffer[2 : 2 + size]), self._names(), udp=False)
                    del buffer[: 2 + size]
                    if reply is None:
                        return
                    await stream.send_all(struct.pack("!H", len(reply)) + reply)
        except (trio.TooSlowError, trio.BrokenResourceError):
            return
        finally:
            await trio.aclose_forcefully(stream)
