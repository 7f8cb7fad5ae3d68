"""Implements a hook that there is not."""

from tulle_plugin_api import hookimpl


@hookimpl
def tulle_telepathy():
    """Nobody calls this."""
