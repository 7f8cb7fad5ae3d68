"""The store: identities, versions, files that are never half written, and waiting for changes."""

import json

import lab_samples as samples
import pytest
import trio
import trio.testing
from tulle_lab.cluster import objects
from tulle_lab.cluster.events import Events
from tulle_lab.cluster.objects import Key
from tulle_lab.cluster.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cluster", clock=lambda: 100.0)


def without_uid(obj):
    del obj["metadata"]["uid"]
    return obj


def test_a_new_object_gets_an_identity_and_keeps_it(store):
    first = store.put(without_uid(samples.pod()))
    assert first["metadata"]["creationTimestamp"] == "1970-01-01T00:01:40Z"
    again = store.put(without_uid(samples.pod(labels={"a": "b"})))
    assert again["metadata"]["uid"] == first["metadata"]["uid"]
    assert int(again["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])


def test_what_is_the_same_changes_nothing(store):
    stored = store.put(samples.pod())
    version = store.version
    assert store.put(samples.pod()) is stored
    assert store.update(Key("Pod", "default", "p"), lambda obj: None) is stored
    assert store.version == version


def test_objects_are_copied_on_their_way_in(store):
    mine = samples.pod(labels={"a": "b"})
    store.put(mine)
    mine["metadata"]["labels"]["a"] = "changed"
    before = store.get("Pod", "default", "p")
    store.update(Key("Pod", "default", "p"), lambda obj: obj["metadata"]["labels"].update(a="new"))
    assert before["metadata"]["labels"] == {"a": "b"}


def test_files(store, tmp_path):
    store.put(samples.pod("a"))
    store.put({**samples.namespace("shop")})
    files = {str(path.relative_to(tmp_path)): json.loads(path.read_text()) for path in tmp_path.rglob("*.json")}
    assert set(files) == {"cluster/default/pod.a.json", "cluster/shop/namespace.shop.json"}
    assert files["cluster/default/pod.a.json"] == store.get("Pod", "default", "a")
    assert store.delete(Key("Pod", "default", "a"))
    assert not store.delete(Key("Pod", "default", "a"))
    assert not (tmp_path / "cluster/default").exists()


def test_a_reader_of_the_folder_never_sees_half_a_file(store, tmp_path, monkeypatch):
    """The file appears under its name by a rename only."""
    from pathlib import Path

    seen = []
    rename = Path.rename

    def spy(path, target):
        seen.append((path.name, json.loads(path.read_text())["metadata"]["name"], target.name))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", spy)
    store.put(samples.pod("a"))
    assert seen == [(".pod.a.json.tmp", "a", "pod.a.json")]


def test_listing(store):
    for name, space, labels in (("a", "x", {"app": "1"}), ("b", "x", {"app": "2"}), ("c", "y", {"app": "1"})):
        store.put(samples.pod(name, space, labels))
    names = lambda **how: [obj["metadata"]["name"] for obj in store.list("Pod", **how)]  # noqa: E731
    assert names() == ["a", "b", "c"]
    assert names(namespace="x") == ["a", "b"]
    assert names(selector={"matchLabels": {"app": "1"}}) == ["a", "c"]
    assert store.list("Service") == []


def test_waiting_for_a_change(store):
    async def main():
        seen = []

        async def watch():
            version = 0
            while version < 2:
                version = await store.wait_change(version)
                seen.append(version)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await trio.testing.wait_all_tasks_blocked()
            assert seen == []
            store.put(samples.pod("a"))
            await trio.testing.wait_all_tasks_blocked()
            store.put(samples.pod("a"))
            await trio.testing.wait_all_tasks_blocked()
            assert seen == [1], "the same again is no change"
            store.put(samples.pod("b"))
        assert seen == [1, 2]
        assert await store.wait_change(0) == 2, "what was missed is told at once"

    trio.run(main)


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        (None, {"a": "b"}, False),
        ({}, {}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "c"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}, {"a": "c"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]}, {"a": "b"}, False),
    ],
)
def test_selectors(selector, labels, expected):
    assert objects.selects(selector, labels) is expected


def test_times_survive_the_way_there_and_back():
    assert objects.seconds(objects.timestamp(1_700_000_000.9)) == 1_700_000_000


def test_the_same_event_only_counts_up():
    now = iter(range(100, 200))
    events = Events(clock=lambda: next(now))
    pod = samples.pod()
    for _ in range(3):
        events.warning(pod, "BackOff", "again")
    events.normal(pod, "Started", "c")
    events.normal(samples.pod("other"), "Started", "c")
    first, *rest = events.list("default")
    assert (first["count"], first["firstTimestamp"][-3:], first["lastTimestamp"][-3:]) == (3, "40Z", "42Z")
    assert len(rest) == 2
    assert len(events.list(about=objects.key_of(pod))) == 2
    assert events.list("elsewhere") == []
