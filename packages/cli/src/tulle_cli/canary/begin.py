"""Where a canary begins: the Services and ports that are meant, the route to edit, a canary that is under way already.

Owns what is refused before anything is changed. Reads objects, and writes the first step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tulle_cli.canary import route
from tulle_cli.canary.objects import Objects
from tulle_cli.canary.plan import Plan
from tulle_cli.canary.route import State
from tulle_cli.canary.weights import Move, TooFine
from tulle_cli.errors import CliError


def current(objects: Objects, namespace: str, service: str, name: str | None) -> tuple[dict[str, Any], State] | None:
    """The route with a canary of the Service, and its state: one that runs before one that is done. Raises CliError."""
    found = []
    for one in objects.list("HTTPRoute", namespace):
        if name in (None, one["metadata"]["name"]):
            state = route.read(one)
            if state is not None and state.move.service == service:
                found.append((one, state))
    running = [pair for pair in found if pair[1].phase == route.RUNNING]
    if len(running) > 1:
        names = ", ".join(one["metadata"]["name"] for one, _ in running)
        raise CliError(f"{service} has several canaries", f"HTTPRoutes {names}", "say which: --route NAME")
    return next(iter(running or found), None)


def begin(objects: Objects, move: Move, plan: Plan, name: str | None, now: float) -> dict[str, Any]:
    """Write the first step into the Service's route, or into one made for it. Raises CliError, changing nothing.

    Raises Conflict when somebody else was quicker (objects.anew).
    """
    routes = objects.list("HTTPRoute", move.namespace)
    grpc = route.attached(objects.list("GRPCRoute", move.namespace), move.namespace, move.service, move.port)
    if grpc:
        raise CliError(
            f"{move.service} has a GRPCRoute, {grpc[0]['metadata']['name']}",
            "where a Service has GRPCRoutes its HTTPRoutes do not hold, so that weights in one would change nothing",
            "divide its rules' weights by hand, or call it through a Service of its own",
        )
    candidates = [
        one for one in route.attached(routes, move.namespace, move.service, move.port)
        if name in (None, one["metadata"]["name"])
    ]  # fmt: skip
    if len(candidates) > 1:
        names = ", ".join(one["metadata"]["name"] for one in candidates)
        raise CliError(f"{move.service} has several HTTPRoutes", names, "say which to edit: --route NAME")
    if name and not candidates:
        raise CliError(
            f"no HTTPRoute {name!r} of {move.service}:{move.port} in namespace {move.namespace}",
            "it does not exist, or none of its parentRefs names that Service and port",
            f"{objects.get_command} httproutes -n {move.namespace}",
        )
    chosen = candidates[0] if candidates else route.fresh(move)
    made = not candidates
    if made and any(one["metadata"]["name"] == chosen["metadata"]["name"] for one in routes):
        taken = chosen["metadata"]["name"]
        raise CliError(
            f"{move.service} has no HTTPRoute, and one cannot be made for it",
            f"the name {taken} is taken by a route of another Service",
            f"apply a route of your own for {move.service}, and try again",
        )
    try:
        written = route.begun(chosen, move, plan, now, made=made)
    except TooFine as error:
        raise CliError(
            f"the weights of HTTPRoute {chosen['metadata']['name']} cannot be divided", str(error),
            "use smaller weights in its backendRefs",
        ) from None
    objects.apply(written)
    return written


def move_of(objects: Objects, namespace: str, service: str, port: int | None, to: str) -> Move:
    """What is meant by a Service, perhaps a port, and "NAME" or "NAME:PORT". Raises CliError."""
    services = {one["metadata"]["name"]: one for one in objects.list("Service", namespace)}
    name, colon, to_port = to.partition(":")
    if name == service:
        raise CliError(f"{service} cannot be its own canary", "--to names the Service itself", "--to OTHER-SERVICE")
    own = _port(objects, services, namespace, service, port, "--port")
    wanted = int(to_port) if to_port.isdigit() else None
    if colon and wanted is None:
        raise CliError(f"--to {to!r} cannot be read", "what follows the colon is no port", f"--to {name}:{own}")
    try:
        theirs = _port(objects, services, namespace, name, wanted or own, f"--to {name}:PORT")
    except CliError:
        if wanted:
            raise
        theirs = _port(objects, services, namespace, name, None, f"--to {name}:PORT")
    return Move(namespace, service, own, name, theirs)


def _port(
    objects: Objects, services: Mapping[str, Any], namespace: str, name: str, wanted: int | None, option: str
) -> int:
    if name not in services:
        others = ", ".join(sorted(services)) or "none"
        raise CliError(f"there is no Service {name} in namespace {namespace}", f"there are: {others}",
                       f"{objects.get_command} services -n {namespace}")
    ports = [int(one["port"]) for one in services[name]["spec"].get("ports") or []]
    listed = ", ".join(map(str, ports)) or "none"
    if wanted is not None and wanted not in ports:
        raise CliError(f"Service {name} has no port {wanted}", f"its ports: {listed}", f"{option} names one of them")
    if wanted is None and len(ports) != 1:
        raise CliError(f"which port of Service {name}?", f"its ports: {listed}", f"{option} says which")
    return wanted if wanted is not None else ports[0]


def same(objects: Objects, state: State, to: str | None, given: Mapping[str, Any]) -> None:
    """Raise CliError unless what was asked for (only what was given) is the canary that is under way."""
    others = []
    if to is not None and to.partition(":")[0] != state.move.to:
        others.append(f"to {to} instead of {state.move.to}")
    others += replace(state.plan, **given).differences(state.plan)
    if others:
        raise CliError(
            f"a canary of {state.move.service} is under way, at {state.percent}%, with other settings",
            "; ".join(others),
            f"tulle canary {state.move.service} -n {state.move.namespace}{objects.options} goes on with it; "
            "--abort rolls it back",
        )
