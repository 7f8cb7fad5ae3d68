"""RFC 6902 `add` and RFC 6901 pointers: the rules, one by one."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_admission_controller.jsonpatch import PatchBuilder, PatchError, add, apply_adds, parse_pointer, pointer

# document, path, value, what must come out (RFC 6902 section 4.1 and appendix A)
ADDS = [
    ({"foo": "bar"}, "/baz", "qux", {"foo": "bar", "baz": "qux"}),
    ({"foo": ["bar", "baz"]}, "/foo/1", "qux", {"foo": ["bar", "qux", "baz"]}),
    ({"foo": ["bar"]}, "/foo/-", ["abc", "def"], {"foo": ["bar", ["abc", "def"]]}),
    ({"foo": ["bar"]}, "/foo/1", "end", {"foo": ["bar", "end"]}),
    ({"foo": []}, "/foo/0", 1, {"foo": [1]}),
    ({"foo": "bar"}, "/foo", "replaced", {"foo": "replaced"}),
    ({"foo": "bar"}, "", {"new": 1}, {"new": 1}),
    ({"a": {"b": [{"c": 1}]}}, "/a/b/0/d", 2, {"a": {"b": [{"c": 1, "d": 2}]}}),
    ({"/": 9, "~1": 10}, "/~01", 11, {"/": 9, "~1": 11}),
    ({}, "/", "the empty key", {"": "the empty key"}),
    ({"0": {}}, "/0/x", 1, {"0": {"x": 1}}),
]


@pytest.mark.parametrize(("document", "path", "value", "result"), ADDS)
def test_add(document, path, value, result):
    before = copy.deepcopy(document)
    assert apply_adds(document, [add(path, value)]) == result
    assert document == before


@pytest.mark.parametrize(
    ("document", "operation", "reason"),
    [
        ({"foo": "bar"}, add("/baz/bat", 1), "there is no 'baz'"),
        ({"foo": [1]}, add("/foo/3", 1), "beyond"),
        ({"foo": [1]}, add("/foo/01", 1), "not an array index"),
        ({"foo": [1]}, add("/foo/-1", 1), "not an array index"),
        ({"foo": [1]}, add("/foo/\N{SUPERSCRIPT TWO}", 1), "not an array index"),
        ({"foo": [1]}, add("/foo/bar", 1), "not an array index"),
        ({"foo": [{}]}, add("/foo/-/x", 1), "not an array index"),
        ({"foo": [1]}, add("/foo/99999999999999999999", 1), "beyond"),
        ({"foo": "bar"}, add("/foo/x", 1), "has no members"),
        ({"foo": None}, add("/foo/x", 1), "has no members"),
        ({}, add("foo", 1), "starts with '/'"),
        ({}, add("/~2", 1), "'~' is followed by"),
        ({}, {"op": "replace", "path": "/a", "value": 1}, "only operations"),
        ({}, {"op": "add", "path": "/a"}, "only operations"),
    ],
)
def test_what_cannot_be_added(document, operation, reason):
    with pytest.raises(PatchError, match=reason):
        apply_adds(document, [operation])


@given(st.lists(st.text()))
def test_pointers_round_trip(tokens):
    assert parse_pointer(pointer(*tokens)) == tokens


def test_escaping():
    assert pointer("metadata", "annotations", "tulle.dev/injected") == "/metadata/annotations/tulle.dev~1injected"
    assert pointer("a~b", 0, "~1") == "/a~0b/0/~01"
    assert pointer() == ""


def test_builder_makes_missing_and_null_parents_and_leaves_members_alone():
    document = {"metadata": {"annotations": None}, "spec": {"containers": [1]}}
    patch = PatchBuilder(document)
    patch.member(("metadata", "annotations", "a/b"), "new")
    patch.member(("metadata", "annotations", "a/b"), "not again")
    patch.insert(("spec", "containers"), 0, "first")
    patch.insert(("spec", "volumes"), None, "only")
    assert patch.operations == [
        add("/metadata/annotations", {}),
        add("/metadata/annotations/a~1b", "new"),
        add("/spec/containers/0", "first"),
        add("/spec/volumes", []),
        add("/spec/volumes/-", "only"),
    ]
    assert apply_adds(document, patch.operations) == patch.document
    assert document == {"metadata": {"annotations": None}, "spec": {"containers": [1]}}
