"""From the control plane's rows to the cells of `stat`, `edges` and `top`. Pure.

Owns units and rounding: success in percent, requests a second, latencies in the unit that reads best. The rows:
packages/control-plane/README.md. A value that does not exist yet is None, and becomes "-".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

STAT_HEAD = ("NAMESPACE", "NAME", "MESHED", "SUCCESS", "RPS", "LATENCY_P50", "LATENCY_P95", "LATENCY_P99", "TCP_CONN")
"""linkerd's columns."""
EDGES_HEAD = ("SRC", "DST", "SRC_NS", "DST_NS", "SECURED", "SUCCESS", "RPS", "LATENCY_P50", "LATENCY_P99")
"""linkerd's columns, then what passed along the edge."""
BACKENDS_HEAD = ("NAMESPACE", "SERVICE", "BACKEND", "SHARE", "SUCCESS", "RPS", *STAT_HEAD[5:8])
"""What the callers of a Service saw of each of its backends."""
NUMERIC = frozenset({"SHARE", "SUCCESS", "RPS", "LATENCY_P50", "LATENCY_P95", "LATENCY_P99", "TCP_CONN"})

# what people type -> the control plane's word; plural and short forms as kubectl has them
KINDS = {
    "service": ("services", "svc"),
    "deployment": ("deployments", "deploy"),
    "statefulset": ("statefulsets", "sts"),
    "daemonset": ("daemonsets", "ds"),
    "replicaset": ("replicasets", "rs"),
    "job": ("jobs",),
    "pod": ("pods", "po"),
}


def kind_of(word: str) -> str | None:
    """The control plane's word for a kind, or None for a word that is none."""
    lower = word.lower()
    return next((kind for kind, others in KINDS.items() if lower == kind or lower in others), None)


def percent(value: float | None) -> str:
    """0.998 as "99.80%". Never rounds a failure away: 0.999999 is "99.99%"."""
    if value is None:
        return ""
    return "100.00%" if value >= 1.0 else f"{min(value * 100, 99.99):.2f}%"


def rate(value: float | None) -> str:
    """Per second: "100.0rps"."""
    return "" if value is None else f"{value:.1f}rps"


def latency(seconds: float | None) -> str:
    """Seconds as "0.85ms", "1.2ms", "340ms", "2.50s"."""
    if seconds is None:
        return ""
    milliseconds = seconds * 1000
    if milliseconds < 1:
        return f"{milliseconds:.2f}ms"
    if milliseconds < 10:
        return f"{milliseconds:.1f}ms"
    return f"{milliseconds:.0f}ms" if seconds < 1 else f"{seconds:.2f}s"


def stat_cells(row: Row, qualified: bool) -> tuple[str, ...]:
    """Cells under STAT_HEAD; `qualified`: the name with its kind, where a table holds several."""
    return (
        row["namespace"],
        f"{row['kind']}/{row['name']}" if qualified else row["name"],
        row.get("meshed") or "",
        percent(row.get("success")),
        rate(row.get("rps")) if row.get("requests") else "",
        latency(row.get("latency_p50")),
        latency(row.get("latency_p95")),
        latency(row.get("latency_p99")),
        str(row.get("tcp_open", "")),
    )


def edge_cells(row: Row, secured: str = "√", plain: str = "") -> tuple[str, ...]:
    """Cells under EDGES_HEAD; `secured` and `plain` are the signs for mutual TLS and its absence."""
    return (
        row["src"],
        row["dst"],
        row["src_namespace"],
        row["dst_namespace"],
        secured if row["secured"] else plain,
        percent(row.get("success")),
        rate(row.get("rps")) if row.get("requests") else "",
        latency(row.get("latency_p50")),
        latency(row.get("latency_p99")),
    )


def backend_cells(row: Row, share: float) -> tuple[str, ...]:
    """Cells under BACKENDS_HEAD; `share`: the backend's part of the Service's requests, 0 to 1."""
    return (
        row["namespace"],
        row["service"],
        row["backend"],
        percent(share),
        percent(row.get("success")),
        rate(row.get("rps")),
        latency(row.get("latency_p50")),
        latency(row.get("latency_p95")),
        latency(row.get("latency_p99")),
    )


def shares(rows: Sequence[Row]) -> list[float]:
    """Of each backend's row, its part of all requests to its Service."""
    totals: dict[tuple[str, str], int] = {}
    for row in rows:
        service = (row["namespace"], row["service"])
        totals[service] = totals.get(service, 0) + row["requests"]
    return [row["requests"] / (totals[row["namespace"], row["service"]] or 1) for row in rows]


def select(rows: Sequence[Row], kind: str | None, name: str | None) -> list[Row]:
    """Rows of a kind and name. Without a kind: workloads, neither services nor single pods."""
    return [
        row
        for row in rows
        if (row["kind"] == kind if kind else row["kind"] not in ("service", "pod")) and name in (None, row["name"])
    ]
