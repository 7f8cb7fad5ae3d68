"""Where the search begins: good messages, and what becomes interesting when it is put into them.

Owns inputs only; each begins with the byte of options that its target expects (see `targets`).
"""

from __future__ import annotations

_GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
_POST = b"POST /x?y=1 HTTP/1.1\r\nHost: a\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

_REQUESTS = [
    _GET + b"\r\n",
    b"\r\n" + _GET + b"\r\n",
    _GET + b"Connection: close\r\nKeep-Alive: x\r\nA: b\r\n\r\n" + _GET + b"\r\n",
    _GET + b"Connection: x, upgrade\r\nUpgrade: websocket\r\nX: y\r\n\r\ntunnel",
    _GET + b"Connection: upgrade\r\nUpgrade: h2c, foo/2\r\nContent-Length: 2\r\n\r\nab",
    _GET + b"TE: trailers\r\nConnection: TE\r\nExpect: 100-continue\r\n\r\n",
    _POST + b"Content-Length: 5\r\n\r\nhelloGET",
    _POST + _CHUNKED + b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nGET",
    _POST + b"Content-Length: 5\r\n" + _CHUNKED + b"0\r\n\r\n",
    b"GET http://A:80/x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"POST http://a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    _GET + b"A: x\r\n y\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET /" + b"x" * 60 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    _GET + b"A: x\r\n" * 6 + b"\r\n",
]
_OK = b"HTTP/1.1 200 OK\r\n"
_ANSWERS = [
    _OK + b"Content-Length: 5\r\n\r\nhelloHTTP",
    _OK + _CHUNKED + b"5\r\nhello\r\n3;x\r\nabc\r\n0\r\nX: y\r\n\r\n",
    _OK + b"\r\nto the end",
    _OK + b"Connection: close, x\r\nX: y\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.0 200 OK\r\n\r\nto the end",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
    b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\ntunnel",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 426 x\r\nConnection: upgrade\r\nUpgrade: foo/2\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 500\r\nContent-Length: 0\r\n\r\n",
    _OK + b"Content-Length: 5\r\n" + _CHUNKED + b"0\r\n\r\n",
]
_CHUNKED_BODIES = [
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\nGET",
    b'00A;x;y=z;q="a\\"b"\r\n0123456789\r\n1 ; a = b\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n',
    b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    b"5\nhello\n0\n\n",
    b"fffffffffffffff\r\nab",
    b"1\r\na\r\n" * 8 + b"0;abc\r\nA: x\r\nB: y\r\n\r\n",
]


def requests() -> list[bytes]:
    """Requests, with default and small limits."""
    return [bytes([options]) + wire for wire in _REQUESTS for options in (0, 1)]


def answers() -> list[bytes]:
    """Answers: to each method, with and without an upgrade that was asked for, some of connections that have ended."""
    return [bytes([options]) + wire for wire in _ANSWERS for options in (0, 1, 2, 4, 6 | 8, 32)]


def chunked() -> list[bytes]:
    """Chunked bodies, with default and small limits."""
    return [bytes([options]) + wire for wire in _CHUNKED_BODIES for options in (0, 1)]


FIRST_BYTES = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    b"GET HTTPS://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"OPTIONS rtsp://a RTSP/1.0\r\n\r\n",
]

# options, then method, path, upgrade, and names and values, each ended by 0xFF
ENCODED = [
    b"\x00GET\xff/\xff\xffHost\xffa\xffX\xffy",
    b"\x01POST\xff/x?y\xff\xffHost\xffa",
    b"\x04GET\xff/\xffwebsocket\xffHost\xffa\xffX\xff\xc3\xa9",
    b"\x30GET\xff/\r\nX: y\xff\xffX\xff1\r\nY: 2",
    b"\x08G T\xff/ /\xffa b\xff: \xff\n",
]

# fmt: off
WORDS = [
    b"GET ", b"HEAD ", b"CONNECT ", b"OPTIONS ", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/1.2", b"HTTP/1.1 ", b"HTTP/1.0 ",
    b"200", b"204", b"304", b"100", b"101", b"426", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\r\n ", b" :", b": ", b"\t",
    b"\x00", b"\x7f", b"\xe9", b"Host: ", b"Content-Length: ", b"Transfer-Encoding: ", b"chunked", b"identity",
    b"Connection: ", b"close", b"keep-alive", b"upgrade", b"Upgrade: ", b"websocket", b"h2c", b"foo/2",
    b"Expect: 100-continue", b"TE: trailers", b"Keep-Alive: ", b"Proxy-Connection: ", b"http://", b"https://", b"*",
    b"[::1]", b":80", b":443", b"+1", b"-1", b"0x1", b"1, 1", b"99999999999999999999", b",", b", ,", b"#", b"@", b"%00",
]
CHUNK_WORDS = [
    b"\r\n", b"\n", b"\r", b"0\r\n\r\n", b"0\r\n", b";", b"=", b"\"", b"\\\"", b";a=\"", b" ;", b"; ", b"\t", b"+",
    b"-", b"0x", b"fffffffffffffff", b"0000000000000000", b"A: x\r\n", b"Content-Length: 5\r\n", b"\x00", b"\xe9", b" ",
    b"_",
]
FIRST_WORDS = [
    b"GET ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT ", b"OPTIONS ", b"\r\n", b"\n", b"\r", b" ", b"\t", b"/",
    b"* ", b"http://", b"https://", b"ftp://", b" HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01", b"\x00",
]
# fmt: on
