"""Which answers are compressed, what they say then, and what comes out when it is unzipped."""

import gzip
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tulle_plugin_api import Exchange, Failure, Headers, Position, Response, load
from tulle_plugin_api.config import decode
from tulle_plugin_api.contract import SteppingRuntime
from tulle_policy_compression import Compression, CompressionConfig
from tulle_policy_compression.accepted import takes_gzip
from tulle_policy_compression.gzipped import GzippedBody

TEXT = b"It is a truth universally acknowledged. " * 100
JSON = {"content-type": "application/json; charset=utf-8", "content-length": str(len(TEXT))}


class Pieces:
    """A body that arrives piece by piece; breaks off where a piece is an error."""

    def __init__(self, *pieces, trailers=None):
        self.pieces, self.closed, self.trailers = list(pieces), 0, trailers

    async def read(self):
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def aclose(self):
        self.closed += 1


def fields(**given):
    return Headers.of([(name.replace("_", "-"), value) for name, value in given.items()])


class Server:
    """The policy over an application that answers what the test says."""

    def __init__(self, **config):
        self.runtime = SteppingRuntime(direction="inbound")
        self.answers = []
        self.handler = Compression().build(decode(CompressionConfig, config), self._answer, self.runtime)

    async def _answer(self, exchange):
        return self.answers.pop(0)

    def ask(self, answer, method="GET", accept="gzip", **more):
        exchange = Exchange(fields(**({"accept_encoding": accept} if accept is not None else {}), **more))
        exchange.method = method
        self.answers.append(answer)
        return self.runtime.run(self.handler(exchange))

    def read(self, answer):
        async def all_of_it():
            data, body = b"", answer.body
            while piece := await body.read():
                data += piece
            await body.aclose()
            return data

        return answer.body if isinstance(answer.body, bytes) else self.runtime.run(all_of_it())


def json_answer(body=TEXT, status=200, **more):
    return Response(status, Headers.of([*{**JSON, **{k.replace("_", "-"): v for k, v in more.items()}}.items()]), body)


def untouched(answer, **more):
    return answer.body is TEXT and "content-encoding" not in answer.headers


# --- what comes out ---------------------------------------------------------------------------------------------------


def test_a_whole_answer():
    server = Server()
    answer = server.ask(json_answer(etag='"v1"', accept_ranges="bytes", vary="Origin"))
    assert gzip.decompress(answer.body) == TEXT
    assert len(answer.body) < len(TEXT) / 5
    assert list(answer.headers) == [
        ("content-type", "application/json; charset=utf-8"),
        ("vary", "Origin"),
        ("vary", "Accept-Encoding"),
        ("content-encoding", "gzip"),
        ("etag", 'W/"v1"'),
    ]
    assert server.runtime.counters == {"compression_bytes_saved_total": len(TEXT) - len(answer.body)}


def test_an_answer_in_pieces_each_of_which_leaves_at_once():
    server, pieces = Server(), [TEXT[:10], TEXT[10:500], TEXT[500:]]
    inner = Pieces(*pieces, trailers=fields(x_sum="1"))
    answer = server.ask(Response(200, fields(content_type="text/html"), inner))

    async def reads():
        unzip = zlib.decompressobj(31)
        seen = [unzip.decompress(await answer.body.read()) == piece for piece in pieces]
        rest = unzip.decompress(await answer.body.read())
        return seen, rest, unzip.eof, await answer.body.read(), await answer.body.read()

    assert server.runtime.run(reads()) == ([True, True, True], b"", True, b"", b"")
    assert answer.body.trailers == fields(x_sum="1")


def test_nothing_at_all_is_something_that_can_be_unzipped():
    server = Server()
    answer = server.ask(Response(200, fields(content_type="text/html"), Pieces()))
    assert gzip.decompress(server.read(answer)) == b""


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(min_size=1, max_size=2000), max_size=20), st.integers(1, 9))
def test_whatever_comes_comes_out(pieces, level):
    server = Server(level=level, minimum=0)
    answer = server.ask(Response(200, fields(content_type="text/plain"), Pieces(*pieces)))
    assert gzip.decompress(server.read(answer)) == b"".join(pieces)


