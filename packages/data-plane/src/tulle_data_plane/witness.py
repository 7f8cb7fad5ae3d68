"""Witness: a target's handler as one request meets it, with somebody at each layer who notes what becomes of it.

Owns which parts are layers, and what is noted at each that its account cannot see by itself: which endpoint a try is
for and why, whether a connection was kept or new, what a policy counted. How handlers are copied is twin.py's, what a
layer did to the request logic/account.py's. Loaded when the first request is to be explained, never before.

Layers are known by the module and the name of the function that makes them, policies by what made them (Host.named).
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from types import FunctionType, MethodType
from typing import Any

from tulle_plugin_api import Address, Exchange, Handler, Response

from tulle_data_plane.driver import Driver
from tulle_data_plane.host import CrossedRuntime, DriverRuntime, Host
from tulle_data_plane.layers.route import SHARE, Share
from tulle_data_plane.layers.session import PINNED
from tulle_data_plane.logic.account import Account, Step
from tulle_data_plane.shell.channel import Channel
from tulle_data_plane.shell.pool import Pool
from tulle_data_plane.stack import Target
from tulle_data_plane.twin import Chosen, Function, Twins

OURS = "tulle_data_plane"

LAYERS = {
    "layers.rescue.rescue": "rescue",
    "layers.trace.trace": "trace",
    "layers.probe.probe": "probe",
    "layers.route.routed": "match",
    "layers.route.route": "route",
    "layers.session.session": "session",
    "layers.filters.filtered": "filters",
    "layers.filters.redirect": "filter",
    "layers.filters.rewrite": "filter",
    "layers.filters.mirrored": "mirrors",
    "layers.balance.balance": "balance",
    "layers.dial.as_app": "application",
    "layers.dial.dial_http1": "dial",
}
"""What makes a layer -> its kind. In the order of travel, outbound."""

MARK = "tulle-explain"
"""The field that carries the token from the client's proxy to the server's. It never reaches an application."""


@dataclass
class Witness:
    """What is noted of one request. `mark`: the token that tries for pods of `marked` carry ("namespace/pod")."""

    host: Host
    target: Target
    account: Account
    mark: str = ""
    marked: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._twins = Twins(self._around, self._instead, self._is_layered)
        self._tables: list[Chosen] = []

    def handler(self, original: Handler) -> Handler:
        """`original`, with witnesses. For the account's exchange alone; nobody else's is noted."""
        return self._twins.of(original)

    # --- what is copied, and what stands around it ----------------------------------------------------------

    def _is_layered(self, module: str) -> bool:
        return module.startswith(OURS) or bool(self.host.blame.plugin(module))

    def _around(self, original: Function, twin: Function) -> Handler | None:
        named = self._name(original)
        if named is not None:
            return self._seen("policy", *named, twin)
        maker, _, inner = getattr(original, "__qualname__", "").partition(".")
        kind = LAYERS.get(f"{original.__module__}.{maker}".removeprefix(OURS + "."))
        if kind is None or not inner.startswith("<locals>"):
            return None
        if kind in ("filters", "mirrors"):
            return self._filtering(kind, twin)
        return self._seen(kind, maker if kind == "filter" else "", "", twin)

    def _name(self, function: Function) -> tuple[str, str] | None:
        try:
            return self.host.named.get(function)
        except TypeError:  # it cannot be looked up: no weak references to it, or no hash
            return None

    def _instead(self, value: object, module: str) -> object:
        if isinstance(value, Pool):
            return _SeenPool(value, self.account, self.host.driver)
        if isinstance(value, (DriverRuntime, CrossedRuntime)):
            runtime = copy(value)
            runtime.count = self._count  # type: ignore[method-assign]
            return runtime
        if isinstance(value, MethodType) and value.__func__ is Host.count:
            return self._count
        if callable(value) and not isinstance(value, type) and self._is_policy(value, module):
            return self._twins.of(value)
        return value

    def _is_policy(self, value: Any, module: str) -> bool:
        """Whether something that is no function is a policy's handler: what calls it is ours, or knows it as such."""
        if module.startswith(OURS):
            owner = value.__self__ if isinstance(value, MethodType) else value
            return bool(self.host.blame.plugin(type(owner).__module__))
        return self._name(value) is not None

    def _seen(self, kind: str, name: str, source: str, inner: Handler) -> Handler:
        account, now = self.account, self.host.driver.now
        table = _table_in(inner) if kind == "match" else None

        async def seen(exchange: Exchange) -> Response:
            if exchange is not account.exchange:  # a copy, beside the request
                return await inner(exchange)
            a_try = account.within("balance")
            step = account.enter(kind, name, source, now())
            if a_try:
                self._tell_try(step, exchange)
            marked = kind == "dial" and self._put_mark(exchange)
            try:
                response = await inner(exchange)
            except BaseException as error:
                account.failed(step, error, now())
                raise
            finally:
                if marked:
                    exchange.headers.remove(MARK)
                if table is not None and table.taken is not None:
                    step.row = table.taken + 1
                if kind in ("route", "session"):
                    step.note(f"{exchange.route or 'no route'}: backend {exchange.backend or 'none'}")
            account.answered(step, response, now())
            return response

        return seen

    def _filtering(self, kind: str, inner: Handler) -> Handler:
        """Those are found through the exchange, not through a closure."""
        account = self.account
        seen = self._seen(kind, "", "", inner)

        async def filtering(exchange: Exchange) -> Response:
            share = exchange.attributes.get(SHARE)
            if exchange is not account.exchange or not isinstance(share, Share):
                return await inner(exchange)
            has = share.filters if kind == "filters" else share.mirrors
            if has is None:
                return await inner(exchange)
            looked_at = self._twins.of(has)
            exchange.attributes[SHARE] = (
                replace(share, filters=looked_at) if kind == "filters" else replace(share, mirrors=looked_at)
            )
            try:
                return await seen(exchange)
            finally:
                exchange.attributes[SHARE] = share

        return filtering

    # --- what is noted besides --------------------------------------------------------------------------------

    def _count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        said = "".join(f", {key} {value}" for key, value in labels.items())
        self.account.note(f"counted {name}{said}")
        self.host.count(name, amount, **labels)

    def _put_mark(self, exchange: Exchange) -> bool:
        endpoint = exchange.endpoint
        if not self.mark or endpoint is None or f"{endpoint.namespace}/{endpoint.pod}" not in self.marked:
            return False
        exchange.headers.set(MARK, self.mark)
        return True

    def _tell_try(self, step: Step, exchange: Exchange) -> None:
        """Which endpoint, and among which it was picked."""
        endpoint, backend = exchange.endpoint, self.target.backends.get(exchange.backend)
        step.endpoint = endpoint
        if endpoint is None or backend is None:
            return
        now = self.host.driver.now()
        away = sum(backend.ejections.ejected(each, now) for each in backend.endpoints)
        how = f"{self.target.balancer[0]}, of {len(backend.endpoints)}"
        how += f"; {away} ejected" if away else ""
        had = [each for each in exchange.avoid if each in backend.endpoints]
        how += f"; {len(had)} had had their try" if had else ""
        if exchange.attributes.get(PINNED) == endpoint:
            how = "its session's"
        step.note(f"{endpoint.namespace}/{endpoint.pod or '-'} at {endpoint.address} ({how})")


