"""An exporter: what the proxy saw, once a second, as lines to a receiver.

    server.demo 200 count=40 max_ms=12.5
    server.demo 503 count=2 max_ms=3.1
"""

import trio
from tulle_plugin_api import Exchange, Exporter, ExporterContext, hookimpl

RECEIVER = ("receiver.demo", 9125)
INTERVAL = 1.0


class Lines(Exporter):
    """Counts, and sends the counts. One instance a proxy."""

    def __init__(self, context: ExporterContext) -> None:
        self.context = context
        self.seen: dict[tuple[str, int], tuple[int, float]] = {}  # (service, status): how many, the longest in seconds

    def observe(self, exchange: Exchange) -> None:
        """An exchange ended. On the way of every request: count, and nothing else; no I/O here.

        Of interest: exchange.direction ("outbound": what this pod asked of others; "inbound": what it was asked,
        probes among it), exchange.service (None when the destination is no Service; else it has .name and
        .namespace), exchange.status (0 when there was no answer), exchange.started and exchange.ended in seconds.
        """
        service = exchange.service
        if exchange.direction != "outbound" or service is None:
            return
        key = (f"{service.name}.{service.namespace}", exchange.status)
        count, longest = self.seen.get(key, (0, 0.0))
        self.seen[key] = (count + 1, max(longest, exchange.ended - exchange.started))

    def drain(self) -> bytes:
        """All lines since the last time, as above, and begin anew; b"" when there was nothing."""
        seen, self.seen = self.seen, {}
        lines = [
            f"{name} {status} count={count} max_ms={longest * 1000:.1f}\n"
            for (name, status), (count, longest) in sorted(seen.items())
        ]
        return "".join(lines).encode()

    async def run(self) -> None:
        """Beside the requests, for as long as the proxy lives (trio)."""
        sock = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        with sock:
            while True:
                await trio.sleep(INTERVAL)
                if text := self.drain():
                    try:
                        await sock.sendto(text, RECEIVER)
                    except OSError:
                        pass  # the receiver is away: what it missed is lost, and no request waits for it


@hookimpl
def tulle_exporters():
    """The exporter `lines`."""
    return {"lines": Lines}