def test_what_does_not_become_smaller_stays():
    noise = random.Random(1).randbytes(2000)
    answer = Server().ask(Response(200, fields(content_type="text/plain"), noise))
    assert answer.body == noise
    assert "content-encoding" not in answer.headers
    assert answer.headers.get("vary") == "Accept-Encoding"


def test_head_is_answered_as_get_would_be():
    answer = Server().ask(json_answer(b"", etag='"v1"'), method="HEAD")
    assert (answer.body, answer.headers.get("content-encoding")) == (b"", "gzip")
    assert "content-length" not in answer.headers, "RFC 9110 section 8.6: the length that GET would say, or none"
    assert answer.headers.get("etag") == 'W/"v1"'


# --- which answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        {"content_encoding": "br"},
        {"content_encoding": "gzip"},
        {"content_type": "image/png"},
        {"content_type": "text/event-stream"},
        {"content_type": "application/grpc"},
        {"cache_control": "public, No-Transform"},
        {"content_range": "bytes 0-99/1000"},
        {"status": 206},
        {"content_digest": "sha-256=:AAAA:"},
        {"repr_digest": "sha-256=:AAAA:"},
        {"content_md5": "AAAA"},
    ],
    ids=str,
)
def test_what_is_left_alone(answer):
    status = answer.pop("status", 200)
    given = json_answer(status=status, **answer)
    before = list(given.headers)
    left = Server().ask(given)
    assert left.body is TEXT
    assert list(left.headers) == before


@pytest.mark.parametrize("status", [204, 205, 304])
def test_answers_without_content_are_left_alone(status):
    answer = Server(minimum=0).ask(Response(status, fields(content_type="text/html", etag='"v1"')))
    assert list(answer.headers) == [("content-type", "text/html"), ("etag", '"v1"')]


def test_a_changed_protocol_is_left_alone():
    tunnel = Pieces(b"\x81\x00")
    assert Server(minimum=0).ask(Response(101, fields(content_type="text/html"), tunnel)).body is tunnel


def test_an_answer_without_a_type_is_left_alone():
    answer = Server().ask(Response(200, fields(x="y"), TEXT))
    assert (answer.body, list(answer.headers)) == (TEXT, [("x", "y")])


def test_the_client_may_forbid_it():
    assert untouched(Server().ask(json_answer(), cache_control="no-transform"))


def test_errors_are_compressed_too():
    assert gzip.decompress(Server().ask(json_answer(status=500)).body) == TEXT


@pytest.mark.parametrize(
    ("minimum", "body", "length", "compressed"),
    [
        (1024, TEXT[:1023], None, False),
        (1024, TEXT[:1024], None, True),
        (1024, Pieces(TEXT[:1023]), "1023", False),
        (1024, Pieces(TEXT[:1024]), "1024", True),
        (1024, Pieces(b"x"), None, True),
        (0, b"", None, False),
    ],
)
def test_short_answers_are_left_alone(minimum, body, length, compressed):
    more = {"content_length": length} if length else {}
    answer = Server(minimum=minimum).ask(Response(200, fields(content_type="text/html", **more), body))
    assert ("content-encoding" in answer.headers) is compressed


@pytest.mark.parametrize(
    ("types", "kind", "compressed"),
    [
        (["text/*"], "TEXT/Html;charset=x", True),
        (["text/*"], "text/event-stream", False),
        (["text/*"], "application/text/x", False),
        (["application/*+json"], "application/problem+json", True),
        (["application/*+json"], "application/json", False),
        (["application/json"], "application/jsonp", False),
        (["Application/JSON"], "application/json", True),
    ],
)
def test_types(types, kind, compressed):
    answer = Server(types=types).ask(json_answer(content_type=kind))
    assert ("content-encoding" in answer.headers) is compressed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, ["Accept-Encoding"]),
        ("Origin", ["Origin", "Accept-Encoding"]),
        ("origin, accept-encoding", ["origin, accept-encoding"]),
        ("*", ["*"]),
    ],
)
@pytest.mark.parametrize("accept", ["gzip", "br"])
def test_caches_are_told_also_where_this_client_did_not_take_it(given, said, accept):
    answer = Server().ask(json_answer(**({"vary": given} if given else {})), accept=accept)
    assert answer.headers.get_all("vary") == said
    assert untouched(answer) is (accept == "br")


