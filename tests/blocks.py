"""The shell blocks of the documents: fenced with nothing, sh, bash or console, taken apart into commands.

A block without a language counts when a line of it begins like a command; a reader would type it. Kept simple: pipes
and `&&` divide, redirections and here-documents are left out, comments too. Lines of output (in console blocks, what
does not begin with "$ ") are not commands.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^```(?P<language>[a-z]*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
_BEGINS = re.compile(
    r"(tulle|kubectl|helm|kind|make|docker|scripts/[a-z]+|\.venv/bin/[a-z]+|pip|git|export|tilt|python3?)( |$)"
)


@dataclass(frozen=True)
class Block:
    """What stands between two fences. `line`: of its first line, from 1."""

    path: Path
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """One program with its words, as a shell would divide them."""

    line: int
    words: tuple[str, ...]


def documents():
    """All documents that a reader follows."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/**/*.md")])


def blocks(path):
    """The shell blocks of a document."""
    text = path.read_text()
    for found in _FENCE.finditer(text):
        language, body = found["language"], found["text"]
        if language in ("sh", "bash", "console") or (language == "" and _BEGINS.match(body.lstrip())):
            yield Block(path, text.count("\n", 0, found.start("text")) + 1, language, body)


def commands(path):
    """The commands in the shell blocks of a document."""
    for block in blocks(path):
        until = None
        for number, source in enumerate(block.text.splitlines(), block.line):
            line = source
            if until is not None:
                until = None if line.strip() == until else until
                continue
            if block.language == "console":
                if not line.startswith("$ "):
                    continue
                line = line[2:]
            if here := re.search(r"<<-?'?([A-Z]+)'?", line):
                until, line = here[1], line[: here.start()]
            line = re.sub(r"(^|\s)#.*", "", line)
            for part in re.split(r"&&|\|\||[|;]", line):
                yield from _command(number, part)


def _command(number, part):
    try:
        words = shlex.split(part)
    except ValueError:  # a quote that was divided, or goes on in the next line
        return
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    words = [each for each in words if not re.fullmatch(r"[0-9]?>.*|<.*|&", each)]
    if words and _BEGINS.match(words[0] + " "):
        yield Command(number, tuple(words))
