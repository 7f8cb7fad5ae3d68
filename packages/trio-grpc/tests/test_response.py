"""What a response means for gRPC, broken deployments included."""

import pytest
from tulle_trio_grpc import BadResponse, ConnectionLost, MessageTooLarge, RemoteError, StatusCode
from tulle_trio_grpc.framing import encode_message
from tulle_trio_grpc.response import Response

HEADERS = [(b":status", b"200"), (b"content-type", b"application/grpc+proto"), (b"x-first", b"1")]


def opened() -> Response:
    response = Response(message_limit=100)
    response.headers(HEADERS, end=False)
    return response


def ended(response: Response) -> tuple[str, StatusCode | None]:
    assert response.ended
    return (type(response.error).__name__, response.error.code) if response.error else ("OK", None)


def test_an_ordinary_response() -> None:
    response = opened()
    assert response.initial_metadata == (("x-first", "1"),)
    response.data(encode_message(b"one") + encode_message(b"two"))
    response.trailers([(b"grpc-status", b"0"), (b"x-last", b"2")])
    assert ended(response) == ("OK", None)
    assert [response.take(), response.take(), response.take()] == [b"one", b"two", None]
    assert response.trailing_metadata == (("x-last", "2"),)


def test_an_error_after_messages_keeps_both() -> None:
    response = opened()
    response.data(encode_message(b"one"))
    details = [(b"grpc-status-details-bin", b"CAUSAm5v")]
    response.trailers([(b"grpc-status", b"5"), (b"grpc-message", b"no %22bob%22 %E2%98%83"), *details])
    assert ended(response) == ("RemoteError", StatusCode.NOT_FOUND)
    assert isinstance(response.error, RemoteError)
    assert response.error.message == 'no "bob" ☃'
    assert response.error.status_details == b"\x08\x05\x12\x02no"
    assert response.error.initial_metadata.get("x-first") == "1"
    assert response.take() == b"one"


def test_trailers_only() -> None:
    response = Response(message_limit=100)
    response.headers([*HEADERS, (b"grpc-status", b"7"), (b"grpc-message", b"no")], end=True)
    assert ended(response) == ("RemoteError", StatusCode.PERMISSION_DENIED)
    assert response.trailing_metadata.get("x-first") == "1"
    assert response.initial_metadata == ()


def test_trailers_only_with_ok_and_nothing_else() -> None:
    response = Response(message_limit=100)
    response.headers([*HEADERS, (b"grpc-status", b"0")], end=True)
    assert ended(response) == ("OK", None)


@pytest.mark.parametrize(
    ("fields", "end", "code", "why"),
    [
        ([(b":status", b"503"), (b"content-type", b"text/html")], False, 14, "HTTP status 503"),
        ([(b":status", b"404")], True, 12, "HTTP status 404"),
        ([(b":status", b"500"), (b"content-type", b"application/grpc")], False, 2, "HTTP status 500"),
        ([(b":status", b"odd"), (b"content-type", b"application/grpc")], False, 2, "HTTP status odd"),
        ([(b":status", b"200"), (b"content-type", b"text/html")], False, 2, "content-type 'text/html'"),
        ([(b":status", b"200")], False, 2, "content-type 'missing'"),
        (HEADERS, True, 2, "without a grpc-status"),
        # A gRPC status, where there is one, counts more than HTTP's.
        ([(b":status", b"503"), (b"content-type", b"application/grpc"), (b"grpc-status", b"8")], True, 8, "no message"),
        ([*HEADERS, (b"grpc-status", b"99")], True, 2, "no message"),
    ],
)
def test_first_headers_that_end_the_call(fields: list[tuple[bytes, bytes]], end: bool, code: int, why: str) -> None:
    response = Response(message_limit=100)
    response.headers(fields, end=end)
    assert response.error is not None
    assert response.error.code == code
    assert why in response.error.message


def test_an_end_without_trailers() -> None:
    response = opened()
    response.end_of_stream()
    assert ended(response) == ("BadResponse", StatusCode.UNKNOWN)


def test_ok_in_the_middle_of_a_message_is_not_ok() -> None:
    response = opened()
    response.data(encode_message(b"one")[:-1])
    response.trailers([(b"grpc-status", b"0")])
    assert ended(response) == ("BadResponse", StatusCode.INTERNAL)


def test_too_large_a_message_ends_the_call() -> None:
    response = opened()
    response.data(encode_message(bytes(101)))
    assert ended(response) == ("MessageTooLarge", StatusCode.RESOURCE_EXHAUSTED)
    response.data(encode_message(b"more"))  # ignored
    assert response.take() is None


@pytest.mark.parametrize(("code", "status", "safe"), [(7, 14, True), (8, 1, False), (0, 13, False), (11, 8, False)])
def test_resets(code: int, status: int, safe: bool) -> None:
    response = opened()
    response.reset(code)
    assert response.error is not None
    assert (response.error.code, response.error.not_processed) == (status, safe)


def test_the_first_end_counts() -> None:
    response = opened()
    response.trailers([(b"grpc-status", b"0")])
    response.end_of_stream()
    response.reset(8)
    response.fail(ConnectionLost("gone"))
    assert ended(response) == ("OK", None)
    other = opened()
    other.fail(MessageTooLarge("x"))
    other.trailers([(b"grpc-status", b"0")])
    assert ended(other) == ("MessageTooLarge", StatusCode.RESOURCE_EXHAUSTED)


def test_compressed_messages_need_the_header() -> None:
    from tulle_trio_grpc.compression import compress

    body = compress(b"hello")
    response = Response(message_limit=100)
    response.headers([*HEADERS, (b"grpc-encoding", b"gzip")], end=False)
    response.data(b"\x01" + len(body).to_bytes(4, "big") + body)
    assert response.take() == b"hello"
    plain = opened()
    plain.data(b"\x01" + len(body).to_bytes(4, "big") + body)
    with pytest.raises(BadResponse, match="named no grpc-encoding"):
        plain.take()
