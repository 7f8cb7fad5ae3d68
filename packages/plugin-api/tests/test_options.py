"""Options are read or refused, with the option's name and what would be right."""

import pytest
from tulle_plugin_api.options import Options


@pytest.mark.parametrize(
    ("read", "given", "expected"),
    [
        (lambda o: o.text("x", "d"), None, "d"),
        (lambda o: o.choice("x", ("a", "b"), "a"), "b", "b"),
        (lambda o: o.choices("x", ("a", "b", "c"), "a"), "a, c", ("a", "c")),
        (lambda o: o.flag("x", True), "false", False),
        (lambda o: o.flag("x", True), None, True),
        (lambda o: o.whole("x", 5), "12", 12),
        (lambda o: o.whole("x", 5, at_least=0), "0", 0),
        (lambda o: o.seconds("x", 10.0), "0.5", 0.5),
        (lambda o: o.share("x", 1.0), "0", 0.0),
        (lambda o: o.address("x", "localhost:8125"), None, ("localhost", 8125)),
        (lambda o: o.address("x", "localhost:8125"), "[fd00::7]:1", ("fd00::7", 1)),
        (lambda o: o.datagram_address("x", "localhost:8125"), None, ("localhost", 8125)),
        (lambda o: o.datagram_address("x", "localhost:8125"), "unix:///run/s", "/run/s"),
        (lambda o: o.url("x", "http://a/"), "https://b:8/c?d=e", "https://b:8/c?d=e"),
    ],
)
def test_good_ones(read, given, expected):
    options = Options({} if given is None else {"x": given})
    assert read(options) == expected
    options.done()


@pytest.mark.parametrize(
    ("read", "given", "says"),
    [
        (lambda o: o.choice("x", ("a", "b"), "a"), "c", "x: expected one of a, b, got 'c'"),
        (lambda o: o.choices("x", ("a", "b"), "a"), "a,c", "x: expected a comma list of a, b, got 'a,c'"),
        (lambda o: o.choices("x", ("a", "b"), "a"), "", "x: expected a comma list of a, b, got ''"),
        (lambda o: o.flag("x", True), "yes", "x: expected one of true, false, got 'yes'"),
        (lambda o: o.whole("x", 5), "0", "x: expected a whole number from 1, such as 5, got '0'"),
        (lambda o: o.whole("x", 5), "-1", "x: expected a whole number from 1"),
        (lambda o: o.whole("x", 5), "٣", "x: expected a whole number from 1"),
        (lambda o: o.seconds("x", 10.0), "0", "x: expected a positive number of seconds, such as 10, got '0'"),
        (lambda o: o.seconds("x", 10.0), "nan", "x: expected a positive number of seconds"),
        (lambda o: o.seconds("x", 10.0), "5s", "x: expected a positive number of seconds"),
        (lambda o: o.share("x", 1.0), "1.1", "x: expected a share from 0 to 1"),
        (lambda o: o.address("x", "localhost:8125"), "localhost", "x: expected host:port, such as localhost:8125"),
        (lambda o: o.address("x", "localhost:8125"), "a:0", "x: expected host:port"),
        (lambda o: o.address("x", "localhost:8125"), "a:65536", "x: expected host:port"),
        (lambda o: o.address("x", "localhost:8125"), "fd00::7:1", "x: expected host:port"),
        (lambda o: o.url("x", "http://a/"), "b:80", "x: expected a URL, such as http://a/, got 'b:80'"),
        (lambda o: o.url("x", "http://a/"), "http://b:x/", "x: expected a URL"),
        (lambda o: o.url("x", "http://a/"), "http://b/ c", "x: expected a URL"),
        (lambda o: o.url("x", "", "http://e/"), None, "x: expected a URL, such as http://e/, got ''"),
    ],
)
def test_bad_ones(read, given, says):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        read(Options({} if given is None else {"x": given}))
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("intervall", "unknown option 'intervall'; did you mean 'interval'?"),
        ("zzz", "unknown option 'zzz'; known options: address, interval"),
    ],
)
def test_what_nobody_asked_for_is_refused(given, says):
    options = Options({given: "1"})
    options.text("interval")
    options.text("address")
    with pytest.raises(ValueError, match="unknown option") as refused:
        options.done()
    assert str(refused.value) == says
