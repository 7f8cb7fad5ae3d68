"""X.509 for the webhook: an authority of our own and the leaf certificate that it signs (RFC 5280).

Makes and names certificates for a given time; decides nothing about when (`keyring.py`) and stores nothing.
ECDSA P-256, which every TLS 1.3 peer has to know (RFC 8446 section 9.1).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BACKDATED = timedelta(minutes=5)
"""Certificates begin this much before now, for an API server whose clock is behind ours."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA certificate with its key. The key stays in this process and goes when it ends."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    made: datetime

    @property
    def serial(self) -> int:
        """Its serial number: how leaves name their issuer here."""
        return self.certificate.serial_number

    @property
    def pem(self) -> bytes:
        """The certificate, for a CA bundle."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True, slots=True)
class Leaf:
    """The server's certificate and key, and the serial number of the authority that signed it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    made: datetime
    issuer: int

    @property
    def pem(self) -> bytes:
        """Key and certificate in one PEM, as `SSLContext.load_cert_chain` reads it. Secret."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key + self.certificate.public_bytes(serialization.Encoding.PEM)


def make_authority(now: datetime, lifetime: timedelta) -> Authority:
    """A self-signed CA that may sign leaves and nothing else (pathlen 0), valid from `now` for `lifetime`."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # the serial in the name: two authorities in one bundle are then never taken for each other
    name = _name(f"tulle-admission-controller CA {serial:x}"[:64])
    builder = (
        _builder(name, name, serial, key.public_key(), now, now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return Authority(builder.sign(key, hashes.SHA256()), key, now)


def make_leaf(authority: Authority, names: Sequence[str], now: datetime, lifetime: timedelta) -> Leaf:
    """A server certificate for DNS names and IP addresses; it never outlives the authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    end = min(now + lifetime, authority.certificate.not_valid_after_utc)
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    serial = x509.random_serial_number()
    builder = (
        _builder(_name("tulle-admission-controller"), authority.certificate.subject, serial, key.public_key(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_key, critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
    )
    return Leaf(builder.sign(authority.key, hashes.SHA256()), key, now, authority.serial)


def _builder(
    subject: x509.Name, issuer: x509.Name, serial: int, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
