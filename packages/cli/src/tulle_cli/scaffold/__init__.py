"""A new plugin's files, from templates: a complete distribution that passes its tests as it stands.

Owns names (what is called what) and the list of files. Pure: `render` returns texts, the command writes them.
"""

from __future__ import annotations

import re
from importlib.resources import files
from string import Template

from tulle_plugin_api import CONTRACT_VERSION

KINDS = ("balancer", "policy", "exporter", "catalog")

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAX_NAME = 40

# path in the new folder, template
_FILES = (
    ("pyproject.toml", "common/pyproject.toml.tmpl"),
    ("README.md", "{kind}/README.md.tmpl"),
    ("src/{module}/__init__.py", "{kind}/plugin.py.tmpl"),
    ("src/{module}/py.typed", ""),
    ("tests/test_contract.py", "{kind}/test_contract.py.tmpl"),
    ("tests/test_{kind}.py", "{kind}/test_plugin.py.tmpl"),
)


def problem(name: str) -> str:
    """What is wrong with a plugin's name; empty if nothing."""
    if not _NAME.fullmatch(name):
        return f"{name!r} is not a name: small letters, digits and hyphens, a letter first, such as follow-version"
    if len(name) > MAX_NAME:
        return f"{name!r} is longer than {MAX_NAME} characters"
    return ""


def folder(kind: str, name: str) -> str:
    """The distribution's name, and its folder's: "tulle-balancer-follow-version"."""
    return f"tulle-{kind}-{name}"


def render(kind: str, name: str) -> dict[str, str]:
    """The new distribution's files: path -> text. `kind` is one of KINDS, `name` has no `problem`."""
    words = {
        "kind": kind,
        "name": name,
        "distribution": folder(kind, name),
        "module": folder(kind, name).replace("-", "_"),
        "lower": name.replace("-", "_"),
        "upper": name.replace("-", "_").upper(),
        # with the kind at its end it is never a word of Python or of the contract: "none", "config", "headers"
        "class_name": "".join(word.capitalize() for word in (*name.split("-"), kind)),
        "contract": str(CONTRACT_VERSION),
    }
    texts = {}
    for path, template in _FILES:
        source = files(__name__).joinpath("templates", *template.format(**words).split("/")) if template else None
        text = source.read_text(encoding="utf-8") if source is not None else ""
        texts[path.format(**words)] = Template(text).substitute(words)
    return texts
