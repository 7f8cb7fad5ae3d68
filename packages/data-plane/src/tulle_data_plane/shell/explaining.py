"""Explaining: accounts of single requests, for `tulle explain --send`. What the control plane asks for on the stream.

Owns the tokens that this proxy expects, the requests that it sends itself, and their bounds. Loaded when the control
plane asks for the first time.

Nothing here can be used from outside. A token is known to the control plane and to the proxies that it told; one that
nobody expects means nothing, is passed on as any other field, and costs nothing: while no token is expected no request
is looked at for one. An account goes to the control plane, never into an answer. What is expected is bounded in number,
uses and time, and ends with the stream that asked.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import trio
from tulle_api.v1 import discovery_pb2 as discovery
from tulle_api.v1 import telemetry_pb2 as pb
from tulle_plugin_api import Address, Exchange, Failure, Handler, Headers, Response

from tulle_data_plane.destinations import Destinations, parse_address
from tulle_data_plane.host import Host
from tulle_data_plane.logic.account import Account, Step
from tulle_data_plane.shell.relay import Tunnel
from tulle_data_plane.stack import Rejected, Target
from tulle_data_plane.wire import http1
from tulle_data_plane.witness import MARK, Witness

MOST_EXPECTED = 16
"""Tokens at one time. What is asked beyond them is not expected: the control plane sees so by the missing answer."""
MOST_USES = 8
"""Requests with one token: tries of one request come to the same pod."""
MOST_SENT = 4
"""Requests under way that this proxy sends by itself."""
LONGEST_SECONDS = 60
MOST_BODY = 16 * 1024 * 1024
"""Bytes of an answer that are waited for. They are counted, and not kept."""

Tell = Callable[[pb.ReportRequest], None]


class Problem(Exception):
    """The request cannot be sent. Says why, in words for whoever asked."""


@dataclass
class _Expected:
    token: str
    over: trio.Event
    left: int = MOST_USES


class Explaining:
    """One a proxy. `tell` hands a report to the control plane, or drops it where there is no stream."""

    def __init__(self, host: Host, destinations: Destinations, tell: Tell) -> None:
        self._host = host
        self._destinations = destinations
        self._tell = tell
        self._expected: dict[str, _Expected] = {}
        self._sending = 0

    # --- commands, under trio -------------------------------------------------------------------------------

    async def carry_out(self, command: pb.ReportResponse) -> None:
        """One command of the control plane. Returns when it is over; on cancel nothing of it stays."""
        which = command.WhichOneof("command")
        if which == "expect":
            await self._expect(command.expect.token, command.expect.seconds)
        elif which == "forget":
            self._forget(command.forget.token)
        elif which == "send":
            await self._send(command.send)

    async def _expect(self, token: str, seconds: int) -> None:
        if len(self._expected) >= MOST_EXPECTED or token in self._expected or len(token) < 32:
            return
        expected = self._expected[token] = _Expected(token, trio.Event())
        self._look()
        try:
            self._tell(pb.ReportRequest(expecting=[token]))
            with trio.move_on_after(min(seconds, LONGEST_SECONDS)):
                await expected.over.wait()
        finally:
            self._forget(token)

    def _forget(self, token: str) -> None:
        expected = self._expected.pop(token, None)
        if expected is not None:
            expected.over.set()
            self._look()

    def _look(self) -> None:
        self._destinations.look_at_inbound(self._listening if self._expected else None)

    # --- inbound ----------------------------------------------------------------------------------------------

    def _listening(self, target: Target, handler: Handler) -> Handler:
        async def listening(exchange: Exchange) -> Response:
            token = exchange.headers.get(MARK)
            if token is None:
                return await handler(exchange)
            expected = self._known(token)
            if expected is None:
                self._host.count("explain_marks_refused_total")
                return await handler(exchange)
            expected.left -= 1
            exchange.headers.remove(MARK)
            account = Account(exchange, exchange.started)
            witness = Witness(self._host, target, account)
            response: Response | None = None
            try:
                response = await witness.handler(handler)(exchange)
                return response
            finally:
                self._account(token, account, response)

        return listening

    def _known(self, token: str) -> _Expected | None:
        given = token.encode("latin-1")
        found = [each for each in self._expected.values() if hmac.compare_digest(each.token.encode(), given)]
        return found[0] if found and found[0].left > 0 else None

    # --- outbound ---------------------------------------------------------------------------------------------

    async def _send(self, command: pb.Send) -> None:
        try:
            with self._one_more():
                exchange = self._exchange(command)
                await self._host.driver.run(self._through, command, exchange)
        except Problem as problem:
            self._tell(pb.ReportRequest(accounts=[
                pb.Account(token=command.token, direction=pb.DIRECTION_OUTBOUND, problem=str(problem))
            ]))  # fmt: skip

    @contextmanager
    def _one_more(self) -> Iterator[None]:
        if self._sending >= MOST_SENT:
            raise Problem(f"{self._sending} requests are being explained at this proxy already; ask again in a moment")
        self._sending += 1
        try:
            yield
        finally:
            self._sending -= 1

    def _exchange(self, command: pb.Send) -> Exchange:
        """What the codec would make of it, had an application said it. Raises Problem."""
        try:
            block = Headers.of((field.name, field.value) for field in command.fields).block
            line = f"{command.method} {command.path} HTTP/1.1\r\n".encode("ascii")
            limits = self._host.limits
            data = line + block + b"\r\n"
            end = http1.find_head_end(data, 0, limits)
            if end != len(data):
                raise ValueError("the head of a request is longer than the proxy's limit, or ends early")
            head = http1.parse_request(data, limits)
        except (ValueError, http1.ProtocolError) as error:
            raise Problem(f"this is no request that an application could send: {error}") from None
        if head.framing.kind == http1.CHUNKED or head.framing.length or head.upgrade or head.method == "CONNECT":
            raise Problem("only requests without a body are sent, and none that becomes a tunnel")
        exchange = Exchange(Headers(head.block))
        exchange.method, exchange.path, exchange.authority = head.method, head.path, head.authority
        exchange.source = Address(self._host.settings.pod_ip, 0)
        return exchange

    async def _through(self, command: pb.Send, exchange: Exchange) -> None:
        """As a strand. Raises Problem."""
        host = self._host
        try:
            address = parse_address(command.destination)
        except Rejected as error:
            raise Problem(str(error)) from None
        target = await self._destinations.lookup(address)
        if not target.known:
            raise Problem(f"{address} is no destination of the mesh: the connection is passed through as it is")
        opaque = address.port in host.settings.opaque_ports and target.protocol == discovery.PROTOCOL_DETECT
        if opaque or target.protocol not in (discovery.PROTOCOL_DETECT, discovery.PROTOCOL_HTTP1):
            name = discovery.Protocol.Name(target.protocol).removeprefix("PROTOCOL_").lower()
            raise Problem(f"{address} is relayed as bytes ({'opaque port' if opaque else name}): no rule or policy for "
                          "requests holds")  # fmt: skip
        target.users += 1
        try:
            await self._answered(command, exchange, address, target)
        finally:
            target.users -= 1
            target.last_used = host.driver.now()

    async def _answered(self, command: pb.Send, exchange: Exchange, address: Address, target: Target) -> None:
        host = self._host
        exchange.destination, exchange.service = address, target.service
        account = Account(exchange, 0.0)
        handler = Witness(host, target, account, command.token, frozenset(command.expected_at)).handler(target.handler)
        exchange.started = account.began = host.driver.now()  # to look costs a millisecond, which is not the request's
        seconds = min(max(1, command.seconds), LONGEST_SECONDS)
        response: Response | None = None
        problem, version = "", self._destinations.version_of(address)
        try:
            with host.driver.deadline(seconds, _Late()):
                response = await handler(exchange)
                exchange.answered, exchange.status = host.driver.now(), response.status
                exchange.reason = response.reason
                await _drained(exchange, response)
        except _Late:
            exchange.aborted = True
            problem = f"no {'whole ' if response else ''}answer within {seconds} s, which is how long it was waited for"
        except Failure as failure:  # in the answer's body
            exchange.aborted, exchange.reason = True, failure.reason
            problem = f"the answer was broken off: {failure.detail}"
        finally:
            exchange.ended = host.driver.now()
            host.ended(exchange)  # it was a request as any other
            self._account(command.token, account, response, problem, version)

    # --- telling ------------------------------------------------------------------------------------------------

    def _account(
        self, token: str, account: Account, response: Response | None, problem: str = "", version: str = ""
    ) -> None:
        exchange, began, now = account.exchange, account.began, self._host.driver.now()
        inbound = exchange.direction == "inbound"
        message = pb.Account(
            token=token,
            direction=pb.DIRECTION_INBOUND if inbound else pb.DIRECTION_OUTBOUND,
            problem=problem,
            steps=[_step(step, began, now) for step in account.steps],
            status=response.status if response is not None else 0,
            reason=exchange.reason or (response.reason if response is not None else ""),
            route=exchange.route,
            backend=exchange.backend,
            attempts=exchange.attempts,
            answered_us=_us((exchange.answered or now) - began),
            ended_us=_us((exchange.ended or now) - began),
            body_bytes=exchange.response_bytes,
            version=version,
            began_unix_us=_us(time.time() - (now - began)),
            cut=account.cut,
        )
        self._tell(pb.ReportRequest(accounts=[message]))


async def _drained(exchange: Exchange, response: Response) -> None:
    body = response.body
    if isinstance(response, Tunnel):
        response.channel.abort()
        return
    if isinstance(body, bytes):
        exchange.response_bytes = len(body)
        return
    try:
        while exchange.response_bytes < MOST_BODY and (piece := await body.read()):
            exchange.response_bytes += len(piece)
    finally:
        await body.aclose()


def _step(step: Step, began: float, now: float) -> pb.Step:
    endpoint = step.endpoint
    return pb.Step(
        depth=step.depth,
        kind=step.kind,
        name=step.name,
        source=step.source,
        began_us=_us(step.began - began),
        ended_us=_us((step.ended or now) - began),
        outcome=step.outcome,
        status=step.status,
        reason=step.reason,
        detail=step.detail,
        notes=step.notes,
        pod=endpoint.pod if endpoint is not None else "",
        namespace=endpoint.namespace if endpoint is not None else "",
        address=str(endpoint.address) if endpoint is not None else "",
        row=step.row,
    )


def _us(seconds: float) -> int:
    return max(0, round(seconds * 1e6))


class _Late(Exception):
    """No answer in time."""
