"""What a client does with the relay, one story a word; one JSON line: what it got, and after how many seconds."""

import json
import socket
import struct
import sys
import threading
import time

RELAY = ("relay", 9000)


def dial() -> socket.socket:
    return socket.create_connection(RELAY, timeout=4)


def read_all(sock: socket.socket) -> str:
    parts = []
    while data := sock.recv(65536):
        parts.append(data)
    return b"".join(parts).decode()


def ask(sock: socket.socket, data: bytes) -> str:
    """Send, end our direction, read to the end: what the server's answer needs."""
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    return read_all(sock)


def short() -> str:
    with dial() as sock:
        return ask(sock, b"hello, mesh")


def large() -> str:
    with dial() as sock:
        return ask(sock, bytes(range(256)) * 4096)


def many() -> str:
    got: list[str] = []

    def one(number: int) -> None:
        with dial() as sock:
            got.append(ask(sock, b"x" * number))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(1, 41)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return " ".join(sorted((text.split()[0] for text in got if text), key=int))


def vanish() -> str:
    """Ten clients that send a little and then reset their connections, as a killed program's are."""
    for _ in range(10):
        sock = dial()
        sock.sendall(b"a request that will never be")
        time.sleep(0.05)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    return "gone"


def given_up() -> str:
    """The server ends in the middle; the client only listens. It has to hear of that."""
    with dial() as sock:
        sock.sendall(b"stop")
        return f"end after {len(read_all(sock))} bytes"


def open_now() -> str:
    with socket.create_connection(("server", 7001), timeout=4) as sock:
        return read_all(sock).strip()


began = time.monotonic()
try:
    found = {"got": globals()[sys.argv[1]](), "error": ""}
except OSError as error:
    found = {"got": "", "error": f"{type(error).__name__}: {error}"}
print(json.dumps({**found, "seconds": round(time.monotonic() - began, 2)}))
