"""The incremental core: what changes is told, what does not change costs nothing, order does not matter."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tulle_control_plane.core.snapshots import DestinationKey, InboundKey, Snapshots
from tulle_plugin_api.protocols import Deleted, Rejected, Synced, Upserted

KEY = DestinationKey("default", "10.96.0.7:80")


@pytest.fixture
def shop(world, make):
    return world(
        make.namespace("default"),
        make.service(),
        make.slice(endpoints=[make.endpoint("10.244.0.1", "p1")]),
        make.pod("p1", "10.244.0.1"),
        make.service("other", "10.96.0.9"),
        make.slice("other", [make.endpoint("10.244.9.9", "q1")]),
        make.pod("q1", "10.244.9.9"),
    )


def changed(w) -> set:
    return {key for key, _ in w.snapshots.refresh()}


def test_a_change_reaches_those_whom_it_concerns_and_nobody_else(shop, make):
    other = DestinationKey("default", "10.96.0.9:80")
    mine, theirs = InboundKey("default", "p1"), InboundKey("default", "q1")
    for key in (KEY, other, mine, theirs):
        shop.snapshots.watch(key)
    shop.tell(make.slice(endpoints=[make.endpoint("10.244.0.1", "p1"), make.endpoint("10.244.0.2", "p2")]))
    assert set(shop.snapshots._dirty) == {KEY, mine}  # the others are not even computed
    assert changed(shop) == {KEY}


def test_what_makes_no_difference_is_not_computed(shop, make):
    shop.snapshots.watch(KEY)
    shop.tell(make.service(), make.slice(endpoints=[make.endpoint("10.244.0.1", "p1")]))  # the same again
    again = make.service()
    again["status"] = {"loadBalancer": {}}
    again["metadata"]["resourceVersion"] = "17"
    again["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    shop.tell(again)
    assert not shop.snapshots.dirty


def test_equal_states_have_equal_versions(shop, make):
    first = shop.snapshots.watch(KEY)
    shop.tell(make.slice(endpoints=[]))
    (empty,) = shop.snapshots.refresh()
    assert empty[1].version != first.version
    shop.tell(make.slice(endpoints=[make.endpoint("10.244.0.1", "p1")]))
    (back,) = shop.snapshots.refresh()
    assert back[1] == first


def test_there_and_back_between_two_refreshes_is_no_change(shop, make):
    shop.snapshots.watch(KEY)
    shop.tell(make.slice(endpoints=[]), make.slice(endpoints=[make.endpoint("10.244.0.1", "p1")]))
    assert changed(shop) == set()


EVENTS = {
    "its Service": lambda w, m: w.tell(m.service(ports=[{"port": 80, "appProtocol": "http"}])),
    "its Service goes": lambda w, m: w.delete("Service", "app-b"),
    "its address moves": lambda w, m: w.tell(m.service(ip="10.96.0.8")),
    "a slice more": lambda w, m: w.tell(m.slice(name="more", endpoints=[m.endpoint("10.244.0.2")])),
    "its slice goes": lambda w, m: w.delete("EndpointSlice", "app-b-1"),
    "its slice turns to another Service": lambda w, m: w.tell(m.slice("other", name="app-b-1")),
    "its pod's labels": lambda w, m: w.tell(m.pod("p1", "10.244.0.1", labels={"version": "v2"})),
    "its pod is meshed": lambda w, m: w.tell(m.pod("p1", "10.244.0.1", meshed=True)),
    "its pod goes": lambda w, m: w.delete("Pod", "p1"),
    "its Namespace": lambda w, m: w.tell(m.namespace("default", **{"tulle.dev/opaque-ports": "80"})),
    "a route": lambda w, m: w.tell(m.route(backends={"other:80": 1})),
    "a policy on it": lambda w, m: w.tell(m.policy("t", "Service", "app-b")),
    "a policy on its Namespace": lambda w, m: w.tell(m.policy("t", "Namespace", "default")),
    "a policy on the Mesh": lambda w, m: w.tell(m.policy("t", "Mesh", ns="tulle-system")),
    "a balancer": lambda w, m: w.tell(
        m.policy("t", "Mesh", type="balancer", config={"name": "random"}, ns="tulle-system")
    ),
}


@pytest.mark.parametrize("event", EVENTS)
def test_every_kind_of_event_that_matters_is_noticed(shop, make, event):
    shop.snapshots.watch(KEY)
    EVENTS[event](shop, make)
    assert changed(shop) == {KEY}


def test_what_a_result_depends_on_changes_with_it(shop, make):
    shop.snapshots.watch(KEY)
    shop.tell(make.slice("other", [make.endpoint("10.244.9.8")]))
    assert not shop.snapshots.dirty
    shop.tell(make.route(backends={"other:80": 1}))
    changed(shop)
    shop.tell(make.slice("other", [make.endpoint("10.244.9.9")]))
    assert changed(shop) == {KEY}  # now it does
    shop.delete("HTTPRoute", "app-b")
    changed(shop)
    shop.tell(make.slice("other", []))
    assert not shop.snapshots.dirty  # and now no more


def test_an_unknown_destination_becomes_known(shop, make):
    late = DestinationKey("default", "10.96.5.5:80")
    assert not shop.snapshots.watch(late).result.known
    shop.tell(make.service("late", "10.96.5.5", ports=[81]))
    assert changed(shop) == set()
    shop.tell(make.service("late", "10.96.5.5", ports=[80]))
    assert changed(shop) == {late}


def test_nothing_is_kept_of_what_nobody_watches(shop, make):
    for key in (KEY, KEY, InboundKey("default", "p1")):
        shop.snapshots.watch(key)
    shop.tell(make.slice(endpoints=[]))
    for key in (KEY, InboundKey("default", "p1"), KEY):
        shop.snapshots.release(key)
    assert not shop.snapshots.dirty
    assert not shop.snapshots._watched
    assert not shop.snapshots._by_topic
    with pytest.raises(KeyError):
        shop.snapshots.release(KEY)


def test_nothing_is_kept_of_what_is_gone(world, make):
    w = world()
    forms = universe(make)
    for options in forms.values():
        for obj in options:
            w.tell(obj)
    for kind, namespace, name in forms:
        w.delete(kind, name, namespace)
    kept = {name: index for name, index in vars(w.snapshots.store).items() if index and name != "_objects"}
    assert kept == {}
    assert w.snapshots.store.counts() == {}
    assert w.rejected == {}


def test_refresh_in_pieces(shop, make):
    keys = [DestinationKey(f"ns-{i}", "10.96.0.7:80") for i in range(5)]
    for key in keys:
        shop.snapshots.watch(key)
    shop.tell(make.slice(endpoints=[]))
    told = []
    while shop.snapshots.dirty:
        piece = shop.snapshots.refresh(2)
        assert len(piece) <= 2
        told += [key for key, _ in piece]
    assert sorted(told) == keys


def test_rejections_of_sources_come_and_go():
    snapshots = Snapshots()
    snapshots.apply(Rejected("app.yaml", "line 3: not YAML"))
    assert snapshots.rejected == {"app.yaml": "line 3: not YAML"}
    snapshots.apply(Rejected("app.yaml", ""))
    assert snapshots.rejected == {}


def test_a_refused_object_that_is_deleted_is_no_longer_refused(shop, make):
    shop.tell(make.route(rules=[{"filters": [{}]}]))
    assert "HTTPRoute default/app-b" in shop.rejected
    shop.delete("HTTPRoute", "app-b")
    assert shop.rejected == {}


# --- whatever happens, in whatever order ------------------------------------------------------------------


def universe(make):
    """Every object that the examples below are made of: for each key, the forms that it may take."""
    e = make.endpoint
    return {
        ("Namespace", "", "default"): [
            make.namespace("default"),
            make.namespace("default", **{"tulle.dev/opaque-ports": "80"}),
        ],
        ("Service", "default", "app-b"): [
            make.service(),
            make.service(ports=[80, 81]),
            make.service(ip=("10.96.0.7", "fd00::7")),
            make.service(ip=()),
        ],
        ("Service", "default", "app-b2"): [make.service("app-b2", "10.96.0.8"), make.service("app-b2", "10.96.0.7")],
        ("Service", "team", "app-c"): [make.service("app-c", "10.96.0.9", ns="team")],
        ("EndpointSlice", "default", "s1"): [
            make.slice("app-b", [e("10.244.0.1", "p1")], name="s1"),
            make.slice("app-b", [e("10.244.0.1", "p1"), e("10.244.0.2", "p2", ready=False)], name="s1"),
            make.slice("app-b2", [e("10.244.0.2", "p2")], name="s1"),
        ],
        ("EndpointSlice", "default", "s2"): [
            make.slice("app-b", [e("10.244.0.2", "p2"), e("10.244.0.3", "p3")], name="s2", ports=[9090]),
            make.slice("app-b2", [e("10.244.0.3", "p3")], name="s2"),
        ],
        ("Pod", "default", "p1"): [
            make.pod("p1", "10.244.0.1"),
            make.pod("p1", "10.244.0.1", meshed=True, ports=[8080]),
        ],
        ("Pod", "default", "p2"): [
            make.pod("p2", "10.244.0.2", labels={"version": "v2"}, annotations={"tulle.dev/skip-inbound-ports": "8080"})
        ],
        ("HTTPRoute", "default", "r1"): [
            make.route("r1", backends={"app-b:80": 9, "app-b2:80": 1}),
            make.route("r1", backends={"team/app-c:80": 1}, created="2026-01-01T00:00:00Z"),
            make.route("r1", rules=[{"filters": [{}]}]),  # refused
        ],
        ("HTTPRoute", "default", "r2"): [
            make.route("r2", port=81),
            make.route("r2", parent="app-b2", backends={"nobody:1": 1}),
        ],
        ("HTTPRoute", "team", "r3"): [make.route("r3", ns="team", parent_ns="default", backends={"app-c:80": 1})],
        ("ReferenceGrant", "team", "grant"): [make.grant("team", of="default"), make.grant("team", of="else")],
        ("MeshPolicy", "default", "m1"): [
            make.policy("m1", "Service", "app-b"),
            make.policy("m1", "HTTPRoute", "r1"),
            make.policy("m1", "Namespace", "default", type="fault"),
            make.policy("m1", "Mesh"),  # the last: refused
        ],
        ("MeshPolicy", "tulle-system", "m2"): [
            make.policy("m2", "Mesh", ns="tulle-system"),
            make.policy("m2", "Mesh", ns="tulle-system", type="balancer", config={"name": "random"}),
        ],
    }


WATCHED = [
    DestinationKey("default", "10.96.0.7:80"),
    DestinationKey("team", "10.96.0.7:80"),
    DestinationKey("default", "10.96.0.7:81"),
    DestinationKey("default", "10.96.0.8:80"),
    DestinationKey("default", "[fd00::7]:80"),
    InboundKey("default", "p1"),
    InboundKey("default", "p2"),
]


def results(snapshots):
    found = {}
    for key in WATCHED:
        found[key] = snapshots.watch(key)
        snapshots.release(key)
    return found


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_incremental_equals_computed_afresh(world, make, data):
    """After any events, with refreshes in between, each watched result is what a new core would compute."""
    forms = universe(make)
    w = world()
    held = {key: w.snapshots.watch(key) for key in WATCHED}
    keys = st.sampled_from(sorted(forms))
    state: dict = {}
    for _ in range(data.draw(st.integers(1, 25), label="events")):
        key = data.draw(keys)
        if data.draw(st.booleans(), label="keep"):
            obj = data.draw(st.sampled_from(forms[key]))
            before = dict(w.rejected)
            w.tell(obj)
            source = next((s for s in w.rejected if s not in before or w.rejected[s] != before.get(s)), None)
            if source is None and f"{key[0]} {key[1]}/{key[2]}" not in w.rejected:
                state[key] = obj
        else:
            w.delete(key[0], key[2], key[1])
            state.pop(key, None)
        if data.draw(st.booleans(), label="refresh"):
            held |= dict(w.snapshots.refresh())
    held |= dict(w.snapshots.refresh())
    order = list(state.values())
    random.Random(data.draw(st.integers(0, 9))).shuffle(order)
    assert held == results(world(*order).snapshots)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_order_of_events_does_not_matter(world, make, data):
    forms = universe(make)
    chosen = [
        data.draw(st.sampled_from(options)) for options in forms.values() if data.draw(st.integers(0, 3), label="there")
    ]
    shuffled = data.draw(st.permutations(chosen))
    assert results(world(*chosen).snapshots) == results(world(*shuffled).snapshots)


def test_synced_is_a_state_of_its_own():
    snapshots = Snapshots()
    assert not snapshots.synced
    snapshots.apply(Synced())
    assert snapshots.synced


def test_events_for_what_does_not_exist_change_nothing():
    snapshots = Snapshots()
    snapshots.apply(Deleted("Service", "default", "nobody"))
    snapshots.apply(Deleted("Nonsense", "", "x"))
    snapshots.apply(Upserted({}))
    assert snapshots.store.counts() == {}
