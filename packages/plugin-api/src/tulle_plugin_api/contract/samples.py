"""What the suites send through plugins: endpoints, and exchanges, ordinary and odd.

Owns the list of oddities. Each is something that a codec lets through, so that a plugin will meet it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tulle_plugin_api.errors import Failure
from tulle_plugin_api.exchange import Address, Endpoint, Exchange, Service
from tulle_plugin_api.headers import Headers

SERVICE = Service("app-b", "demo", 80, "app-b.demo.svc.cluster.local:80")
IDENTITY = "spiffe://cluster.local/ns/demo/sa/app-a"


def endpoint(number: int, weight: int = 1) -> Endpoint:
    """A replica of app-b."""
    ip = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return Endpoint(Address(ip, 8080), f"app-b-{number}", "demo", "deployment/app-b", f"zone-{number % 3}", weight,
                    meshed=number % 2 == 0, labels=(("app", "app-b"), ("version", str(1 + number % 2))))  # fmt: skip


def endpoints(count: int, *, weight: int = 1, first: int = 1) -> tuple[Endpoint, ...]:
    """`count` of them."""
    return tuple(endpoint(number, weight) for number in range(first, first + count))


class Pieces:
    """A body that arrives in pieces, and knows whether somebody has looked after it."""

    def __init__(self, *pieces: bytes, broken: bool = False) -> None:
        self._pieces, self._broken = list(pieces), broken
        self.done = False  # read to its end, broken, or given up

    async def read(self) -> bytes:
        """See Body."""
        if self._pieces:
            return self._pieces.pop(0)
        self.done = True
        if self._broken:
            raise Failure("the peer broke off", reason="upstream-reset")
        return b""

    async def aclose(self) -> None:
        """See Body."""
        self.done = True
        self._pieces.clear()


def exchange(**facts: object) -> Exchange:
    """An ordinary request, with `facts` about it changed."""
    one = Exchange(Headers.of([("host", "app-b"), ("user-agent", "curl/8"), ("accept", "*/*")]))
    ordinary: dict[str, object] = {
        "method": "GET", "path": "/", "authority": "app-b", "source": Address("10.0.1.1", 40000),
        "destination": Address("10.96.0.7", 80), "service": SERVICE, "backend": "demo/app-b:80", "started": 1000.0,
    }  # fmt: skip
    for name, value in {**ordinary, **facts}.items():
        setattr(one, name, value)
    return one


def _headers(*fields: tuple[str, str]) -> Headers:
    return Headers.of(fields)


ODD_REQUESTS: Mapping[str, Callable[[], Exchange]] = {
    "ordinary": exchange,
    "nothing is known": Exchange,
    "HTTP/1.0 without a host": lambda: exchange(protocol="http/1.0", authority="", headers=Headers()),
    "HTTP/2": lambda: exchange(protocol="h2"),
    "inbound, with an identity": lambda: exchange(direction="inbound", source_identity=IDENTITY, secured=True),
    "a body": lambda: exchange(method="POST", body=b"x" * 1000),
    "a body in pieces": lambda: exchange(method="PUT", body=Pieces(b"one", b"two")),
    "a body that breaks off": lambda: exchange(method="POST", body=Pieces(b"one", broken=True)),
    "OPTIONS *": lambda: exchange(method="OPTIONS", path="*"),
    "CONNECT-like": lambda: exchange(method="CONNECT", path="", authority="example.com:443"),
    "a method of its own": lambda: exchange(method="M-SEARCH"),
    "a long path": lambda: exchange(path="/" + "a" * 8000 + "?" + "b=c&" * 500),
    "a path of odd bytes": lambda: exchange(path="/%00/%zz/\x80\xff//../;a=b?&&=#"),
    "an IPv6 source": lambda: exchange(source=Address("fd00::1", 1), destination=Address("fd00::7", 80)),
    "a change of protocol": lambda: exchange(upgrade="websocket"),
    "values that are not ASCII": lambda: exchange(headers=_headers(("host", "app-b"), ("x-name", "\xe9\xff\t"))),
    "fields twice, fields empty": lambda: exchange(
        headers=_headers(("cookie", "a=b"), ("Cookie", "a=c; =; ;a"), ("authorization", ""), ("authorization", "x"))
    ),
    "nonsense in well-known fields": lambda: exchange(
        headers=_headers(
            ("retry-after", "soon"),
            ("traceparent", "00-zz"),
            ("content-length", "-1"),
            ("x-forwarded-for", ",,"),
            ("origin", "null"),
            ("accept-encoding", ";q=2"),
            ("grpc-timeout", "99999999999H"),
            ("b3", "-"),
            ("te", "?"),
            ("content-type", "/"),
        )
    ),
    "many fields": lambda: exchange(headers=_headers(*((f"x-{n}", "v" * 50) for n in range(200)))),
}
"""Requests as they arrive, made anew at each call, since policies edit them."""


ODD_ENDINGS: Mapping[str, Mapping[str, object]] = {
    "answered": {"status": 200, "answered": 1000.1, "ended": 1000.2, "response_bytes": 10, "endpoint": endpoint(1)},
    "nobody answered": {"ended": 1001.0, "reason": "connect-failed", "attempts": 4},
    "refused by the proxy": {"status": 503, "ended": 1000.0, "reason": "no-endpoints"},
    "broken off": {"status": 200, "answered": 1000.1, "ended": 1003.0, "aborted": True, "endpoint": endpoint(2)},
    "the clock went back": {"status": 200, "answered": 999.0, "ended": 998.0},
    "never started": {"started": 0.0, "ended": 0.0},
    "for days": {"status": 200, "answered": 1000.1, "ended": 1e9, "response_bytes": 1 << 60, "request_bytes": 1 << 60},
    "a status of its own": {"status": 599, "ended": 1000.2, "attempts": 1_000_000},
    "changed protocol": {"status": 101, "answered": 1000.1, "ended": 1000.2, "upgrade": "websocket"},
    "names that forge": {
        "status": 200, "ended": 1000.2, "route": 'a"} 1\nforged{x="\\', "backend": "\x00\x1b[31m\u2028",
        "reason": "\r\n", "authority": 'x"y\nz', "method": "GET\n", "source_identity": "spiffe://\xff/é",
    },
    "a relayed connection": {"protocol": "tcp", "method": "", "path": "", "ended": 1002.0, "request_bytes": 5,
                             "response_bytes": 7, "endpoint": endpoint(1)},
    "a relayed connection that nobody took": {"protocol": "tcp", "ended": 1000.0, "reason": "connect-failed"},
}  # fmt: skip
"""How an exchange ended, as exporters see it: laid over each of ODD_REQUESTS."""
