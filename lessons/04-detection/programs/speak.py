"""A client: `speak.py PORT PIECE...` sends the pieces (escapes as in Python), each in a packet of its own, and reads
what comes within 4 seconds, until it has what `--until TEXT` says. One JSON line: what it got, and after how long."""

import json
import socket
import sys
import time


def unescaped(text: str) -> bytes:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


port, until, *pieces = sys.argv[1:]
began = time.monotonic()
got, error = b"", ""
try:
    with socket.create_connection(("proxy", int(port)), timeout=4) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(0.06)  # so that the pieces arrive one by one: this is the client's pace, not a wait for one
            sock.sendall(unescaped(piece))
        while unescaped(until) not in got and (data := sock.recv(65536)):
            got += data
except OSError as reason:
    error = f"{type(reason).__name__}: {reason}"
print(json.dumps({"got": got.decode("latin-1"), "error": error, "seconds": round(time.monotonic() - began, 2)}))
