"""Manifests from files and stdin, as plain data. Owns what is said of a file that cannot be read."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tulle_cli.check.manifests import expand
from tulle_cli.errors import CliError


def read(files: Iterable[str]) -> list[Any]:
    """The documents that are not empty, of files, directories and "-" (stdin). Raises CliError."""
    return [document for path in expand(files) for document in read_one(path)]


def read_one(path: str) -> list[Any]:
    """Those of one file."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
        return [document for document in yaml.safe_load_all(text) if document is not None]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CliError(f"{path} cannot be read", reason or "", "give -f a file, a directory, or - for stdin") from error
    except yaml.YAMLError as error:
        where = "stdin" if path == "-" else path
        raise CliError(f"{where} is not YAML", str(error), "indent with blanks, never tabs") from error
