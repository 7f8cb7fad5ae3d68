"""Precedence: independent of the order in which objects arrive, and the specification's."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tulle_control_plane.core.snapshots import Snapshots

PATHS = st.one_of(
    st.none(),
    st.builds(
        lambda kind, value: {"type": kind, "value": value},
        st.sampled_from(["Exact", "PathPrefix"]), st.sampled_from(["/", "/a", "/a/b", "/abc"]),
    ),
    st.just({"type": "RegularExpression", "value": "/a.*"}),
)  # fmt: skip
NAMED = st.lists(
    st.builds(lambda name: {"name": name, "value": "1"}, st.sampled_from(["x", "y"])),
    max_size=2, unique_by=lambda each: each["name"],
)  # fmt: skip
MATCHES = st.builds(
    lambda path, method, headers, query: {
        **({"path": path} if path else {}), **({"method": method} if method else {}),
        **({"headers": headers} if headers else {}), **({"queryParams": query} if query else {}),
    },
    PATHS, st.sampled_from([None, "GET"]), NAMED, NAMED,
)  # fmt: skip
RULES = st.lists(st.builds(lambda matches: {"matches": matches}, st.lists(MATCHES, max_size=2)), max_size=3)
CREATED = st.sampled_from([None, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"])
LABELS = st.sampled_from([{}, {"tulle.dev/from-labels": "team=beta"}])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(RULES, CREATED, LABELS), min_size=1, max_size=4), st.randoms())
def test_the_order_in_which_objects_arrive_says_nothing(world, make, routes, chance: random.Random):
    objects = [make.service("app-b", "10.96.0.7")]
    for number, (rules, created, annotations) in enumerate(routes):
        route = make.route(f"r{number}", rules=rules, created=created)
        route["metadata"]["annotations"] = annotations
        objects.append(route)
    first = world(*objects)
    chance.shuffle(objects)
    assert world(*objects).destination() == first.destination()
    rows = [(each.route, each.match) for each in first.destination().rows]
    kinds = [_kind(each.match) for each in first.destination().rows if not each.clients]
    assert kinds == sorted(kinds)
    matches = sum(max(1, len(rule.get("matches", ()))) for rules, _, _ in routes for rule in rules or [{}])
    # and one for clients that no route is for, where all are for some
    assert len(rows) == matches + all(annotations for _, _, annotations in routes)


def _kind(match):
    """What the specification puts first, as far as it can be read off one match."""
    if match.path is None:
        return 2, 0
    return {"Exact": 0, "RegularExpression": 1, "PathPrefix": 2}[match.path.kind], (
        -len(match.path.value) if match.path.kind == "PathPrefix" else 0
    )


def test_routes_for_some_clients_come_first(world, make):
    general = make.route("general", rules=[{"matches": [{"path": {"type": "Exact", "value": "/a"}}]}])
    some = make.route("some", rules=[{"backendRefs": [make.backend("app-b:80")]}])
    some["metadata"]["annotations"] = {"tulle.dev/from-labels": "team=beta,tier=web", "tulle.dev/from-namespaces": "x"}
    found = world(make.service("app-b", "10.96.0.7"), general, some).destination()
    assert [found.routes[row.route].name for row in found.rows] == ["default/some/0", "default/general/0"]
    assert found.rows[0].clients.labels == (("team", "beta"), ("tier", "web"))


def test_nothing_is_computed_for_a_destination_that_a_route_does_not_touch(world, make):
    """Unrelated destinations are not touched."""
    w = world(make.service("app-b", "10.96.0.7"), make.service("other", "10.96.0.8"))
    snapshots: Snapshots = w.snapshots
    from tulle_control_plane.core.snapshots import DestinationKey

    keys = [DestinationKey("default", f"10.96.0.{number}:80") for number in (7, 8)]
    for key in keys:
        snapshots.watch(key)
    w.tell(make.route(rules=[{"matches": [{"method": "GET"}]}]))
    assert [key for key, _ in snapshots.refresh()] == keys[:1]
