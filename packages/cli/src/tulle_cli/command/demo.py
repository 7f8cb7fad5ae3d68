"""`tulle demo [--keep]`: the command around demo/story.py."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from tulle_cli.demo import story


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave the lab running at the end.")
@click.option("--manifests", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="FOLDER",
              help="The sample application; by default deploy/sample-app of the repository.")
def command(keep: bool, manifests: Path | None) -> None:
    """The whole mesh on this machine, told in a minute.

    Starts the lab with a sample application, tells six chapters, takes the lab down. Asks nothing, needs no
    terminal. Every claim is checked: exits 1 when one does not hold here, saying which, and what was so instead.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the lab is taken down then, too
    story.tell(manifests or story.manifests(), keep=keep)
