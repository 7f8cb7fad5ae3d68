"""Reads Prometheus's text format 0.0.4 strictly: what `Exporter.collect` returns must be a page that a scraper accepts.

Owns the grammar (prometheus.io, "Exposition formats"). Small, so that the suite needs no client library.
"""

from __future__ import annotations

import re

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
_SAMPLE = re.compile(rf"({_NAME})(\{{(?:{_LABEL},?)*\}})? (\S+)( -?\d+)?")
_COMMENT = re.compile(rf"# (HELP|TYPE) ({_NAME})(?: (.*))?")
_TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}
_SUFFIXES = ("_bucket", "_sum", "_count")


def parse(page: bytes) -> dict[str, float]:
    """Samples by series, as written: {'requests_total{status="200"}': 3.0}. Raises AssertionError."""
    text = page.decode("utf-8")
    assert text == "" or text.endswith("\n"), "the last line has no line break"
    samples: dict[str, float] = {}
    types: dict[str, str] = {}
    closed: set[str] = set()  # families that were left: all lines of one stand together
    current = ""
    for line in text.split("\n")[:-1]:  # not splitlines: U+2028 in a label is no line break here
        if not line or (line.startswith("#") and not _COMMENT.fullmatch(line)):
            assert not line.startswith(("# HELP", "# TYPE")), f"not a comment that a scraper knows: {line!r}"
            continue
        comment = _COMMENT.fullmatch(line)
        if comment:
            keyword, name, rest = comment.groups()
            if keyword == "TYPE":
                assert rest in _TYPES, f"{line!r}: no such type"
                assert name not in types, f"the type of {name} is given twice"
                types[name] = rest
        else:
            found = _SAMPLE.fullmatch(line)
            assert found, f"not a sample: {line!r}"
            series, value = found[1] + (found[2] or ""), float(found[3].replace("Inf", "inf"))
            assert series not in samples, f"{series} is there twice"
            samples[series] = value
            name = _family(found[1], types)
        if name != current:
            assert name not in closed, f"the lines of {name} do not stand together"
            closed.add(current)
            current = name
    return samples


def _family(name: str, types: dict[str, str]) -> str:
    for suffix in _SUFFIXES:
        base = name.removesuffix(suffix)
        if base != name and types.get(base) in ("histogram", "summary"):
            return base
    return name
