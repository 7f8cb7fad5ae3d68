"""`POST /api/v1/explain`: has a client's proxy send a request, and tells what became of it. README.md documents it.

Owns who may ask, the reading of the question, and the shape of the answer. What is sent is sent as the client, so it
is for those only who ask from the control plane's own side: over its unix socket (mode 0600), or from loopback, where
a port-forward ends (which is `pods/portforward` in the control plane's namespace, and so the cluster's to grant). A pod
that can merely reach the port may not. Nor may a page in the browser of somebody who has a port-forward open.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from tulle_api.v1 import telemetry_pb2 as pb

from tulle_control_plane.core.results import Destination
from tulle_control_plane.core.snapshots import DestinationKey, Snapshots
from tulle_control_plane.grpc.explaining import LONGEST_SECONDS, Accounts, Key, Question

Json: TypeAlias = dict[str, Any]

Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]
Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """The question's body."""

    namespace: Name
    pod: Name
    destination: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    method: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    path: Text
    fields: Annotated[list[tuple[Name, Annotated[str, msgspec.Meta(max_length=8192)]]], msgspec.Meta(max_length=100)]
    seconds: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_SECONDS)] = 10


def permit(request: Request) -> None:
    """Raises HTTPException for those who may not ask."""
    scope = request.scope
    server, client = scope.get("server"), scope.get("client")
    over_socket = server is not None and server[1] is None
    if not over_socket and not (client is not None and _is_loopback(client[0])):
        raise HTTPException(
            403,
            "requests are sent only for those who ask over the control plane's unix socket or from its own pod; "
            "`--control-plane kubernetes[:CONTEXT]` does, through a port-forward",
        )
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if "origin" in request.headers or kind != "application/json":
        raise HTTPException(403, "no browser may ask this: expected application/json, and no Origin")


def _is_loopback(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def question(body: bytes, snapshots: Snapshots) -> Question:
    """Read, with the pods that the request may come to. Raises HTTPException."""
    try:
        asked = msgspec.json.decode(body, type=Asked)
    except msgspec.ValidationError as error:
        raise HTTPException(400, str(error)) from None
    except msgspec.DecodeError as error:
        raise HTTPException(400, f"not JSON: {error}") from None
    request = pb.Send(
        seconds=asked.seconds,
        destination=asked.destination,
        method=asked.method,
        path=asked.path,
        fields=[pb.SentField(name=name, value=value) for name, value in asked.fields],
    )
    return Question((asked.namespace, asked.pod), _servers(snapshots, asked), request)


def _servers(snapshots: Snapshots, asked: Asked) -> list[Key]:
    key = DestinationKey(asked.namespace, asked.destination)
    snapshot = snapshots.watch(key)
    snapshots.release(key)
    if not isinstance(snapshot.result, Destination):
        return []
    return [(one.namespace, one.pod) for backend in snapshot.result.backends for one in backend.endpoints if one.meshed]


def answer(accounts: Accounts) -> Json:
    """As JSON."""
    return {
        "client": _account(accounts.client),
        "servers": [{"namespace": key[0], "pod": key[1], **_account(one)} for key, one in accounts.servers],
        "silent": [{"namespace": key[0], "pod": key[1]} for key in accounts.silent],
    }


_SKIPPED = frozenset({"token", "direction", "steps"})


def _account(account: pb.Account) -> Json:
    return {**_plain(account), "steps": [_plain(step) for step in account.steps]}


def _plain(message: pb.Account | pb.Step) -> Json:
    names: Mapping[str, Any] = message.DESCRIPTOR.fields_by_name
    found = {name: getattr(message, name) for name in names if name not in _SKIPPED}
    return {name: list(value) if name == "notes" else value for name, value in found.items()}
