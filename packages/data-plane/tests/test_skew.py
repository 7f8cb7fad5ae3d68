"""A control plane of another version: what it says beyond what this proxy knows is passed over, never half understood.

tests/integration/test_skew.py runs the programs of two versions against each other.
"""

import pytest
from tulle_api.v1 import discovery_pb2 as pb
from tulle_testkit import http_upstream

pytestmark = pytest.mark.trio

NEWER = (b"\xc0\xbb\x07\x2a", b"\xca\xbb\x07\x03new", b"\xcd\xbb\x07\x01\x02\x03\x04")
"""Fields 15288 (varint), 15289 (bytes) and 15289 (32 bits, as if its type had changed): in no message of ours."""


def of_a_newer_version(message):
    """The message as it would arrive with fields of a later version in it, at every level."""

    def add(each):
        for descriptor, value in each.ListFields():
            if descriptor.message_type is not None and not descriptor.message_type.GetOptions().map_entry:
                for part in value if descriptor.is_repeated else [value]:
                    if hasattr(part, "ListFields"):
                        add(part)
        for field in NEWER:
            each.MergeFromString(field)

    changed = type(message)()
    changed.CopyFrom(message)
    add(changed)
    wire = changed.SerializeToString()
    assert len(wire) >= len(message.SerializeToString()) + sum(map(len, NEWER))
    return type(message).FromString(wire)


async def test_fields_of_a_later_version_are_passed_over_at_every_level(harness, mesh):
    async with mesh(harness.plugins()) as m, http_upstream() as one, http_upstream() as two:
        places = {"default/app-b:80": [("127.0.0.1", one.port)], "default/app-b2:80": [("127.0.0.1", two.port)]}
        to_two = pb.Route(name="default/r/0", backends=[pb.WeightedBackend(backend="default/app-b2:80", weight=1)])
        known = harness.destination(
            harness.VIP, places, routes=[to_two],
            matches=[pb.RouteMatch(path=pb.PathMatch(type=pb.MATCH_TYPE_PREFIX, value="/cart"))],
        )  # fmt: skip
        await m.apply(of_a_newer_version(known))
        async with m.client() as client:
            assert (await client.get("/cart")).status == 200
            assert (await client.get("/")).status == 404
        assert (len(one.requests), len(two.requests)) == (0, 1)


async def test_a_filter_of_a_later_version_is_refused_and_what_was_in_force_stays(harness, mesh):
    """To pass over a filter would be to serve a request that it should have changed, or stopped."""
    newer = pb.Filter.FromString(b"\xca\xbb\x07\x00")  # only a kind that this version does not know
    assert newer.WhichOneof("kind") is None
    async with mesh(harness.plugins()) as m, http_upstream() as one:
        await m.service(harness.VIP, one.port)
        with pytest.raises(harness.Rejected, match="a filter that this proxy does not know"):
            shares = [pb.WeightedBackend(backend="default/app-b:80", weight=1)]
            route = pb.Route(name="default/r/0", backends=shares, filters=[newer])
            await m.service(harness.VIP, one.port, routes=[route], matches=[pb.RouteMatch()])
        async with m.client() as client:
            assert (await client.get("/")).status == 200


async def test_what_an_earlier_version_does_not_say_has_a_default(harness, mesh):
    """Only the fields that the first version had: an address, that it is known, a backend with an endpoint."""
    async with mesh(harness.plugins()) as m, http_upstream() as one:
        endpoint = pb.Endpoint(address="127.0.0.1", port=one.port)
        backend = pb.Backend(name="default/app-b:80", resolved=True, endpoints=[endpoint])
        await m.apply(pb.Destination(address=str(harness.VIP), known=True, backends=[backend]))
        async with m.client() as client:
            assert (await client.get("/")).status == 200
        assert len(one.requests) == 1


@pytest.mark.parametrize("where", ["path", "headers", "query"])
async def test_a_match_of_a_later_version_is_refused(harness, mesh, where):
    match = pb.RouteMatch()
    if where == "path":
        match.path.MergeFrom(pb.PathMatch(type=9, value="/cart"))
    else:
        getattr(match, where).append(pb.ValueMatch(name="x-cart", type=9, value="1"))
    async with mesh(harness.plugins()) as m, http_upstream() as one:
        await m.service(harness.VIP, one.port)
        route = pb.Route(name="default/r/0", backends=[pb.WeightedBackend(backend="default/app-b:80", weight=1)])
        with pytest.raises(harness.Rejected):
            await m.service(harness.VIP, one.port, routes=[route], matches=[match])
        async with m.client() as client:
            assert (await client.get("/")).status == 200
