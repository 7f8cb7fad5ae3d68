"""The `tulle` command. Start at main.py; registry.py has the table of commands."""

from __future__ import annotations


def version() -> str:
    """The installed version of tulle-cli, "unknown" when it runs from a tree that was never installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("tulle-cli")
    except PackageNotFoundError:
        return "unknown"
