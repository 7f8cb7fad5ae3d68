"""What a client must be able to rely on: a conversation after an Upgrade; and half an answer is never a whole one."""

from __future__ import annotations

from collections import Counter

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.mesh import Mesh
from tests.acceptance.metrics import Counted

MESSAGES = 1000


def _websocket(mesh: Mesh) -> Outcome:
    mesh.up()
    mesh.apply("answers")
    client, server = mesh.pod("client"), mesh.pod("answers")

    def counted() -> tuple[Counted, Counted]:
        at_client, at_server = mesh.metrics(client), mesh.metrics(server)
        return Counted.of(at_client, "outbound", "echo"), Counted.of(at_server, "inbound", "echo")

    before = counted()
    report = mesh.script("websocket", "ws://echo/", "--messages", str(MESSAGES))
    at_client, at_server = (now - then for now, then in zip(counted(), before, strict=True))
    return judged(
        f"{report['same']} of {report['messages']} came back the same, {report['bytes'] / 1e6:.0f} MB each way, in "
        f"{report['seconds']:.1f} s; closed with {report['close_code']}",
        (report["same"] == MESSAGES, f"{MESSAGES - report['same']} did not come back as they were"),
        (report["pongs"] == report["pings"], f"{report['pongs']} pongs for {report['pings']} pings"),
        (report["status"] == 101, f"the Upgrade was answered with {report['status']}"),
        (report["close_code"] == 1000, "the close was not an orderly one"),
        ((at_client.http, at_client.tcp) == (1, 1), f"the client's proxy counted {at_client}"),
        ((at_server.http, at_server.tcp) == (1, 1), f"the server's proxy counted {at_server}"),
    )


def _cut_short(mesh: Mesh) -> Outcome:
    mesh.up()
    mesh.apply("answers")
    rows = mesh.script("cut_short", "answers")
    cut, whole = ([row for row in rows if row["whole"] is is_whole] for is_whole in (False, True))
    wrong = Counter(
        f"{row['client']}, {row['framing']}, {row['how']}: {row['said']}" for row in rows if not row["right"]
    )
    seen = sum(row["right"] for row in cut)
    return judged(
        f"{seen} of {len(cut)} broken answers were seen as broken by curl and requests; "
        f"{sum(row['right'] for row in whole)} of {len(whole)} whole ones as whole",
        (len(cut) > 0 and len(whole) > 0, "none were made"),
        (not wrong, f"taken otherwise: {', '.join(f'{count} x {what}' for what, count in wrong.items())}"),
    )


FIGURES = (
    Figure("websocket", "1,000 messages, up to 100 KB, come back the same; counted as 1 request, 1 tunnel", _websocket),
    Figure("cut-short", "what the server breaks off, with a length, in chunks or neither, is seen as such", _cut_short),
)
