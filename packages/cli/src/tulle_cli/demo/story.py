"""The chapters in their order, with a lab around them that is gone afterwards, however the story ends."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from tulle_cli.api_client import ApiClient, lab_state
from tulle_cli.demo.chapters import canary, figures, killed, scale, start, way
from tulle_cli.demo.lab import Lab
from tulle_cli.demo.scene import Scene
from tulle_cli.demo.stage import NotTrue, Stage
from tulle_cli.errors import CliError

CHAPTERS = (start.tell, way.tell, figures.tell, scale.tell, canary.tell, killed.tell)

# what to try next
IF_KEPT = (
    ("tulle top -n demo", "the figures, live"),
    ("tulle proxy config app-a -n demo", "what app-a's proxy has been told"),
    ("tulle lab exec node -- curl -sX POST http://app-b.demo/knobs -d failure_rate=0.5", "half of a pod's calls fail"),
    ("tulle lab rollout restart deploy/app-b -n demo", "new pods, and all is well again"),
    ("tulle check", "is everything well?"),
)
IF_GONE = (
    ("make demo KEEP=1", "the same, and the lab stays for you to play with"),
    ("tulle lab up -f deploy/sample-app", "only the lab"),
    ("tulle check --pre", "what this machine can do"),
)


def manifests() -> Path:
    """deploy/sample-app of the repository that this file, or else the working directory, is in. Raises CliError."""
    here, working = Path(__file__).resolve().parent, Path.cwd()
    for parent in (*here.parents, working, *working.parents):
        if (parent / "deploy" / "sample-app").is_dir():
            return _short(parent / "deploy" / "sample-app")
    raise CliError(
        "the sample application's manifests are not here",
        f"there is no deploy/sample-app above {here}, nor above {working}",
        "run it from a clone of the repository, or give --manifests FOLDER",
    )


def _short(folder: Path) -> Path:
    try:
        return folder.relative_to(Path.cwd())
    except ValueError:
        return folder


def tell(folder: Path, *, keep: bool, stage: Stage | None = None, lab: Lab | None = None) -> None:
    """Tell it. With `keep` the lab stays, also when a claim fails; otherwise it is always taken down."""
    stage, lab = stage or Stage(), lab or Lab(lab_state())
    begun = stage.now()
    scene = Scene(stage, lab, ApiClient(f"unix:{lab.state / 'control-plane.sock'}"), folder)
    _introduce()
    _refuse_if_running(lab)
    try:
        for chapter in CHAPTERS:
            chapter(scene)
        scene.no_failures(scene.tally() - scene.first, "since the pods were ready")
    except BaseException as error:
        if not keep:
            click.echo("\nThe story ends here; taking the lab down.", err=True)
            _down(lab)
            if isinstance(error, NotTrue):
                error.next = f"tulle demo --keep leaves the lab running for you to look; then: {error.next}"
        raise
    _end(stage, lab, keep=keep, seconds=stage.now() - begun)


def _introduce() -> None:
    click.secho("Tulle: a service mesh that you can read", bold=True)
    click.echo("Real proxies, real iptables rules, a real webhook; pods are network namespaces of this machine.")


def _refuse_if_running(lab: Lab) -> None:
    if lab.is_running():
        raise CliError(
            "a lab is already running",
            f"its state is in {lab.state}",
            "tulle lab down   (or give the demo one of its own: TULLE_LAB_STATE=/tmp/demo tulle demo)",
        )


def _down(lab: Lab) -> None:
    try:
        lab.run("down")
    except CliError as error:
        error.show()


def _end(stage: Stage, lab: Lab, *, keep: bool, seconds: float) -> None:
    stage.chapter("Your turn")
    if keep:
        stage.say("The lab is still running. `tulle lab down` ends it and leaves nothing behind.")
    else:
        stage.command("tulle lab down")
        lab.run("down")
        stage.say("Everything is gone: pods, addresses, rules, processes.")
    following = IF_KEPT if keep else IF_GONE
    width = max(len(command) for command, _ in following)
    stage.show("\n".join(f"{command:<{width}}   {text}" for command, text in following))
    activate = Path(sys.prefix) / "bin" / "activate"
    if shutil.which("tulle") is None and activate.exists():
        stage.say(f"For the command `tulle`:  . {_short(activate)}")
    stage.say(f"{stage.claims} claims were made and checked, in {seconds:.0f} s.")
