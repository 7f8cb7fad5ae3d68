"""A server that can be changed and replaced without losing a request: settings while it runs, and an orderly end."""

import json
import os
import signal
from pathlib import Path

import trio

SETTINGS = Path("/settings/settings.json")
WORK = 0.2
"""Seconds that each answer takes."""
LAME_DUCK = 1.0
"""Seconds to go on as before when the end is near: others still send, until they have heard."""
DRAIN = 10.0
"""Seconds that requests under way may take at the end."""


class Settings:
    """What stands in the file, now. Whoever asks `greeting` gets the last good one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.greeting = ""
        self.text = ""
        self.reload()

    def reload(self) -> None:
        """Read the file, if it has changed. Called before each answer; never raises.

        A file that cannot be read, is not JSON, or has no greeting that is a non-empty string, changes nothing: one
        line says what is wrong with it (once, not for each request), and the last good greeting stays.
        """
        try:
            text = self.path.read_text()
            if text == self.text:
                return
            self.text = text
            greeting = json.loads(text)["greeting"]
            if not isinstance(greeting, str) or not greeting:
                raise ValueError(f"greeting is {greeting!r}, not a text")
        except (OSError, ValueError, KeyError, TypeError) as error:
            print(f"{self.path} is not used: {error!r}", flush=True)
            return
        self.greeting = greeting


class Server:
    """HTTP/1.1, as much of it as is needed here."""

    def __init__(self) -> None:
        self.settings = Settings(SETTINGS)
        self.draining = False  # True: /ready says 503, and every answer says `connection: close`
        self.under_way = 0  # requests that are being answered
        self.listening = trio.CancelScope()  # cancel it, and no new connection is accepted

    async def shutdown(self) -> None:
        """SIGTERM came. When this returns, the program ends, and whatever is under way then is lost."""
        self.draining = True
        await trio.sleep(LAME_DUCK)
        self.listening.cancel()
        with trio.move_on_after(DRAIN):
            while self.under_way:
                await trio.sleep(0.05)

    # --- from here on it is complete --------------------------------------------------------------------------------

    async def answer(self, path: str) -> tuple[int, str]:
        """Status and body."""
        if path == "/ready":
            return (503, "draining\n") if self.draining else (200, "ready\n")
        self.settings.reload()
        await trio.sleep(WORK)
        return 200, json.dumps({"greeting": self.settings.greeting, "pod": os.environ.get("POD_NAME", "")})

    async def connection(self, stream: trio.SocketStream) -> None:
        """One client's, request by request (none of them has a body)."""
        buffer = b""
        try:
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = await stream.receive_some(65536)
                    if not data:
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                self.under_way += 1
                try:
                    status, text = await self.answer(head.split(b" ")[1].decode())
                    last = self.draining
                    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(text.encode())}"]
                    lines += ["connection: close"] if last else []
                    await stream.send_all("\r\n".join([*lines, "", text]).encode())
                finally:
                    self.under_way -= 1
                if last:
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def run(self) -> None:
        """Serve until SIGTERM, then `shutdown`."""
        async with trio.open_nursery() as connections:
            listeners = await trio.open_tcp_listeners(8080)

            async def listen() -> None:
                with self.listening:
                    await trio.serve_listeners(self.connection, listeners, handler_nursery=connections)

            connections.start_soon(listen)
            with trio.open_signal_receiver(signal.SIGTERM) as signals:
                async for _ in signals:
                    break
                await self.shutdown()
            print(f"ends with {self.under_way} requests under way", flush=True)
            connections.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(Server().run)
