"""Start each of Tulle's programs while one of its ports is another's. Run on the node. Prints JSON: what each said.

    port_taken.py FOLDER-OF-PROGRAMS
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile

PORTS = (
    # program, its port, the variable that would change it
    ("tulle-control-plane", 8086, "TULLE_GRPC_PORT"),
    ("tulle-control-plane", 8085, "TULLE_API_PORT"),
    ("tulle-control-plane", 8087, "TULLE_HEALTH_PORT"),
    ("tulle-admission-controller", 8443, "TULLE_WEBHOOK_PORT"),
    ("tulle-admission-controller", 8444, "TULLE_HEALTH_PORT"),
    ("tulle-proxy", 4140, "TULLE_OUTBOUND_PORT"),
    ("tulle-proxy", 4143, "TULLE_INBOUND_PORT"),
    ("tulle-proxy", 4191, "TULLE_ADMIN_PORT"),
)
SECONDS = 10


def take(port: int) -> socket.socket:
    """A listening socket there, for both families."""
    taken = socket.socket(socket.AF_INET6)
    taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    taken.bind(("::", port))
    taken.listen()
    return taken


def main() -> None:
    """Try them all."""
    said = []
    with tempfile.TemporaryDirectory() as folder:
        for program, port, variable in PORTS:
            with take(port):
                try:
                    done = subprocess.run(
                        [os.path.join(sys.argv[1], program)], capture_output=True, text=True, timeout=SECONDS,
                        check=False, env={"PATH": os.environ["PATH"], "TULLE_MANIFESTS": folder},
                    )
                    code, text = done.returncode, done.stderr + done.stdout
                except subprocess.TimeoutExpired:
                    code, text = 0, f"it still ran after {SECONDS} s"
            said.append({"program": program, "port": port, "variable": variable, "code": code, "said": text})
    print(json.dumps(said))


if __name__ == "__main__":
    main()
