"""The request target: its four forms (RFC 9112 section 3.2) reduced to a path and an authority.

Owns the agreement between target and Host. Refuses to know other fields.
"""

from __future__ import annotations

import re

from tulle_data_plane.wire.errors import ProtocolError, quote
from tulle_data_plane.wire.grammar import AUTHORITY

# RFC 9112 section 3.2.2: absolute-form; the authority ends where path or query begin.
_ABSOLUTE = re.compile(r"(https?)://([^/?]*+)(.*+)", re.IGNORECASE)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def authority_of_host(host: bytes) -> str:
    """The value of Host (lower case), checked. May be empty (RFC 9110 section 7.2)."""
    if not AUTHORITY.fullmatch(host):
        raise ProtocolError("bad-host", f"not a host and a port up to 65535: {quote(host)}")
    return host.decode("ascii")


def resolve(method: str, target: str, host: str | None) -> tuple[str, str]:
    """(path, authority) of a target; `host` is the checked Host, None if there was none. Raises ProtocolError."""
    if target[0] == "/" and method != "CONNECT":
        return target, host or ""  # origin-form, section 3.2.1: nearly all
    if method == "CONNECT":  # authority-form, section 3.2.3: nothing else is allowed for CONNECT
        authority = _authority_of_target(target)
        if not authority.rpartition(":")[2].isdigit() or authority.startswith(":"):
            raise ProtocolError("bad-target", f"CONNECT needs host:port, got {target!r}")
        _agree(authority, host, authority.rpartition(":")[2])
        return "", authority
    if target == "*":  # asterisk-form, section 3.2.4: only for OPTIONS
        if method != "OPTIONS":
            raise ProtocolError("bad-target", f"'*' is for OPTIONS only, not {method}")
        return target, host or ""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise ProtocolError("bad-target", f"neither a path, nor http(s)://, nor '*': {target[:60]!r}")
    scheme, raw, rest = absolute.groups()
    authority = _authority_of_target(raw)
    if not authority or authority.startswith(":"):  # RFC 9110 section 4.2.1: an empty host is invalid
        raise ProtocolError("bad-target", f"no host in {target[:60]!r}")
    _agree(authority, host, _DEFAULT_PORTS[scheme.lower()])
    if not rest:
        return ("*" if method == "OPTIONS" else "/"), authority  # section 3.2.4
    return (rest if rest[0] == "/" else "/" + rest), authority


def _authority_of_target(raw: str) -> str:
    try:
        return authority_of_host(raw.lower().encode("ascii"))
    except ProtocolError as error:
        raise ProtocolError("bad-target", error.detail) from None


def _agree(authority: str, host: str | None, default_port: str) -> None:
    """RFC 9112 section 3.2.2 says that the target wins over Host. A client that means it sends both alike; where they
    differ, somebody behind us might believe the other one, so we refuse."""
    if host is not None and _with_port(host, default_port) != _with_port(authority, default_port):
        raise ProtocolError("bad-host", f"the target says {authority!r}, Host says {host!r}")


def _with_port(authority: str, default: str) -> str:
    """The authority with its port written out: "a" and "a:" are "a:80" in http (RFC 9110 section 4.2.3)."""
    host, colon, port = authority.rpartition(":")
    if not colon or "]" in port:
        return f"{authority}:{default}"
    return f"{host}:{port or default}"
