"""One CA bundle for several replicas: who is in it, and who goes. Pure.

Each replica has an authority of its own, whose key never leaves it, and adds its certificates to what is there: the
API server, which may be sent to any replica, then trusts them all. What has expired goes; of the rest the newest stay,
since replicas that ended cannot take theirs out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

MOST = 24
"""Certificates in a bundle. Fewer than this many replicas may start within one authority's lifetime of each other."""


def merged(present: bytes, own: bytes, now: datetime) -> bytes:
    """`present` with `own` in it, each PEM, ours first; the same bytes as `present` where nothing has to change.

    What is in `present` and is no certificate is left out; an authority of somebody else stays while it is valid.
    """
    mine = x509.load_pem_x509_certificates(own)
    known = {_fingerprint(each) for each in mine}
    others = [each for each in _parsed(present) if each.not_valid_after_utc > now and _fingerprint(each) not in known]
    others.sort(key=lambda each: each.not_valid_before_utc, reverse=True)
    kept = [*mine, *others[: max(0, MOST - len(mine))]]
    if {_fingerprint(each) for each in kept} == {_fingerprint(each) for each in _parsed(present)}:
        return present
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in kept)


def _parsed(bundle: bytes) -> Iterable[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return []


def _fingerprint(certificate: x509.Certificate) -> bytes:
    return certificate.fingerprint(hashes.SHA256())
