"""Rotation in a running server: real TLS on loopback, one context all the time; sinks that fail."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from tulle_admission_controller.keyring import Keyring, Lifetimes
from tulle_admission_controller.rotation import Rotation
from tulle_admission_controller.sinks import FileSink, NoSink

NAME = "localhost"
LIFETIMES = Lifetimes(timedelta(days=30), timedelta(hours=24), timedelta(0))


class Sink:
    """Keeps what was published; fails as often as it is told to."""

    recheck_seconds = float("inf")

    def __init__(self, failures=0):
        self.failures, self.bundles = failures, []

    async def publish(self, bundle):
        if self.failures:
            self.failures -= 1
            raise OSError("disk full")
        self.bundles.append(bundle)


class Clock:
    def __init__(self):
        # as long ago as tests then go forward: TLS looks at the real clock
        self.now = datetime.now(UTC) - timedelta(hours=16)

    def __call__(self):
        return self.now


def rotation(sink, clock):
    return Rotation(Keyring([NAME], LIFETIMES, clock()), sink, clock)


async def served_by(context):
    async def echo(reader, writer):
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    return await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)


async def connect(server, bundle):
    context = ssl.create_default_context(cadata=bundle.decode())
    port = server.sockets[0].getsockname()[1]
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)


def serial(writer):
    return x509.load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(True)).serial_number


async def echoes(reader, writer):
    writer.write(b"ping")
    return await reader.readexactly(4) == b"ping"


def test_old_connections_live_and_new_handshakes_see_the_new_certificate():
    async def scenario():
        sink, clock = Sink(), Clock()
        rotating = rotation(sink, clock)
        await rotating.rotate()
        server = await served_by(rotating.context)
        old = await connect(server, sink.bundles[-1])
        first = rotating.keyring.leaf.certificate.serial_number
        assert serial(old[1]) == first
        context = rotating.context

        clock.now += timedelta(hours=16)
        await rotating.rotate()
        second = rotating.keyring.leaf.certificate.serial_number
        assert second != first
        assert rotating.context is context
        new = await connect(server, sink.bundles[-1])
        assert serial(new[1]) == second
        assert await echoes(*old)
        assert serial(old[1]) == first
        assert len(sink.bundles) == 1  # the authority is the same, so the bundle is

        await rotating.rotate(renew=True)  # a second authority, published before it signs
        assert len(x509.load_pem_x509_certificates(sink.bundles[-1])) == 2
        await rotating.rotate(renew=True)
        assert len(x509.load_pem_x509_certificates(sink.bundles[-1])) == 1
        newest = await connect(server, sink.bundles[-1])
        overlap = await connect(server, sink.bundles[-2])
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(server, sink.bundles[0])
        for each in (old, new, newest, overlap):
            assert await echoes(*each)
            each[1].close()
        server.close()
        await server.wait_closed()

    asyncio.run(scenario())


def test_a_failing_sink_is_tried_again_and_the_certificate_serves_on():
    async def scenario():
        sink, clock = Sink(failures=1), Clock()
        rotating = rotation(sink, clock)
        with pytest.raises(OSError, match="disk full"):
            await rotating.rotate()
        assert not rotating.is_published
        await rotating.rotate()
        assert rotating.is_published

        sink.failures = 1
        before = rotating.keyring.leaf
        with pytest.raises(OSError, match="disk full"):
            await rotating.rotate(renew=True)
        issuer = rotating.keyring.authorities[0].serial
        assert rotating.keyring.leaf.issuer == before.issuer == issuer  # what was not published does not sign
        await rotating.rotate(renew=True)
        assert rotating.keyring.leaf.issuer == issuer
        assert len(sink.bundles) == 2

    asyncio.run(scenario())


def test_the_loop_retries_by_itself_and_renews_when_asked(monkeypatch):
    monkeypatch.setattr("tulle_admission_controller.rotation._RETRY_SECONDS", (0.0,))

    async def scenario():
        sink, clock = Sink(failures=3), Clock()
        rotating = rotation(sink, clock)
        published = asyncio.Queue()
        publish = sink.publish

        async def observed(bundle):
            await publish(bundle)
            published.put_nowait(bundle)

        sink.publish = observed
        running = asyncio.create_task(rotating.run())
        await published.get()
        assert sink.failures == 0
        rotating.renew_now()
        bundle = await published.get()
        assert len(x509.load_pem_x509_certificates(bundle)) == 2
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled()

    asyncio.run(scenario())


def test_the_file_is_replaced_whole_and_left_alone_on_failure(tmp_path, monkeypatch):
    path = tmp_path / "new" / "ca.pem"
    sink = FileSink(path)
    asyncio.run(sink.publish(b"first"))
    assert path.read_bytes() == b"first"
    assert path.stat().st_mode & 0o777 == 0o644
    with path.open("rb") as reader:  # a reader in mid-read keeps the old one, whole
        asyncio.run(sink.publish(b"second"))
        assert reader.read() == b"first"
    assert path.read_bytes() == b"second"

    def fails(*_):
        raise OSError("no")

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(OSError, match="no"):
        asyncio.run(sink.publish(b"third"))
    assert path.read_bytes() == b"second"
    assert [each.name for each in path.parent.iterdir()] == ["ca.pem"]


def test_no_sink_takes_anything():
    asyncio.run(NoSink().publish(b"bundle"))


def test_what_somebody_took_away_is_put_back():
    async def main():
        sink, clock = Sink(), Clock()
        sink.recheck_seconds = 30.0
        rotating = rotation(sink, clock)
        await rotating.rotate()
        clock.now += timedelta(seconds=29)
        await rotating.rotate()
        assert len(sink.bundles) == 1
        clock.now += timedelta(seconds=1)
        await rotating.rotate()
        assert sink.bundles == [rotating.keyring.bundle] * 2

    asyncio.run(main())
