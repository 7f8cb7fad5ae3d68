"""One exchange through every part of the HTTP/1.1 codec, as the shell uses it."""

from tulle_data_plane.wire.http1 import (
    DEFAULT_LIMITS,
    LAST_CHUNK,
    answer_framing,
    body_decoder,
    encode_chunk,
    encode_request,
    encode_response,
    find_head_end,
    parse_request,
    parse_response,
)


def test_a_request_and_its_answer_pass_through_the_codec():
    wire = (
        b"POST /cart?x=1 HTTP/1.1\r\nHost: App-B:80\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
        b"Transfer-Encoding: chunked\r\nAccept: */*\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET"
    )
    end = find_head_end(wire, 0, DEFAULT_LIMITS)
    request = parse_request(wire[:end])
    assert (request.method, request.path, request.authority) == ("POST", "/cart?x=1", "app-b:80")
    assert request.keep_alive
    assert list(request.headers) == [("Host", "App-B:80"), ("Accept", "*/*")]
    body = body_decoder(request.framing)
    assert body.feed(wire[end:]) == [b"abc"]
    assert (body.done, body.leftover) == (True, b"GET")
    assert encode_request(request.method, request.path, request.headers.block, request.framing) == (
        b"POST /cart?x=1 HTTP/1.1\r\nHost: App-B:80\r\nAccept: */*\r\ntransfer-encoding: chunked\r\n\r\n"
    )

    answer = parse_response(b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", "POST")
    framing = answer_framing(answer.framing, "POST", answer.status, request.version)
    assert encode_response(answer.status, answer.headers.block, framing) + encode_chunk(b"hello") + LAST_CHUNK == (
        b"HTTP/1.1 200 OK\r\nServer: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
