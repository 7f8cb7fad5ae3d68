"""A run: the backend, the proxies, and all rounds of all rows; its result is what goes into the JSON file.

Owns the order. In each row the rounds alternate: every proxy once, then every proxy again, another one first each
time; so that what changes on the machine meanwhile falls on all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from bench import machine, versions
from bench.measure import Sample
from bench.rows import Row
from bench.services import BULK, ECHO, SINK
from bench.subjects import envoy, haproxy, meshes, minimal, nginx, tulle
from bench.subjects.subject import Subject, python
from bench.world import World, world

SUBJECTS: dict[str, Callable[[World, str], Subject]] = {
    "tulle": tulle.Tulle,
    "tulle-quiet": tulle.TulleQuiet,
    "envoy": envoy.Envoy,
    "envoy-quiet": envoy.EnvoyQuiet,
    "haproxy": haproxy.HAProxy,
    "nginx": nginx.Nginx,
    "floor": minimal.Floor,
    "direct": meshes.Direct,
    "envoy-redirected": meshes.EnvoyRedirected,
    "tulle-mesh": meshes.TulleMesh,
    "envoy-mesh": meshes.EnvoyMesh,
}

WARM_UP_SECONDS = 0.3

Samples = dict[str, dict[str, list[Sample]]]


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def order(names: Sequence[str], number: int) -> list[str]:
    """Whose turn it is in round `number` (from 0): each round another one begins."""
    start = number % len(names)
    return [*names[start:], *names[:start]]


class Run:
    """Rows, measured."""

    def __init__(self, wanted: Sequence[tuple[Row, Sequence[str]]], *, rounds: int, seconds: float) -> None:
        """`wanted`: rows, and the subjects of each."""
        self.wanted, self.rounds, self.seconds = wanted, rounds, seconds
        self.subjects: dict[str, Subject] = {}
        self.samples: Samples = {}

    def run(self) -> dict[str, Any]:
        """Do it all; the result. Raises Broken or SampleFailed."""
        client_core, proxy_core = machine.cores()
        with world(client_core, proxy_core) as made:
            start_backend(made)
            names = dict.fromkeys(name for _, subjects in self.wanted for name in subjects)
            for name in names:
                self._start(made, name)
            idle = {name: machine.resident_kib(subject.pids) for name, subject in self.subjects.items()}
            for subject in self.subjects.values():
                subject.prove()
            before = machine.look()
            for row, subjects in self.wanted:
                if not row.fresh:
                    self._row(row, subjects)
            self._confirm()
            self.samples["memory"] = {
                name: [{"idle": idle[name], "after": machine.resident_kib(subject.pids)}]
                for name, subject in self.subjects.items() if subject.pids
            }
            for row, subjects in self.wanted:
                if row.fresh:
                    self._row(row, subjects)
            disturbed = machine.disturbance(before, machine.look())
        return {
            "rounds": self.rounds, "seconds": self.seconds, "cores": [client_core, proxy_core],
            "disturbance": {"others": disturbed.others, "stolen": disturbed.stolen, "doubtful": disturbed.doubtful},
            "versions": versions.versions(), "rows": self.samples,
        }

    def _start(self, made: World, name: str) -> None:
        make = SUBJECTS[name]
        if not versions.installed(getattr(make, "program", "")):
            say(f"{name} is left out: it is not installed")
            return
        subject = make(made, name)
        subject.start()
        self.subjects[name] = subject

    def _row(self, row: Row, subjects: Sequence[str]) -> None:
        say(row.title)
        names = [name for name in subjects if name in self.subjects]
        samples = self.samples.setdefault(row.name, {name: [] for name in names})
        for name in names if not row.fresh else ():
            row.load(self.subjects[name], WARM_UP_SECONDS, self.samples)
        for number in range(min(self.rounds, row.most_rounds)):
            for name in order(names, number):
                samples[name].append(row.load(self.subjects[name], self.seconds * row.seconds, self.samples))

    def _confirm(self) -> None:
        """Tulle has counted what it was asked: telemetry was on. Raises Broken."""
        for subject in self.subjects.values():
            if isinstance(subject, tulle.Tulle):
                subject.confirm(sum(
                    sample["operations"] for row, _ in self.wanted if row.http and not row.fresh
                    for sample in self.samples.get(row.name, {}).get(subject.name, ())
                ))


def start_backend(made: World) -> None:
    """What all proxies have in common: nginx, the other backend, the control plane. All on the client's core."""
    nginx.start_backend(made, "backend", "0.0.0.0:8080")
    ports = [str(service.target) for service in (SINK, BULK, ECHO)]
    made.start("other-backend", python("bench.load.backend", *ports), pod=None, core=made.client_core)
    tulle.start_control_plane(made, tulle.objects())

