"""`tulle canary SERVICE --to OTHER`: moves a Service's callers step by step, and back when a bar is missed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click
from tulle_plugin_api.config import Duration

from tulle_cli import figures, options, terminal
from tulle_cli.api_client import ApiClient
from tulle_cli.canary import begin, follow, plan, route
from tulle_cli.canary.cluster_objects import ClusterObjects
from tulle_cli.canary.follow import Event, Follower
from tulle_cli.canary.objects import Away, LabObjects, Objects, anew
from tulle_cli.canary.route import State
from tulle_cli.canary.seen import Figures
from tulle_cli.cluster.port_forward import is_cluster
from tulle_cli.errors import FAILED, CliError

T = TypeVar("T")

STATUS_HEAD = ("SERVICE", "CANARY", "ROUTE", "PHASE", "WEIGHT", "STEP", "REQUESTS", "SUCCESS", "LATENCY_P99", "VERDICT")
NUMERIC = frozenset({"WEIGHT", "STEP", "REQUESTS", "SUCCESS", "LATENCY_P99"})


class Seconds(click.ParamType):  # type: ignore[type-arg]  # generic in some versions of click only
    """A duration such as 30s, 2m or 50ms (GEP-2257), as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        try:
            return float(Duration.parse(value))
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None


@click.command("canary")
@click.argument("service", metavar="SERVICE")
@click.option("--to", metavar="SERVICE[:PORT]", help="The new version's Service, in the same namespace.")
@click.option("--steps", metavar="PERCENT,...", help="Shares of the requests, rising.  [default: 5,25,50,100]")
@click.option("--every", type=Seconds(), help="Time at each step, at least.  [default: 30s]")
@click.option("--min-success", type=float, metavar="PERCENT", help="Roll back below this.  [default: 99]")
@click.option("--max-p99", type=Seconds(), help="Roll back above this latency.  [default: not judged]")
@click.option("--min-requests", type=int, metavar="N",
              help="A step is judged by so many of the canary's requests, and holds until there are.  [default: so "
              "many that one failure among them is allowed, and at least 100]")
@click.option("--port", type=int, help="The Service's port, where it has several.")
@click.option("--route", "name", metavar="NAME", help="The HTTPRoute to edit, where the Service has several.")
@click.option("--abort", is_flag=True, help="Roll back now; also what is done already.")
@click.option("--status", is_flag=True, help="Only say where it is.")
@click.option("-n", "--namespace", default=options.DEFAULT_NAMESPACE, envvar="TULLE_NAMESPACE", show_default=True,
              help="The namespace of both Services.")
@options.control_plane
@options.output
@click.pass_context
def command(
    ctx: click.Context, /, service: str, to: str | None, port: int | None, name: str | None, abort: bool, status: bool,
    namespace: str, api: str | None, output: str, **given: Any,
) -> None:
    """Move a Service's callers to another Service step by step, as long as they fare well with it.

    Edits the weights of the Service's HTTPRoute (of all rules that send to it), or makes one. Watches what callers
    see of the new version, by the mesh's own figures. When a bar is missed, puts the route back as it was, and exits
    with 1. Interrupted, the weights stay; the same command (or just `tulle canary SERVICE`) goes on.

    In the lab; with --control-plane kubernetes[:CONTEXT] in a cluster, through kubectl, with your own rights.

    \b
    tulle canary app-b --to app-b2 -n demo --steps 5,25,50,100 --every 30s --min-success 99.5 --max-p99 50ms
    tulle canary app-b -n demo --status
    tulle canary app-b -n demo --abort
    """
    service = _service(service)
    asked = _asked(given)
    if abort and status:
        raise click.UsageError("--abort and --status exclude each other")
    objects = ClusterObjects(api) if api and is_cluster(api) else LabObjects.default()
    watcher = Figures(ApiClient(api))
    again = f"tulle canary {service} -n {namespace}{objects.options}"

    def under_way() -> tuple[dict[str, Any], State]:
        found = begin.current(objects, namespace, service, name)
        if found is None:
            raise CliError(f"there is no canary of {service} in namespace {namespace}",
                           f"no HTTPRoute there has the annotation {route.ANNOTATION} for it",
                           f"{again} --to SERVICE begins one")
        return found

    def start() -> tuple[str, Event]:
        """The route's name, and what there is to tell: it is gone on with, or begun."""
        found = begin.current(objects, namespace, service, name)
        if found is not None and found[1].phase == route.RUNNING:
            begin.same(objects, found[1], to, asked)
            event = Event("resumed", found[1].percent, f"going on at {follow.announced(found[1])}")
            return found[0]["metadata"]["name"], event
        if to is None:
            raise click.UsageError(f"no canary of {service} is under way; --to SERVICE begins one")
        fewest = plan.fewest(asked.get("min_success", plan.Plan.min_success))
        wanted = plan.Plan(**{"min_requests": fewest, **asked})
        move = begin.move_of(objects, namespace, service, port, to)
        watcher.must_see(move)
        begun = begin.begin(objects, move, wanted, name, time.time())
        return begun["metadata"]["name"], Event("step", wanted.steps[0], _begun(begun))

    if status:
        _status(watcher, *under_way(), output)
        return
    if abort:
        _written(again, lambda: _abort(objects, *under_way(), output))
        return
    edited, event = _written(again, start)
    _tell(event, output)
    follower = Follower(objects, watcher, lambda event: _tell(event, output))
    try:
        follower.follow(namespace, edited)
    except KeyboardInterrupt:
        click.echo(
            f"interrupted: the weights stay, and nobody watches. {again} goes on; --abort rolls back", err=True
        )  # fmt: skip
        ctx.exit(FAILED)


