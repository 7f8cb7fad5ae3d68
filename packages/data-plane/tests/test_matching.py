"""Matching: the compiled table equals the specification as it reads, for random tables and requests; and explaining."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tulle_api.v1 import discovery_pb2 as pb
from tulle_data_plane.logic.explaining import explain, wanted
from tulle_data_plane.logic.locations import location, path_editor
from tulle_data_plane.logic.matching import NONE, Matcher, first
from tulle_data_plane.logic.table import From, Kind, Row, Source, Value, parameters_of, rows_of
from tulle_plugin_api import Headers
from tulle_plugin_api.patterns import PatternError

EXAMPLES = int(os.environ.get("TULLE_EXAMPLES", "300"))
"""20,000 in `make acceptance`."""


@dataclass
class Asked:
    """A request, as far as matching looks."""

    method: str = "GET"
    path: str = "/"
    headers: Headers = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.headers = self.headers or Headers()


# --- random tables and requests: few words, so that they meet --------------------------------------------------------

SEGMENTS = ["a", "b", "ab", "A", "a.b", "%2F", "a-b"]
PATHS = st.lists(st.sampled_from(SEGMENTS), max_size=3).map(lambda parts: "/" + "/".join(parts))
REGEXES = st.sampled_from(["/a.*", "/[ab]+", ".*b", "/(a|b)/.*", "/", "x"])
NAMES = st.sampled_from(["x-a", "x-b", "x-c"])
WORDS = st.sampled_from(["1", "2", "one", "1, 2", "a b"])

ROW_PATHS = st.one_of(
    st.none(),
    st.builds(Value, st.just(Kind.EXACT), PATHS),
    st.builds(Value, st.just(Kind.PREFIX), PATHS.filter(lambda path: path != "/")),
    st.builds(Value, st.just(Kind.REGEX), REGEXES),
)
NAMED = st.builds(
    lambda name, kind, word: Value(kind, word if kind is Kind.EXACT else f".*{word[0]}", name),
    NAMES, st.sampled_from([Kind.EXACT, Kind.EXACT, Kind.REGEX]), WORDS,
)  # fmt: skip
SOURCES = st.one_of(
    st.none(), st.none(), st.builds(From, st.sampled_from([(), (("team", "beta"),), (("team", "x"),)]),
                                    st.sampled_from([(), ("web",), ("ops", "web")]),
                                    st.sampled_from([(), ("web/a",), ("web/b",)])),
)  # fmt: skip
ROWS = st.builds(
    Row,
    route=st.just(0),
    path=ROW_PATHS,
    method=st.sampled_from(["", "", "GET", "POST"]),
    headers=st.lists(NAMED, max_size=2, unique_by=lambda value: value.name).map(tuple),
    query=st.lists(NAMED, max_size=2, unique_by=lambda value: value.name).map(tuple),
    source=SOURCES,
)
QUERIES = st.lists(st.tuples(NAMES, WORDS), max_size=3).map(
    lambda pairs: "&".join(f"{name}={word.replace(' ', '+')}" for name, word in pairs)
)
REQUESTS = st.builds(
    lambda method, path, slash, query, fields: Asked(
        method, path + slash + (f"?{query}" if query else ""), Headers.of(fields)
    ),
    st.sampled_from(["GET", "POST", "PUT"]), PATHS, st.sampled_from(["", "", "/", "//"]), QUERIES,
    st.lists(st.tuples(NAMES.map(str.upper), WORDS), max_size=3),
)  # fmt: skip
ME = Source("web", "web/a", {"team": "beta"})


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROWS, max_size=40), st.lists(REQUESTS, min_size=1, max_size=8))
def test_what_is_looked_up_is_what_the_specification_says(rows: list[Row], requests: list[Asked]) -> None:
    matcher = Matcher(rows, ME)
    for request in requests:
        number = matcher.find(request)
        assert number == first(rows, request, ME)
        told = explain(rows, request, ME)
        assert [each.number for each in told if each.chosen] == ([] if number == NONE else [number])
        assert all(each.fits == (not each.missed) for each in told)
        if matcher.unconditional:
            assert number == 0


# --- the rules, one by one ------------------------------------------------------------------------------------------


def table(*rows: Row) -> Callable[..., int | None]:
    """A function from a request's parts to the number of its row; None for none."""
    matcher = Matcher(rows, ME)

    def ask(path: str = "/", method: str = "GET", **fields: str) -> int | None:
        headers = Headers.of([(name.replace("_", "-"), value) for name, value in fields.items()])
        number = matcher.find(Asked(method, path, headers))
        return None if number == NONE else number

    return ask


