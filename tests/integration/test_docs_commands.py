"""Every command in the documents' shell blocks is one that exists, with options that it has. Nothing is run here."""

import re

import click
import pytest
from tulle_cli.main import root

from tests.blocks import ROOT, commands, documents

KNOWN = {"docker", "export", "git", "helm", "kind", "kubectl", "make", "pip", "python", "python3", "tilt"}
"""Programs that a reader has, or installs; the rest must be ours."""
CASES = [(path, each) for path in documents() for each in commands(path)]


def tulle_says(words):
    """What click makes of the words: parsed down to the last command, nothing run. "" for nothing wrong."""
    command, context = root, click.Context(root, info_name="tulle")
    words = list(words)
    while isinstance(command, click.Group):
        if not words or words[0].startswith("-"):
            break
        found = command.get_command(context, words[0])
        if found is None:
            return f"no such command {words[0]!r}"
        command, context = found, click.Context(found, parent=context, info_name=words.pop(0))
    known = {option for each in command.get_params(context) for option in (*each.opts, *each.secondary_opts)}
    known |= set(context.help_option_names) | {"-h"}
    passes = command.ignore_unknown_options
    for word in words:
        if word == "--" or passes:
            break
        name = word.partition("=")[0]
        if re.fullmatch(r"--[a-z][a-z0-9-]*|-[a-zA-Z]", name) and name not in known:
            return f"`tulle {context.command_path.removeprefix('tulle ')}` has no option {name}"
    return ""


def test_there_are_commands_to_look_at():
    assert len(CASES) > 40
    assert {"docs/install.md", "README.md", "docs/canary.md"} <= {str(path.relative_to(ROOT)) for path, _ in CASES}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_of_a_document_exist(path):
    wrong = []
    for each in commands(path):
        program, *words = each.words
        if program.endswith("/tulle") or program == "tulle":
            problem = tulle_says(words)
        elif "/" in program:  # relative to the repository, or to the document
            there = program.startswith(".venv") or (ROOT / program).exists() or (path.parent / program).exists()
            problem = "" if there else "no such file here"
        else:
            problem = "" if program in KNOWN else "a program that nobody has"
        if problem:
            wrong.append(f"line {each.line}: {' '.join(each.words)}: {problem}")
    assert not wrong, "\n".join(wrong)


def test_make_targets_and_kustomizations_that_are_named_exist():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path, each in CASES:
        if each.words[0] == "make":
            for word in each.words[1:]:
                assert "=" in word or word in targets, (path, each)
        for flag, word in zip(each.words, each.words[1:], strict=False):
            if each.words[0] == "kubectl" and flag in ("-f", "-k") and word.startswith("deploy/"):
                assert (ROOT / word).exists(), (path, each)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tulle instal", "no such command"), ("tulle install --haha", "no option --haha"),
        ("tulle proxy config x --nope", "no option --nope"), ("tulle install --ha --set A=b", ""),
        ("tulle lab exec node -- curl --anything", ""),
    ],
)  # fmt: skip
def test_a_wrong_command_is_seen(line, said):
    assert said in tulle_says(line.split()[1:])
    assert bool(said) == bool(tulle_says(line.split()[1:]))
