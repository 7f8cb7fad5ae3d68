"""One file's text: what is in it, and what is wrong with it, by line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_catalog_manifests import documents
from tulle_catalog_manifests.documents import Unreadable, parse

SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app-b", "namespace": "default"}}


def names(name: str, text: str) -> list[str]:
    return [str(key) for key in parse(name, text.encode())]


def problem(name: str, text: str | bytes) -> str:
    with pytest.raises(Unreadable) as refused:
        parse(name, text if isinstance(text, bytes) else text.encode())
    return str(refused.value)


def test_json():
    assert list(parse("a.json", json.dumps(SERVICE).encode()).values()) == [SERVICE]


def test_several_documents_empty_ones_and_comments():
    text = """
# nothing yet
---
apiVersion: v1
kind: Namespace
metadata: {name: team}
---
---
apiVersion: v1
kind: Service
metadata: {name: app-b, namespace: team}
...
"""
    assert names("a.yaml", text) == ["Namespace team", "Service team/app-b"]
    assert names("a.yml", "") == []
    assert names("a.yaml", "# only a comment") == []


def test_lists_are_unfolded():
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [SERVICE, {**SERVICE, "kind": "Pod"}]})
    assert names("a.json", text) == ["Service default/app-b", "Pod default/app-b"]


def test_the_namespace_is_filled_in_for_kinds_that_have_one():
    (service,) = parse("a.yaml", b"{apiVersion: v1, kind: Service, metadata: {name: a}}").values()
    assert service["metadata"] == {"name": "a", "namespace": "default"}
    (namespace,) = parse("a.yaml", b"{apiVersion: v1, kind: Namespace, metadata: {name: a}}").values()
    assert namespace["metadata"] == {"name": "a"}


def test_timestamps_stay_text():
    text = "{apiVersion: v1, kind: Pod, metadata: {name: a, creationTimestamp: 2026-01-01T00:00:00Z}}"
    (pod,) = parse("a.yaml", text.encode()).values()
    assert pod["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"
    json.dumps(pod)


def test_anchors_and_merge_keys_work():
    text = """
apiVersion: v1
kind: Pod
metadata: {name: a, labels: &l {app: x}}
spec: {one: {<<: *l, b: y}, two: *l}
"""
    (pod,) = parse("a.yaml", text.encode()).values()
    assert pod["spec"] == {"one": {"app": "x", "b": "y"}, "two": {"app": "x"}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: [\n", "line 2, column 1: not YAML: did not find expected node content"),
        ("a: 1\nb:\n  - x\n - y\n", "line 4"),
        ("a: 1\n\tb: 2\n", "line 2"),
        ("!!python/object/apply:os.system [id]", "not YAML"),
        ("just text", "line 1: expected an object with apiVersion, kind and metadata, got 'just text'"),
        ("- 1\n", "line 1: expected an object"),
        ("\n\nkind: Service\n", "line 3: apiVersion: expected text such as 'apps/v1', got None"),
        ("apiVersion: v1\nkind: 7\n", "kind: expected text such as 'Service', got 7"),
        ("apiVersion: v1\nkind: Service\n", "Service: metadata.name: missing"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: 7}\n", "metadata.name: missing"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: [b]}\n", "metadata.namespace: expected text"),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: b}\n", "this kind has none"),
        ("apiVersion: v1\nkind: Service\nkind: Pod\n", "line 3, column 1: not YAML: the key 'kind' is there twice"),
        ("a: &a [*a]\n", "not YAML"),
    ],
)
def test_bad_yaml_is_refused_with_its_line(text, words):
    assert words in problem("a.yaml", text)


def test_the_line_of_a_bad_document_is_its_own():
    good = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"
    assert problem("a.yaml", f"{good}---\n{good}---\nkind: Pod\n").startswith(
        "line 5: Namespace a is in this file twice"
    )
    assert problem("a.yaml", f"{good}---\n# c\nkind: Pod\n").startswith("line 6: apiVersion")
    assert problem("a.yaml", f"{good}---\nkind: Pod\n").startswith("line 5: apiVersion")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1, column 1: not JSON"),
        ('{"a": 1,\n "b" 2}', "line 2, column 6: not JSON"),
        ('{"a": NaN}', "NaN is not a JSON value"),
        ("[]", "expected an object"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_bad_json_is_refused_with_its_line(text, words):
    assert words in problem("a.json", text)


def test_bytes_that_are_not_text():
    assert problem("a.yaml", b"a: 1\nb: \xff\n").startswith("line 2: byte 0xff is not UTF-8")


def test_a_file_beyond_measure(monkeypatch):
    monkeypatch.setattr(documents, "MOST_BYTES", 10)
    assert "at most 10" in problem("a.yaml", "# 11 bytes.")


def test_a_few_lines_cannot_stand_for_billions():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "more than 1000000 values, aliases followed" in problem("a.yaml", "\n".join(lines))


@given(st.binary(max_size=200), st.sampled_from(["a.yaml", "a.json"]))
def test_any_bytes_are_read_or_refused(content, name):
    words = "none"
    try:
        for key, obj in parse(name, content).items():
            assert key.name
            assert obj["kind"] == key.kind
    except Unreadable as refused:
        words = str(refused)
    assert words


@given(st.text(alphabet="{}[]:,-&*!|>'\"#% \n\tabc01", max_size=60))
def test_any_yaml_like_text_is_read_or_refused(text):
    words = "none"
    try:
        parse("a.yaml", text.encode())
    except Unreadable as refused:
        words = str(refused)
    assert words
