"""A server that remembers what it was asked, and fails where a request wants it to.

    recorder.py PORT

`GET /recorded` answers with all requests that had `x-id`, as JSON: id, method, path and fields as they came, and the
status that they were answered with. That is 200; 503 where the request has `x-fail` and this pod is one of the half
that fails its id, so that a second try elsewhere may be served. Standard library only.
"""

from __future__ import annotations

import json
import socket
import sys
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RECORDED: list[dict[str, object]] = []
POD = socket.gethostname()


def fails(pod: str, number: str) -> bool:
    """Whether that pod fails a request with that id, where it wants some to."""
    return zlib.crc32(f"{pod} {number}".encode()) % 2 == 0


class Recorder(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Any request."""
        status, body = 200, b"ok\n"
        number = self.headers.get("x-id")
        if number is not None:
            status = 503 if self.headers.get("x-fail") and fails(POD, number) else 200
            fields = [[name.lower(), value] for name, value in self.headers.items()]
            RECORDED.append({"id": number, "method": self.command, "path": self.path, "fields": fields,
                             "status": status})  # fmt: skip
        elif self.path == "/recorded":
            body = json.dumps(RECORDED).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[1])), Recorder).serve_forever()
