"""What each function of the codec costs, in microseconds: `.venv/bin/python packages/data-plane/tests/wire/measure.py`.

Best of many rounds, on a request and an answer of about 400 bytes with 8 fields each. "Unique" heads have another id
each time, so that nothing is remembered; "repeated" ones are the same each time (see wire.memory). Not a test: what is
fast depends on the machine, and only ratios between rows mean something.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

from tulle_data_plane.wire import http1
from tulle_data_plane.wire.detect import detect
from tulle_data_plane.wire.facts import REQUEST_FIELDS, RESPONSE_FIELDS, read_section

REQUEST = b"""\
GET /api/v1/items/42?expand=owner HTTP/1.1
Host: app-b.default.svc.cluster.local:8080
User-Agent: python-httpx/0.27.0 (linux; x86_64)
Accept: application/json, text/plain, */*
Accept-Encoding: gzip, deflate, br, zstd
Connection: keep-alive
X-Request-Id: 3f1c7a52-9a1e-4d0b-8a56-0f6f00000000
Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
Content-Type: application/json; charset=utf-8

""".replace(b"\n", b"\r\n")
ANSWER = b"""\
HTTP/1.1 200 OK
Server: uvicorn
Date: Sat, 01 Jan 2028 10:00:00 GMT
Content-Type: application/json; charset=utf-8
Content-Length: 1234
Cache-Control: no-store, max-age=0
Vary: Accept-Encoding, Origin
X-Request-Id: 3f1c7a52-9a1e-4d0b-8a56-0f6f00000000
Strict-Transport-Security: max-age=31536000; includeSubDomains; preload

""".replace(b"\n", b"\r\n")
ROUNDS, CALLS = 15, 5000


def measure(name: str, work: Callable[[], object]) -> float:
    best = min(timeit.repeat(work, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6
    print(f"{name:44} {best:7.2f}")
    return best


def unique(head: bytes, parse: Callable[[bytes], object]) -> Callable[[], object]:
    """Parse another head with each call."""
    heads = iter([head.replace(b"0f6f00000000", b"%012x" % number) for number in range(ROUNDS * CALLS)])
    return lambda: parse(next(heads))


def main() -> None:
    limits = http1.DEFAULT_LIMITS
    request, answer = http1.parse_request(REQUEST), http1.parse_response(ANSWER, "GET")
    body = http1.encode_chunk(b"x" * 1000) + http1.LAST_CHUNK
    section = REQUEST[REQUEST.index(b"\n") + 1 :], ANSWER[ANSWER.index(b"\n") + 1 :]
    print(f"{'':44} {'us':>7}")
    ends = measure("find_head_end, request", lambda: http1.find_head_end(REQUEST, 0, limits))
    ends += measure("find_head_end, answer", lambda: http1.find_head_end(ANSWER, 0, limits))
    repeated = measure("parse_request, repeated", lambda: http1.parse_request(REQUEST, limits))
    repeated += measure("parse_response, repeated", lambda: http1.parse_response(ANSWER, "GET", limits))
    fresh = measure("parse_request, unique", unique(REQUEST, lambda head: http1.parse_request(head, limits)))
    fresh += measure("parse_response, unique", unique(ANSWER, lambda head: http1.parse_response(head, "GET", limits)))
    measure("  of which read_section, request", lambda: read_section(section[0], REQUEST_FIELDS, limits))
    measure("  of which read_section, answer", lambda: read_section(section[1], RESPONSE_FIELDS, limits))
    encoded = measure("encode_request", lambda: http1.encode_request("GET", request.path, section[0], http1.NO_BODY))
    encoded += measure("encode_response", lambda: http1.encode_response(200, section[1], answer.framing))
    measure("ChunkedDecoder, 1000 bytes in one chunk", lambda: http1.ChunkedDecoder(limits).feed(body))
    measure("LengthDecoder, 1000 bytes", lambda: http1.LengthDecoder(1000).feed(body[:1000]))
    measure("encode_chunk, 1000 bytes", lambda: http1.encode_chunk(body))
    measure("detect", lambda: detect(REQUEST))
    print(f"{'one exchange, repeated heads':44} {ends + repeated + encoded:7.2f}")
    print(f"{'one exchange, unique heads':44} {ends + fresh + encoded:7.2f}")


if __name__ == "__main__":
    main()
