"""One request's way through the mesh, put together from what each program on it wrote down. Pure.

Access-log lines (JSON) of the proxies of both pods, and the application's own answer. Each hop names its witness.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

HEAD = ("WHERE", "WHAT HAPPENS", "STATUS", "TOOK")


@dataclass(frozen=True)
class Journey:
    """The four lines and the answer of one request: client -> app-a -> app-b."""

    inbound_a: Mapping[str, Any]
    outbound_a: Mapping[str, Any]
    inbound_b: Mapping[str, Any]
    answer: Mapping[str, Any]

    @property
    def pod_a(self) -> str:
        """Who answered the client."""
        return str(self.answer["pod"])

    @property
    def pod_b(self) -> str:
        """Who answered app-a, in that program's own words."""
        return str(self.answer["upstream"]["answer"]["pod"])

    @property
    def agreed(self) -> bool:
        """Whether the proxy that chose the endpoint, and the program that answered, name the same pod."""
        return self.outbound_a.get("pod", "") in ("", self.pod_b)


def lines(log: str, path: str) -> list[dict[str, Any]]:
    """The access-log lines for `path` among other output. Lines that are none are passed over."""
    found = []
    for text in log.splitlines():
        start = text.find("{")
        try:
            line = json.loads(text[start:]) if start >= 0 else None
        except ValueError:
            continue
        if isinstance(line, dict) and line.get("path") == path and "direction" in line:
            found.append(line)
    return found


def first(candidates: Iterable[Mapping[str, Any]], direction: str) -> Mapping[str, Any] | None:
    """The first line of that direction."""
    return next((line for line in candidates if line["direction"] == direction), None)


def table(journey: Journey, client: str) -> list[tuple[str, str, str, str]]:
    """Rows under HEAD, in travel order."""
    a_in, a_out, b_in = journey.inbound_a, journey.outbound_a, journey.inbound_b
    said = journey.answer["upstream"]["answer"]
    blank = (" ", " ")
    return [
        (client, f"GET {a_in['path']} to {a_in.get('authority', 'app-a')}, outside the mesh: no proxy here", *blank),
        (journey.pod_a, f"iptables -> proxy :4143 (inbound) -> app-a at {a_in.get('destination', '?')}", *_cost(a_in)),
        (journey.pod_a, f"app-a calls {a_out.get('authority', 'app-b')} at {a_out.get('destination', '?')}", *blank),
        (journey.pod_a, f"iptables -> proxy :4140 (outbound) -> picks {a_out.get('endpoint', '?')}", *_cost(a_out)),
        (journey.pod_b, "iptables -> proxy :4143 (inbound) -> app-b", *_cost(b_in)),
        (journey.pod_b, f"{said['app']} {said['version']} answers", str(journey.answer["upstream"]["status"]), " "),
    ]


def _cost(line: Mapping[str, Any]) -> tuple[str, str]:
    return str(line.get("status", "")), f"{line.get('duration_ms', 0):.2f}ms"
