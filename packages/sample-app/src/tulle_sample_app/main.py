"""`tulle-sample-app`: variables and flags in, a serving process until SIGTERM. Exits 0, or 2 on bad configuration."""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from tulle_sample_app.app import App, Identity
from tulle_sample_app.knobs import KnobError, Knobs, from_environment, variable_of
from tulle_sample_app.load import generate
from tulle_sample_app.log import log
from tulle_sample_app.server import Server
from tulle_sample_app.upstream import Upstream

# name, variable, default, help; the knobs come on top
SETTINGS = (
    ("name", "APP_NAME", "app-a", "who it says it is: app-a, app-b"),
    ("upstream", "APP_UPSTREAM", "", "whom it calls, such as http://app-b; empty for nobody"),
    ("port", "PORT", "8080", "the TCP port to listen on"),
    ("pod", "POD_NAME", "", "the pod's name; the host's name if empty"),
    ("lame-duck-seconds", "APP_LAME_DUCK_SECONDS", "2", "on SIGTERM: how long to accept connections still"),
    ("drain-seconds", "APP_DRAIN_SECONDS", "25", "on SIGTERM: how long requests in flight may take"),
)


class ConfigError(Exception):
    """A variable or flag is not right; the message names it."""


@dataclass(frozen=True)
class Settings:
    """What the process is told at its start. Times are seconds."""

    identity: Identity
    port: int
    upstream: Upstream | None
    knobs: Knobs
    lame_duck: float
    drain: float


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; tulle-sample-app --help lists what there is")


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Read flags and variables; flags count more. Raises ConfigError."""
    parser = _Parser(prog="tulle-sample-app", description="An app to mesh: says who answered, with faults to turn on.",
                     allow_abbrev=False)
    for name, variable, default, text in SETTINGS:
        parser.add_argument(f"--{name}", metavar="VALUE", help=f"{text} (default {default or 'empty'}; {variable})")
    for name, value in vars(Knobs()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE",
                            help=f"knob (default {value}; {variable_of(name)})")
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    values = {name: given.get(name.replace("-", "_"), environment.get(variable, default))
              for name, variable, default, _ in SETTINGS}
    variables = dict(environment)
    variables.update({variable_of(name): given[name] for name in vars(Knobs()) if name in given})
    try:
        knobs = from_environment(variables)
        upstream = Upstream(values["upstream"]) if values["upstream"] else None
    except KnobError as error:
        raise ConfigError(str(error)) from None
    except ValueError as error:
        raise ConfigError(f"APP_UPSTREAM: {error}") from None
    if knobs.load_rps and upstream is None:
        raise ConfigError("LOAD_RPS: there is no upstream to call; set APP_UPSTREAM, such as http://app-b")
    pod = values["pod"] or socket.gethostname()
    return Settings(Identity(values["name"], pod), _port(values["port"]), upstream, knobs,
                    _seconds("APP_LAME_DUCK_SECONDS", values["lame-duck-seconds"]),
                    _seconds("APP_DRAIN_SECONDS", values["drain-seconds"]))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise ConfigError(f"PORT: {text!r} is not a TCP port; give a number up to 65535 (0 for any free one)")
    return int(text)


def _seconds(name: str, text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 3600:
            return float(text)
    raise ConfigError(f"{name}: {text!r} is not a time; give seconds from 0 to 3600")


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises OSError if the port cannot be had."""
    app = App(settings.identity, settings.knobs, settings.upstream)
    server = Server(app.handle)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    port = await server.start(settings.port)
    load = asyncio.create_task(generate(app)) if app.upstream is not None else None
    log("info", "serving", app=app.identity.app, version=app.knobs.version, pod=app.identity.pod, port=port,
        upstream=app.upstream.url if app.upstream is not None else None)
    await stop.wait()
    log("info", "shutting down: not ready any more, finishing what is in flight")
    app.drain()
    await server.drain(settings.lame_duck, settings.drain)
    if load is not None:
        load.cancel()
    if app.upstream is not None:
        app.upstream.close()
    log("info", "stopped")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    try:
        settings = parse(sys.argv[1:] if arguments is None else arguments, os.environ)
        asyncio.run(serve(settings))
    except ConfigError as error:
        log("error", str(error))
        return 2
    except OSError as error:
        log("error", f"cannot listen: {error.strerror or error}; another program may have the port, set PORT")
        return 2
    return 0
