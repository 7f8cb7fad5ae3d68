"""Two servers to test against: a scripted HTTP/2 peer over memory streams, and grpcio's own over loopback.

The peer shows what a client must do on the wire, step by step and without time; grpcio shows that real servers agree.
"""

import asyncio
import datetime
import ipaddress
import signal
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import grpc.aio
import hypothesis
import pytest
import trio
import trio.testing
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event
from h2.settings import Settings
from hyperframe.frame import GoAwayFrame

# A machine that is busy with something else must not fail a property.
hypothesis.settings.register_profile("tulle", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tulle")

OK_TRAILERS = [("grpc-status", "0")]
RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]


class Peer:
    """The server's end of one connection, moved by the test; it gives no window back unless told."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.seen: list[Event] = []
        self._writing = trio.Lock()

    async def start(self, settings: dict[Any, int] | None = None) -> None:
        self.h2.local_settings = Settings(client=False, initial_values=settings)
        self.h2.initiate_connection()
        await self.flush()

    async def flush(self) -> None:
        async with self._writing:
            await self.stream.send_all(self.h2.data_to_send())

    async def read(self) -> bool:
        """Take what has arrived or arrives next; False at the end."""
        data = await self.stream.receive_some(65_536)
        if data:
            self.seen += self.h2.receive_data(data)
            try:
                await self.flush()
            except trio.BrokenResourceError:
                pass  # closed by the client meanwhile; the end is still to be read
        return bool(data)

    async def next(self, kind: type[Event], stream_id: int | None = None) -> Any:
        """The next event of this kind (and stream); what comes before it stays in `seen`."""
        while True:
            for index, event in enumerate(self.seen):
                if isinstance(event, kind) and stream_id in (None, getattr(event, "stream_id", None)):
                    return self.seen.pop(index)
            if not await self.read():
                raise AssertionError(f"the client closed the connection before a {kind.__name__}; seen: {self.seen}")

    async def end(self) -> None:
        """Read until the client closes."""
        while await self.read():
            pass

    async def respond(self, stream_id: int, *messages: bytes, trailers: Any = tuple(OK_TRAILERS)) -> None:
        """Headers, messages, and trailers unless None."""
        self.h2.send_headers(stream_id, RESPONSE)
        for message in messages:
            self.h2.send_data(stream_id, frame(message))
        if trailers is not None:
            self.h2.send_headers(stream_id, list(trailers), end_stream=True)
        await self.flush()

    async def send(self, stream_id: int, data: bytes) -> None:
        self.h2.send_data(stream_id, data)
        await self.flush()

    async def goaway(self, last_stream_id: int, code: int = 0, debug: bytes = b"") -> None:
        """By hand: h2's own would end its state machine."""
        await self.stream.send_all(GoAwayFrame(0, last_stream_id, code, debug).serialize())


def frame(message: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(message).to_bytes(4, "big") + message


class Network:
    """`dial` for open_channel(dial_with=...); `accept` is the other side. `failures` are raised first, in order."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.dialled_at: list[float] = []
        self._send, self._receive = trio.open_memory_channel[Peer](100)

    async def dial(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        self.dialled_at.append(trio.current_time())
        if self.failures:
            raise self.failures.pop(0)
        ours, theirs = trio.testing.memory_stream_pair()
        self._send.send_nowait(Peer(theirs))
        return ours

    async def accept(self, *, start: bool = True, settings: dict[Any, int] | None = None) -> Peer:
        peer = await self._receive.receive()
        if start:
            await peer.start(settings)
        return peer


@pytest.fixture(autouse=True)
def _no_test_hangs() -> Iterator[None]:
    """A broken client tends to wait for ever: that shall be a failure, and soon."""

    def give_up(*_: object) -> None:
        raise AssertionError("the test hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def network() -> Network:
    return Network()


class Handlers(grpc.GenericRpcHandler):
    """Methods by path; each a grpc handler. Bytes in, bytes out: no protobuf."""

    def __init__(self, methods: dict[str, grpc.RpcMethodHandler]) -> None:
        self._methods = methods

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self._methods.get(details.method)


class GrpcioServer:
    """A grpc.aio server in a thread of its own; start and stop as often as wanted, on one address."""

    def __init__(self, methods: dict[str, grpc.RpcMethodHandler], options: list[tuple[str, Any]], **more: Any) -> None:
        self.address: str = more.pop("address", "127.0.0.1:0")
        self._credentials: grpc.ServerCredentials | None = more.pop("credentials", None)
        self._methods, self._options, self._more = methods, options, more
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: grpc.aio.Server | None = None

    def start(self) -> str:
        self.run(self._start())
        return self.address

    def stop(self, grace: float | None = None) -> None:
        self.run(self._stop(grace))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._server = grpc.aio.server(options=self._options, **self._more)
        self._server.add_generic_rpc_handlers((Handlers(self._methods),))
        if self._credentials is None:
            port = self._server.add_insecure_port(self.address)
        else:
            port = self._server.add_secure_port(self.address, self._credentials)
        if not self.address.startswith("unix:"):
            self.address = f"{self.address.rpartition(':')[0]}:{port}"
        await self._server.start()

    async def _stop(self, grace: float | None) -> None:
        if self._server is not None:
            await self._server.stop(grace)
            self._server = None


@pytest.fixture
def grpcio_server() -> Iterator[Callable[..., GrpcioServer]]:
    """`grpcio_server({"/pkg.Service/Method": handler}, options...)`: running; stopped after the test."""
    servers: list[GrpcioServer] = []

    def make(methods: dict[str, Any], options: list[tuple[str, Any]] | None = None, **more: Any) -> GrpcioServer:
        server = GrpcioServer(methods, options or [], **more)
        server.start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()


class Certificates(NamedTuple):
    ca: Path
    chain: Path
    key: Path

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA and a certificate for localhost, 127.0.0.1 and ::1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    folder = tmp_path_factory.mktemp("certificates")
    now = datetime.datetime.now(datetime.UTC)

    def certificate(name: str, issuer: str, key: Any, signer: Any, *extensions: tuple[Any, bool]) -> Any:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer, hashes.SHA256())

    def write(name: str, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = certificate("ca", "ca", ca_key, ca_key, (x509.BasicConstraints(True, None), True), (ca_identifier, False))
    names = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in ("127.0.0.1", "::1"))]
    leaf = certificate(
        "server",
        "ca",
        key,
        ca_key,
        (x509.SubjectAlternativeName(names), False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_identifier), False),
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Certificates(
        write("ca.pem", ca.public_bytes(pem)), write("chain.pem", leaf.public_bytes(pem)), write("key.pem", private)
    )
