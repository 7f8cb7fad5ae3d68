"""Who goes where, who moves when somebody leaves, and how much one endpoint gets at most."""

import subprocess
import sys
from collections import Counter

import pytest
from tulle_balancer_ring_hash import RingHash
from tulle_plugin_api import Exchange, Headers, load
from tulle_plugin_api.contract import SteppingRuntime
from tulle_plugin_api.contract.samples import endpoint, endpoints, exchange
from tulle_plugin_api.contract.simulation import request, simulate

TEN = endpoints(10)
KEYS = 10_000


def ring(**config):
    return RingHash({"bound": None, **config}, SteppingRuntime(seed=2))


def where(balancer, choice, count=KEYS):
    return [balancer.pick(choice, request(number)) for number in range(count)]


def test_it_is_installed_under_its_name():
    assert load().balancers["ring-hash"] is RingHash


@pytest.mark.parametrize("config", [{"header": "X-User"}, {"cookie": "session"}, {"source": True}], ids=str)
def test_a_key_stays_where_it_is(config):
    balancer = ring(**config)
    first = where(balancer, TEN, 200)
    assert where(balancer, TEN, 200) == first
    assert where(balancer, TEN[::-1], 200) == first, "the order of endpoints means nothing"
    assert where(ring(**config), TEN, 200) == first, "all proxies agree"
    assert len(set(first)) == 10


def test_all_processes_agree():
    # Python's hash of a string differs from process to process
    code = "from tulle_balancer_ring_hash.ring import hash_key; print(hash_key('user-1'))"
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


@pytest.mark.parametrize("gone", range(10))
def test_one_of_ten_that_leaves_moves_only_its_own_keys(gone):
    balancer = ring(header="x-user")
    before = where(balancer, TEN)
    left = tuple(one for one in TEN if one is not TEN[gone])
    after = where(balancer, left)
    moved = [old for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {TEN[gone]}
    assert len(moved) <= 1.3 * KEYS / 10
    assert after == where(ring(header="x-user"), left), "a ring without it says the same"


def test_one_that_joins_takes_its_share_and_moves_nothing_else():
    balancer, eleven = ring(header="x-user"), endpoints(11)
    moved = [new for old, new in zip(where(balancer, TEN), where(balancer, eleven), strict=True) if old != new]
    assert set(moved) == {eleven[10]}
    assert len(moved) <= 1.3 * KEYS / 11


def test_shares_are_even_within_the_rings_grain():
    counts = Counter(where(ring(header="x-user"), TEN))
    assert all(0.7 * KEYS / 10 < counts[one] < 1.3 * KEYS / 10 for one in TEN)


def test_weights():
    heavy, light = endpoint(1, weight=90), endpoint(2, weight=10)
    counts = Counter(where(ring(header="x-user", points=4096), (heavy, light)))
    assert counts[heavy] / KEYS == pytest.approx(0.9, abs=0.01)


def test_without_a_key_chance_decides():
    picked = {ring(header="x-user").pick(TEN, Exchange())} | {
        balancer.pick(TEN, Exchange()) for balancer in [ring(header="x-user")] for _ in range(200)
    }
    assert len(picked) == 10


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ([("cookie", "session=a")], "a"),
        ([("cookie", "theme=dark; session=a; x=y")], "a"),
        ([("cookie", "theme=dark"), ("cookie", "session=a")], "a"),
        ([("cookie", "session = a ")], "a"),
    ],
)
def test_the_cookie_is_found(fields, key):
    balancer = ring(cookie="session")
    wanted = balancer.pick(TEN, exchange(headers=Headers.of([("cookie", f"session={key}")])))
    assert balancer.pick(TEN, exchange(headers=Headers.of(fields))) == wanted


# --- bounded loads ------------------------------------------------------------------------------------------------


def one_hot_key(number):
    return exchange(headers=Headers.of([("x-user", "everybody's darling")]))


def test_one_hot_key_does_not_overload_its_endpoint():
    runtime = SteppingRuntime(seed=2)
    balancer = RingHash({"header": "x-user", "bound": 1.25}, runtime)
    seen = simulate(balancer, runtime, TEN, clients=80, requests=5000, make=one_hot_key)
    assert max(seen.most.values()) <= 10  # 1.25 x 80 / 10
    assert len(seen.picks) >= 8


def test_without_a_bound_it_would():
    runtime = SteppingRuntime(seed=2)
    balancer = RingHash({"header": "x-user", "bound": None}, runtime)
    seen = simulate(balancer, runtime, TEN, clients=80, requests=5000, make=one_hot_key)
    assert list(seen.most.values()) == [80]


def share_at_home(clients, **config):
    """Of requests with many keys, by so many clients at a time."""
    runtime = SteppingRuntime(seed=2)
    balancer, home = RingHash({"header": "x-user", "bound": 1.25, **config}, runtime), ring(header="x-user")
    at_home = []

    class Watched(RingHash):
        def pick(self, endpoints, exchange):
            picked = balancer.pick(endpoints, exchange)
            at_home.append(picked == home.pick(endpoints, exchange))
            return picked

        def started(self, endpoint):
            balancer.started(endpoint)

        def finished(self, endpoint, seconds, failed):
            balancer.finished(endpoint, seconds, failed)

    simulate(Watched({"source": True}, runtime), runtime, TEN, clients=clients)
    return sum(at_home) / len(at_home)


def test_under_even_load_most_keys_are_at_home():
    assert share_at_home(100) > 0.7


def test_with_few_clients_all_keys_are_at_home():
    assert share_at_home(4) == 1
    assert share_at_home(4, spare=0) < 0.95, "two keys of one home meet by chance"


def test_the_bound_is_by_weight():
    big, small = endpoint(1, weight=3), endpoint(2)
    balancer = RingHash({"header": "x-user", "bound": 1.25}, SteppingRuntime(seed=2))
    for number in range(400):
        balancer.started(balancer.pick((big, small), one_hot_key(number)))
    last = Counter()
    for _ in range(400):
        picked = balancer.pick((big, small), one_hot_key(0))
        last[picked] += 1
        balancer.finished(picked, 0.1, failed=False)
        balancer.started(balancer.pick((big, small), one_hot_key(0)))
    assert balancer._busy[small.address] <= 126
    assert balancer._busy[big.address] <= 376


def test_one_left_out_for_a_moment_does_not_make_the_ring_anew(monkeypatch):
    from tulle_balancer_ring_hash import ring as module

    balancer = ring(header="x-user")
    before = where(balancer, TEN, 100)
    monkeypatch.setattr(module, "_points", None)
    where(balancer, list(TEN[1:]), 100)
    assert where(balancer, TEN, 100) == before


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "exactly one of header, cookie and source says what is hashed, got none"),
        ({"header": "a", "source": True}, "exactly one of header, cookie and source .*, got header and source"),
        ({"header": "a b"}, r"^spec\.config\.header: 'a b' is not a field name"),
        ({"source": True, "bound": 1}, r"^spec\.config\.bound: more than 1, such as 1\.25, or null for none, got 1$"),
        ({"source": True, "spare": -1}, r"^spec\.config\.spare: 0 or more, got -1$"),
        ({"source": True, "points": 0}, r"^spec\.config\.points: 1 to 4096, got 0$"),
        ({"source": "yes"}, r"^spec\.config\.source: expected bool"),
        ({"sauce": True}, "did you mean 'source'"),
    ],
)
def test_bad_configuration(config, problem):
    with pytest.raises(ValueError, match=problem):
        RingHash(config, SteppingRuntime())
