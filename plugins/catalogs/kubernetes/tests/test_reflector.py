"""Lists and watch events to changes: transcripts, and one property for all histories."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tulle_catalog_kubernetes.reflector import Gone, NotAnObject, Reflector, WatchFailed
from tulle_catalog_kubernetes.resources import RESOURCES
from tulle_plugin_api.protocols import Deleted, Upserted

BY_KIND = {each.kind: each for each in RESOURCES}


def service(name, version, port=80, uid=None):
    metadata = {"name": name, "namespace": "demo", "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"ports": [{"port": port}]}}


def said(events):
    """Events in short: "+name:port", "-name"."""
    short = []
    for event in events:
        if isinstance(event, Upserted):
            short.append(f"+{event.object['metadata']['name']}:{event.object['spec']['ports'][0]['port']}")
        else:
            assert isinstance(event, Deleted)
            assert (event.kind, event.namespace) == ("Service", "demo")
            short.append(f"-{event.name}")
    return short


@pytest.fixture
def reflector():
    return Reflector(BY_KIND["Service"])


def test_the_first_list_tells_everything_with_kind_and_version(reflector):
    events = reflector.listed([service("a", 1), service("b", 2)], "7")
    assert said(events) == ["+a:80", "+b:80"]
    assert events[0].object["kind"] == "Service"
    assert events[0].object["apiVersion"] == "v1"
    assert reflector.version == "7"


# what is watched after a list of a (version 1) and b (2) at version 10; what must be told, and the version after it
TRANSCRIPTS = {
    "news": (
        [("ADDED", service("c", 11)), ("MODIFIED", service("a", 12, 81)), ("DELETED", service("b", 13))],
        ["+c:80", "+a:81", "-b"], "13",
    ),
    "a change of what we do not keep is no change": ([("MODIFIED", service("a", 11))], [], "11"),
    "duplicates": (
        [("ADDED", service("c", 11)), ("ADDED", service("c", 11)), ("DELETED", service("b", 12)),
         ("DELETED", service("b", 12))],
        ["+c:80", "-b"], "12",
    ),
    "reordered: the older one is no news": (
        [("MODIFIED", service("a", 12, 82)), ("MODIFIED", service("a", 11, 81))], ["+a:82"], "12",
    ),
    "reordered: the deletion of another of that name": (
        [("ADDED", service("b", 12, 90, uid="new")), ("DELETED", service("b", 11))], ["+b:90"], "12",
    ),
    "made anew under the same name": (
        [("DELETED", service("a", 11)), ("ADDED", service("a", 12, 90, uid="new"))], ["-a", "+a:90"], "12",
    ),
    "the deletion of what is not known": ([("DELETED", service("z", 11))], [], "11"),
    "a bookmark": ([("BOOKMARK", {"metadata": {"resourceVersion": "42"}})], [], "42"),
    "a type that is not known": ([("SHINY", {"metadata": {"resourceVersion": "43"}})], [], "43"),
    "versions that are no numbers are taken as they come": (
        [("MODIFIED", service("a", "x9", 81)), ("MODIFIED", service("a", "x1", 82))], ["+a:81", "+a:82"], "x1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_transcript(reflector, name):
    events, expected, version = TRANSCRIPTS[name]
    reflector.listed([service("a", 1), service("b", 2)], "10")
    told = [news for kind, obj in copy.deepcopy(events) for news in reflector.watched({"type": kind, "object": obj})]
    assert said(told) == expected
    assert reflector.version == version


def test_410_asks_for_a_list_and_the_list_tells_only_what_differs(reflector):
    reflector.listed([service("a", 1), service("b", 2), service("c", 3)], "10")
    with pytest.raises(Gone, match="too old"):
        reflector.watched({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}})
    assert reflector.version == ""
    assert said(reflector.listed([service("b", 2), service("c", 9, 81), service("d", 8)], "20")) == [
        "-a", "+c:81", "+d:80",
    ]  # fmt: skip
    assert said(reflector.listed([service("b", 2), service("c", 9, 81), service("d", 8)], "21")) == []


def test_a_list_is_the_truth_also_where_its_versions_are_older(reflector):
    reflector.listed([service("a", 50, 81)], "60")  # then etcd is restored from a backup
    assert said(reflector.listed([service("a", 5, 80)], "6")) == ["+a:80"]
    assert said(reflector.watched({"type": "MODIFIED", "object": service("a", 7, 82)})) == ["+a:82"]


def test_another_error_is_no_reason_to_forget(reflector):
    reflector.listed([service("a", 1)], "10")
    with pytest.raises(WatchFailed, match="etcd is away") as caught:
        reflector.watched({"type": "ERROR", "object": {"code": 500, "message": "etcd is away"}})
    assert caught.value.status == 500
    assert reflector.version == "10"


@pytest.mark.parametrize("broken", [{}, {"metadata": None}, {"metadata": {"name": "x"}}, {"metadata": {"uid": "u"}}])
def test_a_broken_list_changes_nothing(reflector, broken):
    reflector.listed([service("a", 1)], "10")
    with pytest.raises(NotAnObject):
        reflector.listed([service("b", 2), broken], "20")
    assert (reflector.version, len(reflector)) == ("10", 1)
    assert said(reflector.listed([service("a", 1)], "30")) == []


def test_a_kind_that_is_gone_takes_its_objects_with_it(reflector):
    reflector.listed([service("a", 1), service("b", 2)], "10")
    assert said(reflector.absent()) == ["-a", "-b"]
    assert reflector.version == ""
    assert reflector.absent() == []


NAMES = st.sampled_from("abc")
STEP = st.one_of(
    st.tuples(st.just("put"), NAMES, st.integers(1, 3)),
    st.tuples(st.just("delete"), NAMES, st.just(0)),
    st.tuples(st.just("list"), st.just(""), st.just(0)),
    st.tuples(st.just("gone"), st.just(""), st.just(0)),
)


@settings(max_examples=300)
@given(st.lists(st.tuples(STEP, st.sampled_from(["once", "twice", "again"])), max_size=30), st.randoms())
def test_whatever_happens_the_one_who_listens_knows_what_exists(steps, chance):
    """Events told once, twice, or once more much later; 410 with history lost; lists in between."""
    reflector, truth, view, version, past = Reflector(BY_KIND["Service"]), {}, {}, 1, []

    def take(events):
        for event in events:
            if isinstance(event, Upserted):
                view[event.object["metadata"]["name"]] = event.object["spec"]["ports"][0]["port"]
            else:
                del view[event.name]  # a deletion of what was never told is an error

    def read():
        take(reflector.listed([copy.deepcopy(truth[name]) for name in sorted(truth)], str(version)))

    read()
    for (what, name, port), delivery in steps:
        version += 1
        if what == "list":
            read()
            past.clear()
            continue
        if what == "gone":
            for each in list(truth):  # what nobody was told of
                if chance.random() < 0.5:
                    del truth[each]
            with pytest.raises(Gone):
                reflector.watched({"type": "ERROR", "object": {"code": 410, "message": "old"}})
            read()
            past.clear()
            continue
        if what == "put":
            uid = truth[name]["metadata"]["uid"] if name in truth else f"uid-{version}"
            event = {"type": "MODIFIED" if name in truth else "ADDED", "object": service(name, version, port, uid)}
            truth[name] = event["object"]
        else:
            if name not in truth:
                continue
            gone = truth.pop(name)
            event = {"type": "DELETED", "object": service(name, version, 1, gone["metadata"]["uid"])}
        take(reflector.watched(copy.deepcopy(event)))
        if delivery == "twice":
            take(reflector.watched(copy.deepcopy(event)))
        past = [each for each in past if each["object"]["metadata"]["name"] in truth]
        if delivery == "again" and past and name in truth:
            # an old event of an object that still exists, of the same uid
            old = chance.choice(past)
            known = truth[old["object"]["metadata"]["name"]]["metadata"]["uid"]
            if old["object"]["metadata"]["uid"] == known and old["type"] != "DELETED":
                take(reflector.watched(copy.deepcopy(old)))
        past.append(event)
        assert view == {each: truth[each]["spec"]["ports"][0]["port"] for each in truth}
        assert reflector.version == str(version)
