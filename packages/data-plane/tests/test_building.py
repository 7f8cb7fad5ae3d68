"""What is built when a configuration arrives: how, while it is built; what comes of it is other tests'."""

from __future__ import annotations

import gc

import pytest
from tulle_api.v1 import discovery_pb2 as pb
from tulle_data_plane import stack
from tulle_data_plane.driver import Driver
from tulle_data_plane.host import Host
from tulle_data_plane.settings import Settings
from tulle_plugin_api import Balancer, Plugins


class First(Balancer):
    def pick(self, endpoints, exchange):
        return endpoints[0]


@pytest.fixture
def host():
    """A host whose balancer notes whether the collector was at work when it was made."""
    seen = []

    def made(config, runtime):
        seen.append(gc.isenabled())
        if config:
            raise ValueError("no such setting")
        return First()

    driver = Driver()
    host = Host(driver, Settings(), Plugins(balancers={"round-robin": made}))
    host.seen = seen
    yield host
    driver.close()


def message(**more):
    backends = [pb.Backend(name="d/b:80", resolved=True, endpoints=[pb.Endpoint(address="127.0.0.1", port=1)])]
    return pb.Destination(address="10.96.0.9:80", known=True, backends=backends, **more)


@pytest.fixture(params=[True, False])
def collecting(request):
    """Whether the collector is at work before; it is put back."""
    if not request.param:
        gc.disable()
    yield request.param
    gc.enable()


def test_the_collector_rests_while_a_destination_is_built_and_only_then(host, collecting):
    stack.outbound(message(), host, None)
    assert gc.isenabled() is collecting
    with pytest.raises(stack.Rejected, match="no such setting"):
        stack.outbound(message(balancer_config='{"a": 1}'), host, None)
    assert gc.isenabled() is collecting
    assert host.seen == [False, False]
