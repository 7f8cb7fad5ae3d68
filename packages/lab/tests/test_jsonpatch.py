"""JSON Patch: the examples of RFC 6902 appendix A, and that a bad patch changes nothing."""

import copy

import pytest
from tulle_lab.cluster.jsonpatch import BadPatch, apply


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
        ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc"]}], {"foo": ["bar", ["abc"]]}),
        ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
        ({"a": [1, 2]}, [{"op": "replace", "path": "/a/0", "value": 9}], {"a": [9, 2]}),
        ({"a": {"b": 1}, "c": {}}, [{"op": "move", "from": "/a/b", "path": "/c/d"}], {"a": {}, "c": {"d": 1}}),
        ({"a": [1, 2, 3]}, [{"op": "move", "from": "/a/0", "path": "/a/2"}], {"a": [2, 3, 1]}),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": 2}], 2),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
        (
            {"m": {}},
            [{"op": "add", "path": "/m/tulle.dev~1injected", "value": "1"}],
            {"m": {"tulle.dev/injected": "1"}},
        ),
        (
            {"a": None},
            [{"op": "add", "path": "/a", "value": []}, {"op": "add", "path": "/a/0", "value": 1}],
            {"a": [1]},
        ),
    ],
)
def test_applied(document, patch, expected):
    before = copy.deepcopy(document)
    assert apply(document, patch) == expected
    assert document == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "add", "path": "/none/a", "value": 1},
        {"op": "add", "path": "/list/3", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "add", "path": "/list/-1", "value": 1},
        {"op": "remove", "path": "/list/-"},
        {"op": "test", "path": "/list", "value": []},
        {"op": "remove", "path": ""},
        {"op": "add", "path": "no-slash", "value": 1},
        {"op": "frobnicate", "path": "/list"},
        {"op": "add", "path": "/list/0"},
        {"path": "/list"},
        "not a mapping",
    ],
)
def test_refused_and_named(operation):
    document = {"list": [1, 2]}
    with pytest.raises(BadPatch, match="operation 1"):
        apply(document, [{"op": "add", "path": "/x", "value": 1}, operation])
    assert document == {"list": [1, 2]}


def test_values_are_not_shared_with_the_patch():
    value = {"a": 1}
    patched = apply({}, [{"op": "add", "path": "/x", "value": value}])
    patched["x"]["a"] = 2
    assert value == {"a": 1}
