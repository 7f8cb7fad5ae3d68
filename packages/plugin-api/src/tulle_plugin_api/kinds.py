"""Kinds: exchanges that are alike in all that repeats, such as where they went and how they ended.

Owns what makes two exchanges alike. A busy proxy sees the same few kinds over and over; what an exporter works out from
these fields (a series to count in, a piece of a log line) it can work out once: see `Exporter.observer`.
"""

from __future__ import annotations

from typing import TypeAlias

from tulle_plugin_api.exchange import NOWHERE, Exchange

Kind: TypeAlias = tuple[object, ...]
"""Only strings, numbers and tuples of them, whose hashes cost no call in Python."""


def kind(exchange: Exchange) -> Kind:
    """Of an exchange that has ended. Nothing that a client chooses freely is in it: no path, host, method or port."""
    endpoint, service = exchange.endpoint, exchange.service
    return (
        exchange.status,
        exchange.reason,
        exchange.aborted,
        exchange.direction,
        exchange.protocol,
        exchange.destination,
        service.authority if service is not None else None,
        exchange.route,
        exchange.backend,
        endpoint.address if endpoint is not None else NOWHERE,
        endpoint.pod if endpoint is not None else None,
        exchange.source_identity,
        exchange.secured,
        exchange.attempts,
    )
