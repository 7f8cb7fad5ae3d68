"""Reads a long answer of answers.py more slowly than it could be sent. Prints JSON. Standard library only.

    slow_reader.py HOST [--size 104857600] [--framing length|chunked] [--stall 1.0] [--rate 40e6]

Stalls before it reads anything, then takes so many bytes a second at most. Counts what came, and compares it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import time

PIECE = 65_536


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("--size", type=int, default=100 << 20)
    parser.add_argument("--framing", choices=("length", "chunked"), default="length")
    parser.add_argument("--stall", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=40e6, help="bytes a second")
    options = parser.parse_args()
    expected = b"b" * PIECE
    client = http.client.HTTPConnection(options.host, 80, timeout=30)
    client.request("GET", f"/bytes?size={options.size}&framing={options.framing}")
    began = time.monotonic()
    time.sleep(options.stall)
    answer = client.getresponse()
    got, equal, broken = 0, True, ""
    first = time.monotonic()
    try:
        while piece := answer.read(PIECE):
            equal = equal and piece == expected[: len(piece)]
            got += len(piece)
            time.sleep(max(0.0, first + got / options.rate - time.monotonic()))
    except (OSError, http.client.HTTPException) as error:
        broken = f"{type(error).__name__}: {error}"
    print(json.dumps({
        "status": answer.status,
        "bytes": got,
        "equal": equal,
        "broken": broken,
        "framing": "chunked" if answer.chunked else "length",
        "seconds": round(time.monotonic() - began, 2),
    }))


if __name__ == "__main__":
    main()
