"""A plot of ratios as an SVG file: rows down, a logarithmic axis across, Envoy the line at 1. Pure, no library.

Each proxy of a row is a dot at the median of its rounds and a line from the least to the greatest; a goal is a short
bar across its row. Colours follow the reader's light or dark theme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bench.ratios import Ratio

LEFT, RIGHT, TOP, BOTTOM = 310, 24, 64, 34
WIDTH = 900
LANE = 11
GAP = 14
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)

# subject -> colour that is legible on white and on black
COLOURS = {
    "tulle": "#0d9488",
    "tulle-quiet": "#5eead4",
    "haproxy": "#6366f1",
    "nginx": "#d97706",
    "floor": "#9ca3af",
}

STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2937; }
.faint { stroke: #e5e7eb; } .base { stroke: #1f2937; stroke-width: 1.5; } .small { font-size: 11px; fill: #6b7280; }
.title { font-weight: 600; font-size: 14px; } .goal { stroke: #dc2626; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
  text { fill: #e5e7eb; } .faint { stroke: #374151; } .base { stroke: #e5e7eb; } .small { fill: #9ca3af; }
}"""


@dataclass(frozen=True)
class Line:
    """One row of the plot: its name, the subjects' ratios, and the goal (None: there is none)."""

    title: str
    dots: Sequence[tuple[str, Ratio]]
    goal: float | None = None


def bounds(lines: Sequence[Line]) -> tuple[float, float]:
    """The axis: from tick to tick, with all that is drawn in it, and 1."""
    values = [1.0]
    for line in lines:
        values += [value for _, ratio in line.dots for value in (ratio.least, ratio.greatest) if value > 0]
        values += [line.goal] if line.goal else []
    low = max((tick for tick in TICKS if tick <= min(values)), default=TICKS[0])
    high = min((tick for tick in TICKS if tick >= max(values)), default=TICKS[-1])
    return (low, high) if low < high else (0.5, 2.0)


def plot(title: str, note: str, lines: Sequence[Line], titles: dict[str, str]) -> str:
    """The file's text. `titles`: of subjects, for the legend."""
    low, high = bounds(lines)
    scale = (WIDTH - LEFT - RIGHT) / math.log(high / low)

    def across(value: float) -> float:
        return round(LEFT + scale * math.log(min(max(value, low), high) / low), 1)

    heights = [GAP + LANE * max(1, len(line.dots)) for line in lines]
    bottom = TOP + sum(heights)
    parts = [_text(8, 20, title, "title"), _text(8, 38, note, "small"), *_legend(lines, titles)]
    for tick in TICKS:
        if low <= tick <= high:
            kind = "base" if tick == 1.0 else "faint"
            parts.append(_line(across(tick), TOP, across(tick), bottom, kind))
            parts.append(_text(across(tick), bottom + 18, "Envoy" if tick == 1.0 else f"{tick:g}×", "small", "middle"))
    top = float(TOP)
    for line, height in zip(lines, heights, strict=True):
        parts.append(_text(LEFT - 12, top + height / 2 + 4, line.title, anchor="end"))
        for number, (subject, ratio) in enumerate(line.dots):
            y, colour = top + GAP / 2 + LANE * (number + 0.5), COLOURS.get(subject, "#6b7280")
            parts.append(f'<line x1="{across(ratio.least)}" y1="{y}" x2="{across(ratio.greatest)}" y2="{y}" '
                         f'stroke="{colour}" stroke-width="2"/>')
            parts.append(f'<circle cx="{across(ratio.median)}" cy="{y}" r="4" fill="{colour}"><title>'
                         f"{escape(f'{titles[subject]}, {line.title}: {ratio}')}</title></circle>")
        if line.goal is not None:
            parts.append(_line(across(line.goal), top + 3, across(line.goal), top + height - 3, "goal"))
        top += height
        parts.append(_line(LEFT, top, WIDTH - RIGHT, top, "faint"))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + BOTTOM}" role="img">\n'
            f"<title>{escape(title)}</title>\n<style>\n{STYLE}\n</style>\n" + "\n".join(parts) + "\n</svg>\n")


def _legend(lines: Sequence[Line], titles: dict[str, str]) -> list[str]:
    there = [name for name in COLOURS if any(name == subject for line in lines for subject, _ in line.dots)]
    parts, x = [], float(LEFT)
    for name in there:
        parts.append(f'<circle cx="{x + 4}" cy="50" r="4" fill="{COLOURS[name]}"/>')
        parts.append(_text(x + 13, 54, titles[name], "small"))
        x += 30 + 6.2 * len(titles[name])
    if any(line.goal is not None for line in lines):
        parts += [_line(x + 4, 44, x + 4, 56, "goal"), _text(x + 13, 54, "goal for Tulle", "small")]
    return parts


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{kind}"/>'
