"""The other process of connections.py, which nobody counts: clients, and the server behind the proxy.

    python -m bench.profile.peer      prints its server's port, reads the proxy's, then lines "fresh|kept COUNT"

Each line is so many requests by eight clients at once, over a new connection each, or over one for each client; "done"
says that all were answered with 200. Ends with its standard input.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable

from bench.profile.canned import ANSWER, REQUEST

CLIENTS = 8
SEEN = 1  # all heads alike


def _serve(connection: socket.socket) -> None:
    with connection:
        while connection.recv(65536):
            connection.sendall(ANSWER % SEEN)


def _accept(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def fresh(port: int, count: int) -> None:
    """A connection for each request, which the proxy ends."""
    request = (REQUEST % SEEN)[:-2] + b"Connection: close\r\n\r\n"
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(request)
            answer = b""
            while data := sock.recv(65536):
                answer += data
        _check(answer)


def kept(port: int, count: int) -> None:
    """One connection for all."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        for _ in range(count):
            sock.sendall(REQUEST % SEEN)
            _check(sock.recv(65536))


def _check(answer: bytes) -> None:
    if not (answer.startswith(ANSWER[:15]) and answer.endswith(b"\r\n\r\nok\n")):
        raise AssertionError(f"not the answer: {answer[:200]!r}")


KINDS: dict[str, Callable[[int, int], None]] = {"fresh": fresh, "kept": kept}


def main() -> int:
    """Exit status."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=CLIENTS)
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    port = int(sys.stdin.readline())
    for line in sys.stdin:
        kind, count = line.split()
        failures: list[BaseException] = []

        def work(kind: str = kind, count: int = int(count), failures: list[BaseException] = failures) -> None:
            try:
                KINDS[kind](port, count // CLIENTS)
            except BaseException as error:
                failures.append(error)

        clients = [threading.Thread(target=work) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        print(failures or "done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
