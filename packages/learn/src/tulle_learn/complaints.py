"""What the learner's own code raised, out of the logs of what runs it. Pure.

A check sees effects only: a proxy whose policy raises answers 500, a program that ends refuses connections. The log
knows why. Two forms are read: Python's tracebacks (also of exception groups), and the JSON lines in which Tulle's
programs tell of a plugin.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

MOST = 3
"""So many are told; the first one is usually the cause."""

_FRAME = re.compile(r'^File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<name>.+)$')
_END = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Warning|Cancelled)\b.*$")
_GROUP = re.compile(r"^(?:\w+\.)*(?:Base)?ExceptionGroup\b")
_MARGIN = re.compile(r"^[\s|+\-]+")


def complaints(log: str) -> list[str]:
    """Each once, in order: `TypeError: ... (my_policy.py, line 12, in handle)`, or a plugin's fault in words."""
    found: dict[str, None] = {}
    plain: list[str] = []
    for text in log.splitlines():
        fields = _fields(text)
        if fields is None:
            plain.append(text)
        elif said := _of_plugin(fields):
            found.setdefault(said)
    for said in _tracebacks(plain):
        found.setdefault(said)
    return list(found)[:MOST]


def _fields(text: str) -> dict[str, Any] | None:
    """A JSON line's; None for any other line."""
    if not text.startswith("{"):
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _of_plugin(fields: dict[str, Any]) -> str:
    """What a line says of a plugin; empty when it is about something else, or is no complaint."""
    message = str(fields.get("message", ""))
    if fields.get("level") not in ("warning", "error") or fields.get("what") == "stalled":
        return ""  # a busy machine stalls whoever runs on it
    trace = str(fields.get("traceback") or fields.get("exception") or "")
    if "plugin" not in fields and "catalog plugin" not in message and not message.startswith("exporter "):
        return ""
    detail = str(fields.get("detail") or fields.get("error") or "") or "; ".join(_tracebacks(trace.splitlines()))
    return f"{message}: {detail}" if detail else message


def _tracebacks(lines: list[str]) -> Iterator[str]:
    """The end of each traceback, and the last frame before it. A group's own line says less than its members do."""
    inside, frame = False, ""
    for text in lines:
        bare = _MARGIN.sub("", text)
        if bare.startswith(("Traceback (most recent call last)", "Exception Group Traceback")):
            inside, frame = True, ""
        elif inside and (match := _FRAME.match(bare)):
            frame = f" ({match['file'].rsplit('/', 1)[-1]}, line {match['line']}, in {match['name']})"
        elif inside and _END.match(bare) and not _GROUP.match(bare):
            yield bare + frame
            inside = False