def prefix(path: str) -> Value:
    return Value(Kind.PREFIX, path)


def test_a_prefix_is_of_whole_segments() -> None:
    """HTTPPathMatch: "/abc", "/abc/" and "/abc/def" match the prefix "/abc", "/abcd" does not."""
    ask = table(Row(0, prefix("/abc")))
    assert [ask(path) for path in ("/abc", "/abc/", "/abc/def", "/abc?x=1")] == [0] * 4
    assert [ask(path) for path in ("/abcd", "/ab", "/", "/ABC", "//abc", "*", "")] == [None] * 7


def test_the_lowest_row_decides_wherever_it_is_found() -> None:
    ask = table(
        Row(0, Value(Kind.EXACT, "/a/b")), Row(1, Value(Kind.REGEX, "/a/[0-9]+")),
        Row(2, prefix("/a/b")), Row(3, prefix("/a")), Row(4),
    )  # fmt: skip
    assert [ask(path) for path in ("/a/b", "/a/7", "/a/b/c", "/a/x", "/x", "*")] == [0, 1, 2, 3, 4, 4]


def test_repeated_fields_are_a_list_and_of_repeated_parameters_the_first_counts() -> None:
    rows = [Row(0, headers=(Value(Kind.EXACT, "1, 2", "x"),)), Row(1, query=(Value(Kind.EXACT, "1", "q"),))]
    matcher = Matcher(rows, ME)
    assert matcher.find(Asked(headers=Headers.of([("X", "1"), ("x", "2")]))) == 0
    assert matcher.find(Asked(path="/?q=1&q=2")) == 1
    assert matcher.find(Asked(path="/?q=2&q=1")) == NONE
    assert matcher.find(Asked(path="/?%71=%31")) == 1
    assert parameters_of(Asked(path="/?a+b=c%20d&e")) == {"a b": "c d", "e": ""}


def test_a_label_that_changes_is_seen_without_another_table() -> None:
    source = Source("web", "web/a", {})
    matcher = Matcher([Row(0, source=From((("team", "beta"),))), Row(1)], source)
    assert matcher.find(Asked()) == 1
    source.labels = {"team": "beta"}
    assert matcher.find(Asked()) == 0