@pytest.mark.parametrize(("tag", "weak"), [('"v1"', 'W/"v1"'), ('W/"v1"', 'W/"v1"')])
def test_a_validator_becomes_weak(tag, weak):
    assert Server().ask(json_answer(etag=tag)).headers.get_all("etag") == [weak]
    assert Server().ask(json_answer(etag=tag), accept="identity").headers.get_all("etag") == [tag]


# --- who takes it: RFC 9110 section 12.5.3 ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "takes"),
    [
        ([], False),
        ([""], False),
        (["gzip"], True),
        (["GZIP"], True),
        (["x-gzip"], True),
        (["compress, gzip"], True),
        (["br", "gzip"], True),
        (["*"], True),
        (["compress;q=0.5, gzip;q=1.0"], True),
        (["gzip;q=1.0, identity; q=0.5, *;q=0"], True),
        (["gzip ; Q=0.001"], True),
        (["gzip;q=0"], False),
        (["gzip;q=0.000"], False),
        (["*;q=0"], False),
        (["gzip;q=0, *"], False),
        (["*;q=0, gzip"], True),
        (["identity"], False),
        (["gzip;q=0.2, identity;q=0.5"], False),
        (["gzip;q=0.5, identity;q=0.5"], True),
        (["br, deflate"], False),
        (["gzip;q=2"], False),
        (["gzip;q=0.0001"], False),
        (["gzipped"], False),
        (["gzip;foo=1"], False),
        (["gzip q=1, \x80,,gzip"], True),
    ],
    ids=str,
)
def test_who_takes_gzip(values, takes):
    assert takes_gzip(values) is takes


# --- what is under way ------------------------------------------------------------------------------------------------


def test_a_bounded_number_at_one_time():
    server = Server(at_once=2)
    asked = [server.ask(Response(200, fields(content_type="text/html"), Pieces(TEXT))) for _ in range(3)]
    assert [isinstance(answer.body, GzippedBody) for answer in asked] == [True, True, False]
    assert "content-encoding" not in asked[2].headers
    assert server.runtime.counters["compression_too_many_total"] == 1
    server.read(asked[0])  # to its end, and closed: counts once
    after = [server.ask(Response(200, fields(content_type="text/html"), Pieces(TEXT))) for _ in range(2)]
    assert [isinstance(answer.body, GzippedBody) for answer in after] == [True, False]


@pytest.mark.parametrize("end", ["broken", "given up"])
def test_a_body_that_ends_early_gives_its_place_back(end):
    server, inner = Server(at_once=1), Pieces(TEXT, Failure("broke off"))
    answer = server.ask(Response(200, fields(content_type="text/html"), inner))

    async def reads():
        await answer.body.read()
        if end == "broken":
            with pytest.raises(Failure):
                await answer.body.read()
        await answer.body.aclose()
        await answer.body.aclose()

    server.runtime.run(reads())
    assert inner.closed == 2
    again = server.ask(Response(200, fields(content_type="text/html"), Pieces(TEXT)))
    assert isinstance(again.body, GzippedBody)


def test_where_it_sits():
    installed = load().policies["compression"]
    assert isinstance(installed, Compression)
    assert (installed.position, installed.direction, installed.uses_trio) == (Position.REQUEST, "inbound", False)


@pytest.mark.parametrize("pattern", ["html", "*/*", "text/", "/html", "text/*x*", "text/html;q=1"])
def test_patterns_that_make_no_sense(pattern):
    (said,) = Compression().check(decode(CompressionConfig, {"types": [pattern]}))
    assert said.startswith("types: expected a content type")
