"""`tulle explain --send`: one request, sent by its client's proxy, and what became of it in both proxies.

Owns the questions under way: their tokens, which proxies were told of them, and what those answered. telemetry.py
carries commands and answers. Refuses to know what an account says: that is for whoever asked.

    ask -> Expect to the proxies of the endpoints -> they say that they do -> Send to the client's proxy
        -> its account, and those of the pods that it tried -> Forget

A token is made for each question and dies with it. What is told without having been asked (another token, another
proxy) is thrown away; so is what is too much.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tulle_api.v1 import telemetry_pb2 as pb

Key: TypeAlias = tuple[str, str]
"""Namespace and name of a pod."""

EXPECT_WITHIN = 1.0
"""Seconds in which a proxy says that it expects a token; one that does not is left out."""
ACCOUNT_WITHIN = 2.0
"""Seconds after a request's own time, or after the client's account, in which the others come."""
LONGEST_SECONDS = 30
MOST_QUESTIONS = 8
MOST_SERVERS = 500
"""Proxies that are told of one token."""
MOST_COMMANDS = 64
"""Commands that wait for a proxy which does not read."""
MOST_ACCOUNTS = 32
"""Of one proxy, for one question."""


class Unanswerable(Exception):
    """The question cannot be answered. `status`: of the HTTP API."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Question:
    """`client` sends `request`, which may come to `servers`. Of `request` the token and `expected_at` are filled in."""

    client: Key
    servers: Sequence[Key]
    request: pb.Send


@dataclass
class Accounts:
    """What the proxies told. `silent`: those of the tried pods that have one and told nothing."""

    client: pb.Account
    servers: list[tuple[Key, pb.Account]]
    silent: list[Key]


@dataclass
class _Open:
    """A question under way."""

    client: Key
    asked: frozenset[Key]
    expecting: set[Key] = field(default_factory=set)
    sent: pb.Account | None = None
    received: list[tuple[Key, pb.Account]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Explaining:
    """See the module's docstring. Used from one event loop."""

    def __init__(self) -> None:
        self._lines: dict[Key, asyncio.Queue[pb.ReportResponse]] = {}
        self._open: dict[str, _Open] = {}

    # --- the proxies -----------------------------------------------------------------------------------------

    def connect(self, key: Key) -> asyncio.Queue[pb.ReportResponse]:
        """A proxy's telemetry stream began: what is put into the queue is for it."""
        line = self._lines[key] = asyncio.Queue(MOST_COMMANDS)
        return line

    def disconnect(self, key: Key, line: asyncio.Queue[pb.ReportResponse]) -> None:
        """It ended."""
        if self._lines.get(key) is line:  # else it has come back already
            del self._lines[key]

    def take(self, key: Key, report: pb.ReportRequest) -> bool:
        """What a proxy told at once; False: it is an ordinary report."""
        if not report.accounts and not report.expecting:
            return False
        for token in report.expecting[:MOST_QUESTIONS]:
            question = self._open.get(token)
            if question is not None and key in question.asked:
                question.expecting.add(key)
                question.changed.set()
        for account in report.accounts[:MOST_ACCOUNTS]:
            question = self._open.get(account.token)
            if question is None:
                continue
            if account.direction == pb.DIRECTION_OUTBOUND and key == question.client and question.sent is None:
                question.sent = account
            elif (
                account.direction == pb.DIRECTION_INBOUND
                and key in question.asked
                and sum(one == key for one, _ in question.received) < MOST_ACCOUNTS
            ):
                question.received.append((key, account))
            question.changed.set()
        return True

    def _tell(self, key: Key, command: pb.ReportResponse) -> bool:
        line = self._lines.get(key)
        if line is None or line.full():
            return False
        line.put_nowait(command)
        return True

    # --- who asks ---------------------------------------------------------------------------------------------

    async def ask(self, asked: Question) -> Accounts:
        """Have the request sent. Raises Unanswerable."""
        if len(self._open) >= MOST_QUESTIONS:
            raise Unanswerable(429, f"{MOST_QUESTIONS} requests are being explained already; ask again in a moment")
        where = "/".join(asked.client)
        token, seconds = secrets.token_hex(16), asked.request.seconds
        told = list(dict.fromkeys(key for key in asked.servers if key in self._lines))[:MOST_SERVERS]
        question = self._open[token] = _Open(asked.client, frozenset(told))
        patience = round(seconds + EXPECT_WITHIN + 2 * ACCOUNT_WITHIN)
        try:
            for key in told:
                self._tell(key, pb.ReportResponse(expect=pb.Expect(token=token, seconds=patience)))
            await _until(question, lambda: question.expecting >= question.asked, EXPECT_WITHIN)
            request = pb.Send()
            request.CopyFrom(asked.request)
            request.token = token
            request.expected_at.extend("/".join(key) for key in sorted(question.expecting))
            if not self._tell(asked.client, pb.ReportResponse(send=request)):
                raise Unanswerable(
                    409, f"the proxy of {where} has no telemetry stream, on which it would be told to send; is it new?"
                )
            await _until(question, lambda: question.sent is not None, seconds + ACCOUNT_WITHIN)
            if question.sent is None:
                raise Unanswerable(
                    504, f"the proxy of {where} did not say within {seconds + ACCOUNT_WITHIN:g} s what became of the "
                    "request: it has stopped, or is of an older version"
                )  # fmt: skip
            sent = question.sent
            await _until(question, lambda: not _missing(question, sent), ACCOUNT_WITHIN)
            return Accounts(sent, sorted(question.received, key=lambda one: one[1].began_unix_us),
                            _missing(question, sent))  # fmt: skip
        finally:
            del self._open[token]
            for key in told:
                self._tell(key, pb.ReportResponse(forget=pb.Forget(token=token)))


def _missing(question: _Open, sent: pb.Account) -> list[Key]:
    """Pods that answered a try, whose proxies know of the question, and have told of fewer than that."""
    tried = [(step.namespace, step.pod) for step in sent.steps if step.pod and step.status]
    told = [key for key, _ in question.received]
    return [key for key in dict.fromkeys(tried) if key in question.expecting and told.count(key) < tried.count(key)]


async def _until(question: _Open, holds: Callable[[], bool], seconds: float) -> None:
    """Until `holds`, or the time is over."""
    try:
        async with asyncio.timeout(seconds):
            while not holds():
                question.changed.clear()
                await question.changed.wait()
    except TimeoutError:
        pass
