"""Locations: the paths and URLs that redirects and rewrites make.

Owns the Gateway API's tables for them (HTTPPathModifier, HTTPRequestRedirectFilter). The query of a request stays.
"""

from __future__ import annotations

from collections.abc import Callable

from tulle_api.v1 import discovery_pb2 as pb

PORTS = {"http": 80, "https": 443}


def path_editor(edit: pb.PathEdit) -> Callable[[str], str] | None:
    """A function from a request's path (with its query) to the new one; None where it stays."""
    kind = edit.WhichOneof("kind")
    if kind is None:
        return None
    if kind == "full":
        full = edit.full or "/"

        def whole(path: str) -> str:
            bare, mark, query = path.partition("?")
            return full + mark + query if bare.startswith("/") else path  # OPTIONS *, CONNECT: there is no path

        return whole
    # "matches full path elements": a slash at the end of either says nothing
    cut, instead = len(edit.prefix.removesuffix("/")), edit.replacement.removesuffix("/")

    def prefix(path: str) -> str:
        bare, mark, query = path.partition("?")
        if not bare.startswith("/"):
            return path
        changed = instead + bare[cut:]
        return (changed if changed.startswith("/") else "/" + changed) + mark + query

    return prefix


def location(redirect: pb.Redirect, authority: str, path: str, listener: int) -> str:
    """The Location of a redirect. `authority`: the request's; `path`: already edited; `listener`: the Service's port.

    Port: the one that is given; else the scheme's own, where one is given; else the listener's. It is left out where
    it is the scheme's own.
    """
    scheme = redirect.scheme or "http"
    host = redirect.hostname or _host(authority)
    port = redirect.port or (PORTS.get(redirect.scheme, listener) if redirect.scheme else listener)
    shown = "" if PORTS.get(scheme) == port else f":{port}"
    return f"{scheme}://{host}{shown}{path if path.startswith('/') else '/'}"


def _host(authority: str) -> str:
    host, colon, port = authority.rpartition(":")
    return host if colon and (port.isdigit() or not port) and not host.endswith(":") else authority
