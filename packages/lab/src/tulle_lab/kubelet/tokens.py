"""Service-account tokens: JSON Web Tokens (RFC 7519) that say which pod's account the bearer is.

Owns their claims, signature and check. Signed with HS256 and a key of the lab: fine here, where issuer and verifier
are one machine; a real API server signs with a private key, and verifiers ask it (TokenReview) or its public keys.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from tulle_lab.cluster.objects import Object

ISSUER = "https://kubernetes.default.svc.cluster.local"
DEFAULT_AUDIENCE = ISSUER


class BadToken(Exception):
    """The token is not to be believed; the reason."""


@dataclass(frozen=True)
class Bearer:
    """Who a verified token speaks for."""

    namespace: str
    service_account: str
    pod: str
    audiences: tuple[str, ...]


def issue(key: bytes, pod: Object, account: Object, audience: str, lifetime: float, now: float) -> str:
    """A token for `pod`'s service account, valid for `lifetime` seconds from `now`."""
    metadata = pod["metadata"]
    namespace, name = metadata["namespace"], account["metadata"]["name"]
    claims = {
        "iss": ISSUER,
        "sub": f"system:serviceaccount:{namespace}:{name}",
        "aud": [audience],
        "iat": int(now),
        "nbf": int(now),
        "exp": int(now + lifetime),
        "kubernetes.io": {
            "namespace": namespace,
            "pod": {"name": metadata["name"], "uid": metadata["uid"]},
            "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
        },
    }
    head = _encode({"alg": "HS256", "typ": "JWT"})
    body = _encode(claims)
    return f"{head}.{body}.{_sign(key, head, body)}"


def verify(key: bytes, token: str, audience: str, now: float) -> Bearer:
    """Who the token speaks for. Raises BadToken: wrong signature, audience, issuer, or time."""
    try:
        head, body, signature = token.split(".")
        header, claims = _decode(head), _decode(body)
    except ValueError as error:
        raise BadToken("not a JSON Web Token") from error
    if header.get("alg") != "HS256":  # never trust the header's choice (RFC 8725 section 3.1)
        raise BadToken(f"signed with {header.get('alg')!r}, expected HS256")
    if not hmac.compare_digest(signature, _sign(key, head, body)):
        raise BadToken("the signature is not this lab's")
    if claims.get("iss") != ISSUER:
        raise BadToken(f"issued by {claims.get('iss')!r}")
    if audience not in claims["aud"]:
        raise BadToken(f"meant for {claims['aud']}, not for {audience!r}")
    if not claims["nbf"] <= now < claims["exp"]:
        raise BadToken("expired" if now >= claims["exp"] else "not yet valid")
    details = claims["kubernetes.io"]
    return Bearer(details["namespace"], details["serviceaccount"]["name"], details["pod"]["name"], tuple(claims["aud"]))


def _sign(key: bytes, head: str, body: str) -> str:
    return _base64(hmac.new(key, f"{head}.{body}".encode(), hashlib.sha256).digest())


def _encode(value: Any) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> dict[str, Any]:
    value = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
