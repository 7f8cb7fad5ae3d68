"""All files together: what is in force, who holds what, and the events that changes amount to."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from tulle_catalog_manifests.folder import Scan
from tulle_catalog_manifests.holdings import Holdings
from tulle_plugin_api.protocols import Deleted, Rejected, Upserted


def service(name, value=0):
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"value": value}}


def content(*objects) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}).encode()


def take(holdings, removed=(), unreadable=None, **files):
    """Files by name; `bad` is text that no one can read."""
    changed = {
        name.replace("_", "."): b"{" if objects == "bad" else content(*objects) for name, objects in files.items()
    }
    told = []
    for event in holdings.take(Scan(changed, unreadable or {}, set(removed))):
        match event:
            case Upserted(obj):
                told.append(f"+{obj['metadata']['name']}={obj['spec']['value']}")
            case Deleted(_, _, name):
                told.append(f"-{name}")
            case Rejected(source, problem):
                told.append(f"!{source}" if problem else f"ok {source}")
    return told


def test_new_changed_unchanged_and_gone():
    h = Holdings()
    assert take(h, a_json=[service("x"), service("y")]) == ["+x=0", "+y=0"]
    assert take(h, a_json=[service("x", 1), service("y")]) == ["+x=1"]
    assert take(h, a_json=[service("x", 1)]) == ["-y"]
    assert take(h, a_json=[service("x", 1)]) == []
    assert take(h, removed=["a.json"]) == ["-x"]


def test_a_file_that_cannot_be_read_is_named_and_what_it_held_stays():
    h = Holdings()
    take(h, a_json=[service("x")])
    assert take(h, a_json="bad", b_json=[service("y")]) == ["!a.json", "+y=0"]
    assert take(h, a_json="bad") == []  # said once
    assert take(h, a_json=[service("x", 1)]) == ["ok a.json", "+x=1"]


def test_a_file_that_the_system_will_not_give_is_named():
    h = Holdings()
    take(h, a_json=[service("x")])
    assert take(h, unreadable={"a.json": "cannot be read: Permission denied"}) == ["!a.json"]
    assert take(h, a_json=[service("x")]) == ["ok a.json"]


def test_a_bad_file_that_is_removed_is_no_longer_bad_and_takes_what_it_held():
    h = Holdings()
    take(h, a_json=[service("x")])
    take(h, a_json="bad")
    assert take(h, removed=["a.json"]) == ["ok a.json", "-x"]


def test_an_object_in_two_files_stays_with_the_first_and_the_second_is_named():
    h = Holdings()
    take(h, b_json=[service("x", 1)])
    (rejected, *_) = h.take(Scan({"a.json": content(service("x", 2), service("y"))}))
    assert rejected == Rejected("a.json", "Service default/x is in b.json too; an object belongs in one file, keep one")
    assert take(h, removed=["b.json"]) == ["ok a.json", "+x=2", "+y=0"]


def test_two_new_files_with_one_object_are_settled_by_name():
    assert take(Holdings(), b_json=[service("x", 2)], a_json=[service("x", 1)]) == ["!b.json", "+x=1"]


def test_an_object_that_moves_between_files_never_seems_gone():
    h = Holdings()
    take(h, a_json=[service("x"), service("y")], b_json=[service("z")])
    assert take(h, a_json=[service("y")], b_json=[service("z"), service("x")]) == []
    assert take(h, a_json=[service("z")], b_json=[service("y"), service("x")]) == []  # they swap: neither may wait


def test_one_that_lost_to_a_loser_gets_what_it_wants():
    """c is in b's way, b is in z's; z stays, so b must go back, and nothing is in c's way any more."""
    h = Holdings()
    take(h, z_json=[service("k1", 9)])
    told = take(h, b_json=[service("k1", 2), service("k2", 2)], c_json=[service("k2", 3)])
    assert told == ["!b.json", "+k2=3"]


OBJECTS = st.lists(
    st.builds(service, st.sampled_from("xyz"), st.integers(0, 2)), max_size=2, unique_by=lambda o: o["metadata"]["name"]
)
STEPS = st.lists(
    st.dictionaries(st.sampled_from(["a.json", "b.json", "c.json"]), st.none() | st.just("bad") | OBJECTS, max_size=3),
    max_size=8,
)


@settings(max_examples=300)
@given(STEPS)
def test_events_add_up_to_what_is_in_force(steps):
    """Following the events gives what the files hold; each object is held once; nothing is told twice."""
    h, there, present = Holdings(), {}, set()
    for step in steps:
        removed = {name for name, value in step.items() if value is None} & present
        changed = {name: b"{" if v == "bad" else content(*v) for name, v in step.items() if v is not None}
        present = (present - removed) | changed.keys()
        for event in h.take(Scan(changed, {}, removed)):
            match event:
                case Upserted(obj):
                    name = obj["metadata"]["name"]
                    assert there.get(name) != obj
                    there[name] = obj
                case Deleted(_, _, name):
                    del there[name]
    held = [(key.name, obj) for file in h._files.values() for key, obj in file.held.items()]
    assert len(held) == len({name for name, _ in held})
    assert dict(held) == there
    assert h._files.keys() == present


@given(STEPS)
def test_good_files_without_a_rival_are_in_force(steps):
    h, last = Holdings(), {}
    for step in steps:
        removed = {name for name, value in step.items() if value is None} & last.keys()
        changed = {name: v for name, v in step.items() if v is not None}
        last = {name: v for name, v in (last | changed).items() if name not in removed}
        h.take(Scan({n: b"{" if v == "bad" else content(*v) for n, v in changed.items()}, {}, removed))
    wanted = [o["metadata"]["name"] for v in last.values() if v != "bad" for o in v]
    for name, value in last.items():
        if value != "bad" and h._files[name].problem:
            mine = {o["metadata"]["name"] for o in value}
            others = {key.name for other, file in h._files.items() if other != name for key in file.held}
            assert mine & others, f"{name} was refused without a rival"
    del wanted
