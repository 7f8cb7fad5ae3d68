"""A control plane that has just come back and has not read everything empties no balancer (THREATS, Control plane)."""

from __future__ import annotations

import pytest
import trio
from tulle_api.v1 import discovery_pb2 as pb
from tulle_data_plane import destinations as module
from tulle_data_plane.destinations import DOUBT_SECONDS, Destinations
from tulle_data_plane.driver import Driver
from tulle_data_plane.host import Host
from tulle_data_plane.settings import Settings
from tulle_plugin_api import Address, Balancer, Plugins

ADDRESS = Address("10.96.0.9", 80)
SERVICE = pb.Service(name="b", namespace="d", port=80, authority="b.d:80")


class First(Balancer):
    def pick(self, endpoints, exchange):
        return endpoints[0]


PLUGINS = Plugins(balancers={"round-robin": lambda config, runtime: First()})


def message(*ports: int, known: bool = True) -> pb.Destination:
    endpoints = [pb.Endpoint(address="127.0.0.1", port=port) for port in ports]
    backends = [pb.Backend(name="d/b:80", resolved=True, endpoints=endpoints)] if known else []
    return pb.Destination(address=str(ADDRESS), known=known, service=SERVICE, backends=backends)


def with_destinations(test):
    async def main():
        driver = Driver()
        host = Host(driver, Settings(), PLUGINS)
        table = Destinations(host, lambda address, held: None, lambda address: None)
        now = [1000.0]
        async with trio.open_nursery() as nursery:
            await nursery.start(driver.serve)
            driver.now = lambda: now[0]
            await driver.run(table.lookup, ADDRESS)  # not connected: passes through at once
            table.connect()
            test(table, now)
            nursery.cancel_scope.cancel()
        driver.close()

    trio.run(main)


def endpoints(table: Destinations) -> int:
    return len(table.entries[ADDRESS].target.addresses)


@pytest.mark.parametrize("empty", [message(), message(known=False)], ids=["no endpoints", "not known"])
def test_a_young_stream_empties_nothing(empty):
    def test(table, now):
        assert table.apply(message(1, 2), "v1")
        now[0] += 100
        table.disconnected()
        table.connect()
        assert not table.apply(empty, "v2")
        assert endpoints(table) == 2
        assert table.entries[ADDRESS].version == "v1"
        assert table.settle(now[0] + DOUBT_SECONDS - 0.1) == []
        ((again, version),) = table.settle(now[0] + DOUBT_SECONDS)
        assert table.apply(again, version, sure=True)  # still so: believed
        assert endpoints(table) == 0

    with_destinations(test)


def test_what_comes_after_replaces_what_was_doubted():
    def test(table, now):
        assert table.apply(message(1, 2), "v1")
        assert not table.apply(message(), "v2")
        assert table.apply(message(3), "v3")
        assert table.settle(now[0] + 1000) == []
        assert endpoints(table) == 1

    with_destinations(test)


def test_an_old_stream_is_believed_at_once():
    def test(table, now):
        assert table.apply(message(1, 2), "v1")
        now[0] += DOUBT_SECONDS
        assert table.apply(message(), "v2")
        assert endpoints(table) == 0

    with_destinations(test)


def test_without_the_defence_the_balancer_is_emptied(monkeypatch):
    monkeypatch.setattr(module, "DOUBT_SECONDS", 0.0)

    def test(table, now):
        assert table.apply(message(1, 2), "v1")
        assert table.apply(message(), "v2")
        assert endpoints(table) == 0

    with_destinations(test)