def _service(word: str) -> str:
    kind, slash, name = word.rpartition("/")
    if slash and figures.kind_of(kind) != "service":
        raise click.UsageError(f"{word!r} is no Service; a canary is one of a Service: svc/{name}, or {name}")
    return name


def _written(again: str, act: Callable[[], T]) -> T:
    """What `act` returns, which reads a route and writes it."""
    try:
        return anew(act)
    except Away as error:
        after = f"{error.next}; then {again} --status says whether anything was changed"
        raise CliError(error.what, error.why, after) from error


def _asked(given: dict[str, Any]) -> dict[str, Any]:
    """What was given on the command line, in Plan's fields. Raises click.UsageError."""
    asked = {field: value for field, value in given.items() if value is not None}
    try:
        if "steps" in asked:
            asked["steps"] = plan.steps_of(asked["steps"])
        plan.Plan(**asked)
    except ValueError as error:
        raise click.UsageError(f"--{error}") from None
    return asked


def _begun(found: dict[str, Any]) -> str:
    state = route.read(found)
    assert state is not None  # begin wrote it
    how = "made for this" if state.made else f"{len(state.before)} of its rules"
    return f"{follow.announced(state)}; HTTPRoute {found['metadata']['name']} ({how})"


def _tell(event: Event, output: str) -> None:
    if output == "json":
        click.echo(json.dumps(event.to_json()))  # one line each, as they come
        return
    colour = {"done": "green", "rolled-back": "red", "hold": "yellow"}.get(event.what)
    click.secho(f"{event.percent:>3}%  {event.text}", fg=colour)


def _abort(objects: Objects, found: dict[str, Any], state: State, output: str) -> None:
    if not route.is_untouched(found, state):
        raise follow.touched(found, state)
    follow.put_back(objects, found, state)
    _tell(Event("rolled-back", state.percent, "rolled back: asked for by --abort"), output)


def _status(watcher: Figures, found: dict[str, Any], state: State, output: str) -> None:
    seen, decision = follow.observe(watcher, state, time.time())
    verdict = watcher.trouble or decision.why
    move, progress = state.move, state.progress
    if output == "json":
        terminal.echo_json({
            "service": move.service, "namespace": move.namespace, "port": move.port, "to": move.to,
            "route": found["metadata"]["name"], "phase": state.phase, "percent": state.percent, "step": progress.step,
            "since": progress.since, "plan": state.plan.to_json(), "untouched": route.is_untouched(found, state),
            "requests": seen.requests if seen else None, "failures": seen.failures if seen else None,
            "success": seen.success if seen else None, "p99": seen.p99 if seen else None,
            "verdict": decision.verdict.value, "why": verdict,
        })  # fmt: skip
        return
    cells = (
        f"{move.service}:{move.port}", f"{move.to}:{move.to_port}", found["metadata"]["name"], state.phase,
        f"{state.percent}%", f"{progress.step + 1}/{len(state.plan.steps)}", str(seen.requests) if seen else "",
        figures.percent(seen.success if seen else None), figures.latency(seen.p99 if seen else None), verdict,
    )  # fmt: skip
    click.echo(terminal.columns(STATUS_HEAD, [cells], NUMERIC))
    if not route.is_untouched(found, state):
        click.secho(follow.touched(found, state).what, fg="red", err=True)
