"""The contract of balancers, as tests.

Owns what the balance layer relies on: whatever happens to the endpoints, `pick` returns one that it was given.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from tulle_plugin_api.contract import samples
from tulle_plugin_api.contract.judge import installed, not_installed
from tulle_plugin_api.contract.sizes import reachable
from tulle_plugin_api.contract.stepping import SteppingRuntime
from tulle_plugin_api.contract.watch import watched
from tulle_plugin_api.exchange import Address, Endpoint, Exchange
from tulle_plugin_api.meshpolicy import validate
from tulle_plugin_api.protocols import Balancer, BalancerFactory

EVERYONE = samples.endpoints(10)


class BalancerContract:
    """Subclass it in a test file, set `plugin`, and run pytest."""

    plugin: ClassVar[str]
    """The balancer's name, as in a MeshPolicy's `config: {name: ...}`."""

    configs: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    """Configurations that it accepts; each test runs with each."""

    refused: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Configurations that it refuses."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One run of a test for each configuration."""
        for name, values in (("config", self.configs), ("bad_config", self.refused)):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, values, ids=repr)

    @pytest.fixture
    def factory(self) -> BalancerFactory:
        """The installed plugin's."""
        plugins = installed()
        assert self.plugin in plugins.balancers, not_installed(
            "balancer", self.plugin, plugins.balancers, plugins.failures
        )
        return plugins.balancers[self.plugin]

    @pytest.fixture
    def runtime(self) -> SteppingRuntime:
        """Virtual time, seeded chance."""
        return SteppingRuntime()

    @pytest.fixture
    def balancer(self, factory: BalancerFactory, config: Mapping[str, Any], runtime: SteppingRuntime) -> Balancer:
        """A new one."""
        return factory(dict(config), runtime)

    # --- what it is -----------------------------------------------------------------------------------------

    def test_the_factory_makes_a_balancer_each_time_a_new_one(
        self, factory: BalancerFactory, config: Mapping[str, Any], runtime: SteppingRuntime
    ) -> None:
        """A proxy makes one for each backend."""
        given = dict(config)
        with watched() as happened:
            one, other = factory(given, runtime), factory(given, runtime)
        assert isinstance(one, Balancer)
        assert one is not other
        assert given == config, "the configuration given is not the factory's to change"
        assert happened == [], "making a balancer does no I/O"

    def test_the_webhook_accepts_its_configuration(self, factory: BalancerFactory, config: Mapping[str, Any]) -> None:
        """As a whole MeshPolicy."""
        assert validate(_mesh_policy({"name": self.plugin, **config}), {}, {self.plugin: factory}) == []

    def test_an_unknown_setting_is_refused_by_its_name(
        self, factory: BalancerFactory, config: Mapping[str, Any], runtime: SteppingRuntime
    ) -> None:
        """A typing error must not be a setting that does nothing."""
        with pytest.raises(ValueError, match="no_such_setting"):
            factory({**config, "no_such_setting": 1}, runtime)

    def test_what_it_refuses(
        self, factory: BalancerFactory, bad_config: Mapping[str, Any], runtime: SteppingRuntime
    ) -> None:
        """With ValueError (ConfigError is one), whose words the webhook passes on."""
        with pytest.raises(ValueError, match=r"\w"):
            factory(dict(bad_config), runtime)
        assert validate(_mesh_policy({"name": self.plugin, **bad_config}), {}, {self.plugin: factory})

    # --- pick -----------------------------------------------------------------------------------------------

    def test_the_only_endpoint_is_picked(self, balancer: Balancer) -> None:
        """Whatever the request."""
        (only,) = samples.endpoints(1)
        for request in samples.ODD_REQUESTS.values():
            assert balancer.pick((only,), request()) == only

    @pytest.mark.parametrize("oddity", samples.ODD_REQUESTS)
    def test_one_of_the_given_is_picked_for_any_request(self, balancer: Balancer, oddity: str) -> None:
        """Odd ones too; and what is given is not changed."""
        given = list(EVERYONE)
        for _ in range(20):
            assert balancer.pick(given, samples.ODD_REQUESTS[oddity]()) in EVERYONE
        assert given == list(EVERYONE)

    def test_a_relayed_connection_is_balanced_too(self, balancer: Balancer) -> None:
        """Nothing is known of it but where it comes from."""
        for port in range(100):
            connection = samples.exchange(protocol="tcp", method="", path="", authority="", headers=Exchange().headers)
            connection.source = connection.source._replace(port=port)
            assert balancer.pick(EVERYONE, connection) in EVERYONE

    def test_picking_is_computing(self, balancer: Balancer) -> None:
        """No I/O, no waiting: everybody else's requests would wait as well."""
        with watched() as happened:
            for number in range(200):
                _try(balancer, EVERYONE, _request(number), 0.01)
        assert happened == []

    def test_weight_zero_means_no_traffic(self, balancer: Balancer) -> None:
        """While there is anything else."""
        drained, others = samples.endpoint(1, weight=0), samples.endpoints(3, first=2)
        for number in range(500):
            assert _try(balancer, (drained, *others), _request(number), 0.01) in others

    def test_weights_that_are_all_zero_are_no_outage(self, balancer: Balancer) -> None:
        """Something is still picked."""
        drained = samples.endpoints(3, weight=0)
        for number in range(50):
            assert balancer.pick(drained, _request(number)) in drained

    def test_uneven_and_large_weights(self, balancer: Balancer) -> None:
        """From 1 to a million: no time and memory in proportion to them."""
        uneven = tuple(samples.endpoint(n, weight=w) for n, w in enumerate((1, 1_000_000, 3, 999_983), 1))
        for number in range(200):
            assert balancer.pick(uneven, _request(number)) in uneven

    # --- endpoints that come and go -----------------------------------------------------------------------------

    def test_endpoints_may_change_before_every_pick(self, balancer: Balancer, runtime: SteppingRuntime) -> None:
        """Other endpoints, other weights, another order, a list or a tuple: as retries and rollouts bring them."""
        chance = random.Random(5)
        for number in range(1000):
            chosen = chance.sample(range(1, 30), chance.randint(1, 12))
            given: Sequence[Endpoint] = [samples.endpoint(n, weight=chance.randint(0, 5)) for n in chosen]
            given = tuple(given) if number % 2 else given
            assert _try(balancer, given, _request(number), chance.random(), chance.random() < 0.2) in given
            runtime.advance(chance.random())

    def test_what_has_left_is_forgotten(self, balancer: Balancer, runtime: SteppingRuntime) -> None:
        """A year of rollouts must not fill the proxy's memory."""
        for generation in range(300):
            given = samples.endpoints(10, first=1 + generation * 10)
            for number in range(12):
                _try(balancer, given, _request(number), 0.01)
            runtime.advance(60)
        held = {thing for thing in reachable(balancer, [runtime]) if isinstance(thing, Endpoint)}
        assert len(held) <= 100, f"it still holds {len(held)} endpoints, of which 10 exist"
        addresses = {thing for thing in reachable(balancer, [runtime]) if isinstance(thing, Address)}
        assert len(addresses) <= 100, f"it still holds {len(addresses)} addresses, of which 10 exist"

    # --- feedback -----------------------------------------------------------------------------------------------

    def test_feedback_may_be_about_what_has_left(self, balancer: Balancer) -> None:
        """A request ends long after its endpoint; the proxy says so all the same, and reads nothing from it."""
        before, after = samples.endpoints(5), samples.endpoints(5, first=50)
        under_way = [balancer.pick(before, _request(number)) for number in range(20)]
        for endpoint in under_way:
            balancer.started(endpoint)
        balancer.pick(after, _request(1))
        for number, endpoint in enumerate(under_way):
            balancer.finished(endpoint, float(number), number % 3 == 0)
        assert balancer.pick(after, _request(2)) in after
        assert balancer.pick(before, _request(2)) in before

    @pytest.mark.parametrize("seconds", [0.0, 1e-9, 3600.0, 1e9])
    def test_tries_of_any_length(self, balancer: Balancer, seconds: float) -> None:
        """None, and a day: both happen."""
        for number in range(100):
            assert _try(balancer, EVERYONE, _request(number), seconds, failed=number % 2 == 0) in EVERYONE

    def test_a_total_outage_is_no_reason_to_pick_nothing(self, balancer: Balancer, runtime: SteppingRuntime) -> None:
        """Everything fails for a while; then any is as good as another."""
        for number in range(500):
            _try(balancer, EVERYONE, _request(number), 0.0, failed=True)
            runtime.advance(0.01)
        assert balancer.pick(EVERYONE, _request(1)) in EVERYONE

    # --- chance and time --------------------------------------------------------------------------------------------

    def test_chance_and_time_are_the_runtimes(
        self, factory: BalancerFactory, config: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the same seed and the same times the same picks: only so can what happened be tested and explained."""
        usual = _story(factory, config)
        with monkeypatch.context() as patch:
            for name in ("time", "monotonic", "perf_counter", "monotonic_ns", "time_ns"):
                patch.setattr(time, name, iter(range(10**9, 10**15, 10**6)).__next__)
            for name in ("random", "choice", "choices", "randrange", "uniform", "shuffle"):
                patch.setattr(random, name, _own_dice)
            unusual = _story(factory, config)
        assert usual == unusual, "the picks differ: something besides runtime.now and runtime.random plays a part"

    def test_two_backends_know_nothing_of_each_other(self, factory: BalancerFactory, config: Mapping[str, Any]) -> None:
        """What one instance has seen is nothing to another."""
        alone = _story(factory, config)
        neighbour = factory(dict(config), SteppingRuntime(seed=9))
        for number in range(100):
            _try(neighbour, EVERYONE, _request(number), 5.0, failed=True)
        assert _story(factory, config) == alone


def _own_dice(*args: object, **options: object) -> Any:
    raise AssertionError("the module `random` was used; use runtime.random, which a test can seed")


def _request(number: int) -> Exchange:
    """Requests that differ in all that a balancer may look at."""
    one = samples.exchange(path=f"/{number}")
    one.headers.set("x-user", str(number))
    one.headers.set("cookie", f"session={number}")
    one.source = one.source._replace(ip=f"10.9.{number >> 8 & 255}.{number & 255}")
    return one


def _try(
    balancer: Balancer, given: Sequence[Endpoint], request: Exchange, seconds: float, failed: bool = False
) -> Endpoint:
    """A pick and its feedback, as the balance layer gives it."""
    endpoint = balancer.pick(given, request)
    balancer.started(endpoint)
    balancer.finished(endpoint, seconds, failed)
    return endpoint


def _story(factory: BalancerFactory, config: Mapping[str, Any]) -> list[str]:
    runtime = SteppingRuntime(seed=3)
    balancer, told = factory(dict(config), runtime), []
    for number in range(300):
        given = EVERYONE[number // 100 :]
        told.append(_try(balancer, given, _request(number), number % 7 / 10, failed=number % 5 == 0).pod)
        runtime.advance(0.05)
    return told


def _mesh_policy(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "tulle.dev/v1alpha1",
        "kind": "MeshPolicy",
        "metadata": {"name": "contract", "namespace": "demo"},
        "spec": {"targetRef": {"kind": "Service", "name": "app-b"}, "type": "balancer", "config": dict(config)},
    }
