"""WebSocket messages there and back, by the `websockets` library at both ends. Prints JSON.

    websocket.py serve PORT                      the other end: echoes
    websocket.py ws://HOST/ [--messages 1000]    the client

Messages of text and of bytes, from none to 100,000 bytes, the longest in fragments; a ping in between; and a close that
both sides agree on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

SIZES = (0, 1, 125, 126, 1000, 10_000, 65_535, 65_536, 100_000)
"""Around the lengths at which a frame's header grows (RFC 6455 section 5.2)."""
PING_EVERY = 100


def echo(connection: ServerConnection) -> None:
    """One connection of the server."""
    for message in connection:
        connection.send(message)


def message(number: int) -> str | bytes:
    """What the client sends as its `number`th, and must get back."""
    size = SIZES[number % len(SIZES)]
    text = f"{number} ".ljust(size, "t")[:size]
    return text if number % 2 else text.encode()


def ask(url: str, messages: int) -> dict[str, object]:
    """As the client."""
    began = time.monotonic()
    same = pongs = sent = 0
    with connect(url, proxy=None, open_timeout=10, max_size=1 << 20) as connection:
        for number in range(messages):
            said = message(number)
            if len(said) > 65_536 and isinstance(said, str):
                connection.send(said[at : at + 30_000] for at in range(0, len(said), 30_000))
            else:
                connection.send(said)
            sent += len(said)
            same += connection.recv(timeout=10) == said
            if number % PING_EVERY == 0:
                pongs += connection.ping().wait(10)
        status = connection.response.status_code if connection.response else 0
    return {
        "status": status,
        "messages": messages,
        "same": same,
        "pings": -(-messages // PING_EVERY),
        "pongs": pongs,
        "close_code": connection.close_code,
        "bytes": sent,
        "seconds": round(time.monotonic() - began, 2),
    }


def main() -> None:
    """Serve, or ask."""
    if sys.argv[1] == "serve":
        with serve(echo, "", int(sys.argv[2])) as server:
            server.serve_forever()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--messages", type=int, default=1000)
    options = parser.parse_args()
    print(json.dumps(ask(options.url, options.messages)))


if __name__ == "__main__":
    main()