@pytest.mark.parametrize("by", ["path", "prefix", "header", "query"])
def test_a_thousand_rows_are_looked_up_and_not_asked(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in what is looked at: the same few look-ups, whether 10 rows or 1,000 are there."""
    from tulle_data_plane.logic import matching

    def rows(count: int) -> list[Row]:
        make: dict[str, Callable[[int], Row]] = {
            "path": lambda n: Row(n, Value(Kind.EXACT, f"/{n}")),
            "prefix": lambda n: Row(n, prefix(f"/{n}")),
            "header": lambda n: Row(n, headers=(Value(Kind.EXACT, str(n), "x"),)),
            "query": lambda n: Row(n, query=(Value(Kind.EXACT, str(n), "q"),)),
        }
        return [make[by](number) for number in range(count)]

    looked: list[object] = []
    find = matching._List.find

    def counting(self: matching._List, request: Asked, parameters: dict[str, str], best: int) -> int:
        looked.append(self)
        return find(self, request, parameters, best)

    monkeypatch.setattr(matching._List, "find", counting)
    for count in (10, 1000):
        looked.clear()
        matcher = Matcher(rows(count), ME)
        path = "/9/x" if by == "prefix" else "/9?q=9"
        assert matcher.find(Asked(path=path, headers=Headers.of([("x", "9")]))) == 9
        assert len(looked) == 1


def test_what_a_row_wants_and_what_was_missed_is_told() -> None:
    row = Row(
        0, prefix("/cart"), "POST", (Value(Kind.EXACT, "7", "x-user"),), (Value(Kind.REGEX, "v.*", "v"),),
        From((("team", "beta"),), ("shop",)),
    )  # fmt: skip
    assert wanted(row) == (
        "path begins with /cart, method is POST, header x-user is 7, query v matches v.*, "
        "client in namespace shop, client has label team=beta"
    )
    assert wanted(Row(0)) == "everything"
    (told,) = explain([row], Asked("GET", "/card?v=x"), ME)
    assert told.missed == (
        "path is /card", "method is GET", "header x-user is missing", "query v is x",
        "the client is not such: client in namespace shop",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("match", "error", "words"),
    [
        (pb.RouteMatch(path=pb.PathMatch(type=9, value="/")), ValueError, "match type 9"),
        (pb.RouteMatch(path=pb.PathMatch(type=3, value="(")), PatternError, 'without ")"'),
        (pb.RouteMatch(headers=[pb.ValueMatch(name="x", type=2, value="y")]), ValueError, "only a path"),
    ],
)
def test_a_match_that_is_not_known_is_refused(match: pb.RouteMatch, error: type[ValueError], words: str) -> None:
    with pytest.raises(error, match=words.replace("(", "[(]").replace(")", "[)]")):
        rows_of([match])


# --- paths and places ------------------------------------------------------------------------------------------------

REPLACED = [  # HTTPPathModifier.replacePrefixMatch, the specification's table
    ("/foo/bar", "/foo", "/xyz", "/xyz/bar"), ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
    ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"), ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
    ("/foo", "/foo", "/xyz", "/xyz"), ("/foo/", "/foo", "/xyz", "/xyz/"), ("/foo/bar", "/foo", "", "/bar"),
    ("/foo/", "/foo", "", "/"), ("/foo", "/foo", "", "/"), ("/foo/", "/foo", "/", "/"), ("/foo", "/foo", "/", "/"),
    ("/foo/bar?a=/foo", "/foo", "/xyz", "/xyz/bar?a=/foo"), ("/a/b", "/", "/x", "/x/a/b"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "matched", "replacement", "result"), REPLACED)
def test_a_prefix_is_replaced(path: str, matched: str, replacement: str, result: str) -> None:
    edit = path_editor(pb.PathEdit(prefix=matched, replacement=replacement))
    assert edit is not None
    assert edit(path) == result


def test_a_full_path_is_replaced_and_the_query_stays() -> None:
    edit = path_editor(pb.PathEdit(full="/new"))
    assert edit is not None
    assert [edit("/old/x?a=1"), edit("/"), edit("*"), edit("")] == ["/new?a=1", "/new", "*", ""]
    assert path_editor(pb.PathEdit()) is None


LOCATIONS = [
    ({}, "app-b", 80, "http://app-b/p?q"), ({}, "app-b:8080", 8080, "http://app-b:8080/p?q"),
    ({"scheme": "https"}, "app-b:8080", 8080, "https://app-b/p?q"),
    ({"scheme": "http"}, "app-b:8080", 8080, "http://app-b/p?q"),
    ({"hostname": "example.org"}, "app-b", 80, "http://example.org/p?q"),
    ({"hostname": "example.org"}, "app-b", 8080, "http://example.org:8080/p?q"),
    ({"port": 8443, "scheme": "https"}, "app-b", 80, "https://app-b:8443/p?q"),
    ({"port": 443, "scheme": "https"}, "app-b", 80, "https://app-b/p?q"),
    ({"port": 80}, "app-b:8080", 8080, "http://app-b/p?q"), ({}, "[fd00::7]:80", 80, "http://[fd00::7]/p?q"),
    ({}, "[fd00::7]", 80, "http://[fd00::7]/p?q"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "authority", "listener", "expected"), LOCATIONS)
def test_location(fields: dict[str, object], authority: str, listener: int, expected: str) -> None:
    assert location(pb.Redirect(**fields), authority, "/p?q", listener) == expected  # type: ignore[arg-type]
