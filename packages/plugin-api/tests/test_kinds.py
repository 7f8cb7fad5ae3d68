"""Kinds: what an exporter may work out once must not differ within one, and what a client chooses must make none."""

import dataclasses

import pytest
from tulle_plugin_api import Address, Endpoint, Exchange, Service
from tulle_plugin_api.flows import Flows
from tulle_plugin_api.kinds import kind

ENDPOINT = Endpoint(Address("10.1.0.1", 8080), pod="app-b-1", namespace="default", workload="deployment/app-b")
SERVICE = Service("app-b", "default", 80, "app-b.default.svc.cluster.local:80")


def exchange(**changes):
    one = Exchange()
    one.status, one.service, one.endpoint = 200, SERVICE, ENDPOINT
    for name, value in changes.items():
        setattr(one, name, value)
    return one


OF_A_KIND = [
    ("status", 503), ("reason", "timeout"), ("aborted", True), ("direction", "inbound"), ("protocol", "tcp"),
    ("destination", Address("10.96.0.8", 80)), ("service", None),
    ("service", dataclasses.replace(SERVICE, namespace="other", authority="app-b.other.svc.cluster.local:80")),
    ("route", "default/r/1"), ("backend", "default/app-b2:80"), ("endpoint", None),
    ("endpoint", dataclasses.replace(ENDPOINT, pod="app-b-2", workload="deployment/app-b2")),
    ("endpoint", dataclasses.replace(ENDPOINT, address=Address("10.1.0.2", 8080))),
    ("source_identity", "spiffe://t/ns/n/sa/s"), ("secured", True), ("attempts", 2),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), OF_A_KIND)
def test_what_exporters_tell_apart_makes_another_kind(name, value):
    assert kind(exchange(**{name: value})) != kind(exchange())


@pytest.mark.parametrize(("name", "value"), [
    ("path", "/other"), ("method", "PURGE"), ("authority", "else"), ("source", Address("10.0.0.9", 40313)),
    ("started", 1.0), ("ended", 2.0), ("request_bytes", 7), ("response_bytes", 7),
])  # fmt: skip
def test_what_a_client_chooses_or_is_counted_makes_none(name, value):
    assert kind(exchange(**{name: value})) == kind(exchange())


@pytest.mark.parametrize(("name", "value"), [pair for pair in OF_A_KIND if pair != ("protocol", "tcp")])
def test_flows_told_by_kinds_count_the_same(name, value):
    plain, kinds = Flows(dict), Flows(dict)
    observers = {}
    for one in [exchange(), exchange(**{name: value})] * 2:
        plain.observe(one)
        observers.setdefault(kind(one), kinds.observer(one))(one)
    counted = [[(outcome.labels, outcome.count) for outcome in flows.outcomes()] for flows in (plain, kinds)]
    assert counted[0] == counted[1]