def _table_in(function: Function) -> Chosen | None:
    """The rules that a copy of `routed` chooses among."""
    cells = function.__closure__ or () if isinstance(function, FunctionType) else ()
    return next((cell.cell_contents for cell in cells if isinstance(cell.cell_contents, Chosen)), None)


class _SeenPool(Pool):
    """A pool, as the request finds it."""

    def __init__(self, pool: Pool, account: Account, driver: Driver) -> None:
        # of a pool it has nothing of its own, so that what is not overridden would fail, and not lead elsewhere
        self._pool, self._account, self._clock = pool, account, driver
        self._took = False

    def take(self, address: Address) -> Channel | None:
        """As Pool.take."""
        kept = self._pool.take(address)
        self._took = kept is not None
        if self._took:
            self._account.note("over a kept connection")
        return kept

    async def connect(self, address: Address) -> Channel:
        """As Pool.connect."""
        if self._took:
            self._account.note("which had ended just then: sent again on a new one")
        began = self._clock.now()
        try:
            channel = await self._pool.connect(address)
        except BaseException:
            self._account.note(f"no connection after {(self._clock.now() - began) * 1000:.1f} ms")
            raise
        self._account.note(f"over a new connection, made in {(self._clock.now() - began) * 1000:.1f} ms")
        return channel

    def give_back(self, channel: Channel) -> None:
        """As Pool.give_back."""
        self._pool.give_back(channel)
