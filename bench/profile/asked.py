"""Configurations of policies and exporters as they are measured: each one at work, and none striking.

Limits that are not reached, faults of 0 %; traces are recorded at their default rate, and mirror copies 1 % (a copy is
a request of its own).
"""

from __future__ import annotations

from typing import Any

from bench.subjects.manifests import POLICIES

ASKED: dict[str, dict[str, Any]] = {
    **POLICIES,
    "circuit-breaker": {"limits": {"connections": 100}},
    "rate-limit": {"requests": 1_000_000_000, "side": "client"},
    "fault": {"delay": {"time": "1s", "percent": 0}, "abort": {"status": 503, "percent": 0}},
    "headers": {"request": {"set": {"x-tenant": "blue"}}, "response": {"remove": ["server"]}},
    "mirror": {"service": "shadow", "port": 80, "percent": 1},
    "cors": {"allow_origins": ["https://shop.example"]},
    "compression": {},
}
LEFT_OUT = {
    "external": "a request waits for another process's answer",
    "shared-quota": "it needs a control plane that lends it a share; until then it is a rate-limit",
}
"""Policies without a line, and why."""

INBOUND = ("cors", "compression")
"""These run at the server only."""

OPTIONS: dict[str, dict[str, str]] = {
    "otlp": {"signals": "metrics,logs,traces", "endpoint": "http://127.0.0.1:9"},
    "zipkin": {"url": "http://127.0.0.1:9/api/v2/spans"},
    "statsd": {"address": "127.0.0.1:9"},
    "graphite": {"address": "127.0.0.1:9"},
    "influx": {"url": "http://127.0.0.1:9/write"},
}
"""Port 9 (discard): nobody is there. Nothing is sent, either: what is measured is what a request waits for."""
