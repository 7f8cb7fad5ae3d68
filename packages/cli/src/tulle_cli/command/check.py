"""`tulle check`: which sections, in which order, printed as they come. Exit 1 when anything failed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click
from tulle_plugin_api import load

from tulle_cli import options, terminal
from tulle_cli.api_client import ApiClient
from tulle_cli.check import control_plane, kernel, kubernetes, manifests, plugins, ports, programs, render
from tulle_cli.check.model import ERROR, Line, Section
from tulle_cli.check.run import collect, run
from tulle_cli.cluster.kubectl import Kubectl
from tulle_cli.errors import FAILED


@click.command("check")
@click.option("--pre", is_flag=True, help="Only what must hold before anything is started.")
@click.option("--wait", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS", show_default=True,
              help="Repeat what concerns the running mesh until it holds, at most this long.")
@click.option("-f", "--filename", "files", multiple=True, metavar="FILE",
              help="Check manifests instead, for what Tulle reads of them (policies, routes, Services, annotations, "
              "injection; the rest is for the cluster to judge, and named): a file, a directory, or - for stdin. May "
              "be given again.")
@click.option("--kubernetes", "cluster", is_flag=True, help="With --pre: whether Tulle can be installed in a cluster.")
@options.cluster
@options.control_plane
@options.output
@click.pass_context
def command(
    ctx: click.Context, pre: bool, wait: float, files: tuple[str, ...], cluster: bool, context: str | None,
    kubeconfig: str | None, api: str | None, output: str,
) -> None:
    """Is everything there that Tulle needs, and is what runs well?

    Exits 0 when no line is an error (warnings do not count), 1 otherwise.
    """
    if cluster:
        if not pre:
            raise click.UsageError("--kubernetes goes with --pre: it asks whether Tulle can be installed")
        sections = [kubernetes.section(lambda: Kubectl(context, kubeconfig))]
    else:
        sections = _sections(pre, files, api)
    if output == "json":
        outcomes = collect(run(sections, wait))
        terminal.echo_json(render.as_json(outcomes))
        success = not any(outcome.failed for outcome in outcomes)
    else:
        success = _print(run(sections, wait))
    if not success:
        ctx.exit(FAILED)


def _sections(pre: bool, files: Sequence[str], api: str | None) -> list[Section]:
    loaded = load()
    if files:
        return [manifests.section(files, loaded)]
    before = [kernel.section(), programs.section(), ports.section(), plugins.section(loaded)]
    after = [] if pre else control_plane.sections(ApiClient(api))
    return [*before, *after, *plugins.brought(loaded, before=pre)]


def _print(results: Iterator[tuple[str, Line | None]]) -> bool:
    glyphs, success, first = terminal.glyphs(), True, True
    with terminal.spinner("checking") as spinner:
        for name, line in results:
            if line is None:
                spinner.say("" if first else "\n", nl=False)
                spinner.say(render.heading(name))
                first = False
            else:
                spinner.say(render.line(line, glyphs))
                success = success and line.result != ERROR
    click.echo("\n" + render.verdict(success, glyphs))
    sys.stdout.flush()
    return success
