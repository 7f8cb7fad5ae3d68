"""The language of tables: each checker, and the words and path of each problem."""

import pytest
from tulle_lab.kinds import schema
from tulle_lab.kinds.schema import Either, Inert, Integer, ListOf, MapOf, Problems, Struct, Text, Unsupported


def problems(check, value, path="spec"):
    found = Problems()
    check(value, path, found)
    return list(found)


CONTAINER = Struct({"image": Text(), "ports": ListOf(Integer()), "old": Unsupported("because"), "cpu": Inert("no")})


@pytest.mark.parametrize(
    ("check", "value", "expected"),
    [
        (CONTAINER, {"image": "x"}, []),
        (CONTAINER, {"imagee": "x"}, ["spec.imagee: unknown field; did you mean 'image'?"]),
        (CONTAINER, {"IMAGE": "x"}, ["spec.IMAGE: unknown field; did you mean 'image'?"]),
        (CONTAINER, {"zzz": 1}, ["spec.zzz: unknown field; there are cpu, image, old, ports"]),
        (CONTAINER, {3: 1}, ["spec.3: unknown field; there are cpu, image, old, ports"]),
        (CONTAINER, {"old": 5}, ["spec.old: the lab does not do this: because"]),
        (CONTAINER, {"old": False}, []),
        (CONTAINER, {"cpu": {"anything": 1}}, []),
        (CONTAINER, {"image": None}, []),
        (CONTAINER, "text", ["spec: expected a mapping, got 'text'"]),
        (CONTAINER, {"ports": {}}, ["spec.ports: expected a list, got a mapping"]),
        (CONTAINER, {"ports": [1, "b", 3]}, ["spec.ports[1]: expected a whole number, got 'b'"]),
        (Struct({"a": Text()}, required=("a",)), {}, ["spec.a: required, and missing"]),
        (Struct({"a": Text()}, required=("a",)), {"a": None}, ["spec.a: required, and missing"]),
        (
            Struct({"a": Text(), "b": Text()}, one_of=("a", "b")),
            {"a": "1", "b": "2"},
            ["spec: needs exactly one of a, b; it has a, b"],
        ),
        (Struct({"a": Text(), "b": Text()}, one_of=("a", "b")), {}, ["spec: needs exactly one of a, b; it has none"]),
        (ListOf(Text(), at_least=1), [], ["spec: needs at least 1"]),
        (
            ListOf(Struct({"name": Text()}), unique="name"),
            [{"name": "a"}, {"name": "b"}, {"name": "a"}],
            ["spec[2].name: 'a' is there twice"],
        ),
        (MapOf(Text()), {"a": 1}, ["spec['a']: expected text, got 1; put it in quotes"]),
        (MapOf(Text()), {1: "a"}, ["spec[1]: expected text as key; put it in quotes"]),
        (MapOf(Text(), schema.QUALIFIED), {"a b": ""}, ["spec['a b']: 'a b' is not " + schema.QUALIFIED.means]),
        (Text(("TCP", "UDP")), "TCP", []),
        (Text(("TCP", "UDP")), "TCPP", ["spec: 'TCPP' is not one of TCP, UDP; did you mean 'TCP'?"]),
        (Text(), True, ["spec: expected text, got True; put it in quotes"]),
        (Text(longest=3), "abcd", ["spec: 'abcd' is longer than 3 characters"]),
        (Integer(1, 5), 6, ["spec: 6 is out of range: at least 1 and at most 5"]),
        (Integer(1), 0, ["spec: 0 is out of range: at least 1"]),
        (Integer(), True, ["spec: expected a whole number, got True"]),
        (schema.boolean, "yes", ["spec: expected true or false, got 'yes'"]),
        (Either((Integer(), Text(pattern="[0-9]+%")), "a number or a percentage"), "25%", []),
        (
            Either((Integer(), Text(pattern="[0-9]+%")), "a number or a percentage"),
            "many",
            ["spec: expected a number or a percentage, got 'many'"],
        ),
    ],
)
def test_checkers(check, value, expected):
    assert problems(check, value) == expected


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (schema.DNS_LABEL, ["a", "a-1", "0a", "a" * 63], ["", "-a", "a-", "A", "a.b", "a" * 64, "a_b"]),
        (schema.DNS_NAME, ["a.b-c.d"], ["a..b", ".a", "a.-b"]),
        (schema.PORT_NAME, ["http", "h2-c", "a" * 15], ["80", "HTTP", "a--b", "-a", "a" * 16]),
        (schema.PORT_OR_NAME, [80, "http", 65535], [0, 65536, "8_0", None]),
        (schema.PATH, ["/", "/a b"], ["a", ""]),
        (schema.DURATION, ["500ms", "10s", "1m30s", "1h"], ["10", "1d", "s", "1.5s"]),
        (schema.LABEL_VALUE, ["", "a.b_c-d", "A1"], ["-a", "a b", "a" * 64]),
        (schema.QUALIFIED, ["app", "tulle.dev/inject", "a_b"], ["/a", "a/", "UP.er/a", "a b"]),
    ],
)
def test_words(check, good, bad):
    assert [value for value in good if problems(check, value)] == []
    assert [value for value in bad if not problems(check, value)] == []


def test_the_problem_of_the_whole_object_has_no_path():
    assert problems(CONTAINER, 5, "") == ["expected a mapping, got 5"]
