"""A TLS stage as the seam wants it: `async (Channel) -> Channel`, over ssl's memory BIOs. Test code, and the proof
that mutual TLS can go in without a change to codecs, pools or relays.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class TlsChannel:
    """A tulle_data_plane.shell.channel.Channel: TLS over another one."""

    secured = True

    def __init__(self, plain, context):
        self.plain, self.peer, self.identity = plain, plain.peer, ""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    @property
    def patience(self):
        return self.plain.patience

    @patience.setter
    def patience(self, seconds):
        self.plain.patience = seconds

    async def handshake(self):
        await self._do(self.tls.do_handshake)
        certificate = self.tls.getpeercert()
        names = (certificate or {}).get("subjectAltName", ())
        self.identity = next((value for kind, value in names if kind == "URI"), "")

    async def _do(self, operation, *args):
        """Run one operation of the TLS object, fetching what it wants."""
        while True:
            try:
                result = operation(*args)
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self.plain.recv()
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            else:
                await self._flush()
                return result

    async def ask(self, data):
        await self.send_all(data)
        return await self.recv()

    async def _flush(self):
        if self.outgoing.pending:
            await self.plain.send_all(self.outgoing.read())

    async def recv(self, size=65536):
        try:
            return await self._do(self.tls.read, size)
        except ssl.SSLZeroReturnError:
            return b""  # close_notify: an orderly end. The end of TCP without one is SSLEOFError, an OSError

    async def send_all(self, data):
        view = memoryview(data)
        while view:
            view = view[await self._do(self.tls.write, view[: 1 << 14]) :]

    def send_eof(self):
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # it wants the peer's close_notify; ours is written
        self.plain.socket.send(self.outgoing.read())
        self.plain.send_eof()

    def stale(self):
        return bool(self.tls.pending()) or self.plain.stale()

    def close(self):
        if not self.plain.watch.closed:
            try:
                self.send_eof()
            except OSError:
                pass
        self.plain.close()

    def abort(self):
        self.plain.abort()


def stage(context):
    """The stage: give it to `Proxy(stages={"inbound": ...})`."""

    async def secure(plain):
        channel = TlsChannel(plain, context)
        await channel.handshake()
        return channel

    return secure


def authority():
    """(key, certificate) of a CA that nobody else trusts."""
    return _certificate("tulle test CA", None)


def issue(ca, folder: Path, name: str, uri: str | None = None) -> tuple[str, str]:
    """Paths of a certificate for 127.0.0.1 (and `uri`) and its key, in one file each."""
    key, certificate = _certificate(name, ca, uri)
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(paths[0]), str(paths[1])


def pem(ca) -> str:
    """A CA's certificate, for `load_verify_locations(cadata=...)`."""
    return ca[1].public_bytes(serialization.Encoding.PEM).decode()


def _certificate(name, ca, uri=None):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if ca is None else ca[1].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True)
    )
    if ca is not None:
        names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        if uri:
            names.append(x509.UniformResourceIdentifier(uri))
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return key, builder.sign(key if ca is None else ca[0], hashes.SHA256())
