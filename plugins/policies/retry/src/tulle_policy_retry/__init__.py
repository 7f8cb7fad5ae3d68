"""Retry: sends a request again that failed, elsewhere if it can, while that helps more than it harms.

Owns the decision (conditions, attempts, what may be repeated), the pause before it, and the budget. Sits above the
balancer, so each try is balanced anew. Refuses to know endpoints' health: that is the circuit breaker's.

Retries are load, and an outage is when a service can bear it least. The budget (after Finagle's RetryBudget, see
https://finagle.github.io/blog/2016/02/08/retry-budgets/) bounds them to a share of the requests. Ours differs in one
thing: a retry that succeeds gives its token back. So where retries help (one endpoint of many is bad), nearly all of
them are allowed; in a total outage none succeeds, and the share is a hard bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, get_args

from msgspec import Meta, field
from tulle_plugin_api import (
    Body,
    Config,
    Duration,
    Exchange,
    Failure,
    Handler,
    Move,
    Percent,
    Policy,
    Position,
    Refused,
    Response,
    Runtime,
    WrappedBody,
    duration,
    hookimpl,
    pass_by,
)

REPLAY_BYTES = 64 * 1024
"""Of a request's body that are kept for another try. A longer one is sent once."""

Condition: TypeAlias = Literal["5xx", "gateway-error", "connect-failure", "reset", "timeout"]

STATUSES: Mapping[str, frozenset[int]] = {
    "5xx": frozenset(range(500, 600)) - {501, 505},  # what the server cannot do, it cannot do a second time
    "gateway-error": frozenset({502, 503, 504}),
}

REASONS: Mapping[str, str] = {
    "connect-failed": "connect-failure",
    "connect-timeout": "connect-failure",
    "app-refused-connection": "connect-failure",
    "upstream-reset": "reset",
    "bad-answer": "reset",
    "timeout": "timeout",  # of one try: when the time for all of them is over, nobody is asked any more
}

NOTHING_REACHED = "connect-failure"
"""The one condition under which any method may be repeated: nobody has seen the request."""


class BackoffConfig(Config):
    """The pause before a try: a random time up to `base`, doubled with each further one up to `max` (full jitter)."""

    base: Duration = duration("25ms")
    max: Duration = duration("250ms")
    min: Duration = duration("0s")
    """Comes on top: never less than that (HTTPRoute's retry.backoff)."""


class BudgetConfig(Config):
    """How many retries may fail: the larger of two bounds."""

    percent: Percent = 20
    """Of the requests."""
    per_second: Annotated[float, Meta(ge=0, le=10_000)] = 10
    """So that a service with few requests may retry, too."""
    window: Duration = duration("2s")
    """What good times leave for bad ones: the share of so much time. At least twice a usual answer's time."""
    refund: bool = True
    """A retry that succeeds gives its token back. False: every retry counts, as with Finagle."""


class RetryConfig(Config):
    """When to send a request again, and how often."""

    attempts: Annotated[int, Meta(ge=1, le=10)] = 2
    """Tries after the first."""
    on: tuple[Condition, ...] = ("5xx", "connect-failure", "reset", "timeout")
    statuses: tuple[Annotated[int, Meta(ge=400, le=599)], ...] = ()
    """Further statuses, such as 429."""
    methods: tuple[str, ...] = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")
    """What may be repeated after somebody may have seen it; by default the idempotent ones (RFC 9110 section 9.2.2)."""
    per_try_timeout: Duration = duration("0s")
    """Until the head of a try's answer. "0s": only the timeout policy bounds it."""
    max_retry_after: Duration = duration("1s")
    """A longer Retry-After is passed on to the client, who may wait for it."""
    backoff: BackoffConfig = field(default_factory=BackoffConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)


class Budget:
    """Two purses of tokens, one token a retry. Pure; times in seconds are passed in.

    Requests fill `_share`, time fills `_least`. A retry needs a token in one of them and costs one in both, so what is
    allowed is the larger of the two and not their sum: `_share` goes into debt where only `_least` had any.
    """

    SLOTS = 10

    def __init__(self, ratio: float, per_second: float, window: float) -> None:
        self._ratio, self._per_second = ratio, per_second
        self._most = max(1.0, per_second) if per_second else 0.0  # in `_least`: a second's worth
        self._share, self._least, self._filled = 0.0, self._most, 0.0
        # requests of the window bound `_share`: they are counted by slots of it, those of the present one apart
        self._ticks = self.SLOTS / window
        self._tick, self._tick_ends, self._present = 0, 0.0, 0
        self._requests = [0] * self.SLOTS

    def request(self, now: float) -> None:
        """A request came: its share of a retry."""
        if now >= self._tick_ends:
            self._advance(int(now * self._ticks))
        self._present += 1
        self._share += self._ratio

    def withdraw(self, now: float) -> bool:
        """Take the token for one retry, to be given back with `refund`; False when there is none."""
        if now >= self._tick_ends:
            self._advance(int(now * self._ticks))
        self._least = min(self._most, self._least + (now - self._filled) * self._per_second)
        self._filled = now
        if max(self._share, self._least) < 0.999_999:  # a sum of tenths is a little off
            return False
        self._share = max(self._share - 1, -self._most)
        self._least = max(self._least - 1, 0.0)
        return True

    def refund(self) -> None:
        """A retry succeeded."""
        self._share += 1
        self._least = min(self._least + 1, self._most)

    def _advance(self, tick: int) -> None:
        self._requests[self._tick % self.SLOTS] = self._present
        for passed in range(max(self._tick + 1, tick - self.SLOTS + 1), tick + 1):
            self._requests[passed % self.SLOTS] = 0
        self._tick, self._tick_ends = tick, (tick + 1) / self._ticks
        self._present = self._requests[tick % self.SLOTS]
        self._share = min(self._share, self._ratio * sum(self._requests))


class Retry(Policy[RetryConfig]):
    """Sends failed requests again."""

    config = RetryConfig
    position = Position.RETRY
    uses_trio = False

    def check(self, config: RetryConfig) -> list[str]:
        """What types cannot say."""
        problems = []
        if not config.on and not config.statuses:
            problems.append(f"on: empty, so nothing is ever retried; one or more of {', '.join(get_args(Condition))}")
        base, longest = config.backoff.base, config.backoff.max
        if longest < base:
            problems.append(f"backoff.max: at least backoff.base, which is {base:g} s; got {longest:g} s")
        if config.budget.window < 1:
            problems.append(f"budget.window: at least 1s, got {config.budget.window:g} s")
        unknown = [method for method in config.methods if method != method.upper() or not method.isascii()]
        problems += [f"methods: methods are upper case (RFC 9110 section 9.1), got {method!r}" for method in unknown]
        return problems

    def build(self, config: RetryConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, again while `config` says so. One budget for all requests that pass here."""
        statuses = frozenset(config.statuses).union(*[STATUSES.get(name, ()) for name in config.on])
        conditions, methods = frozenset(config.on), frozenset(config.methods)
        longest_told = float(config.max_retry_after)
        base, longest, least = float(config.backoff.base), float(config.backoff.max), float(config.backoff.min)
        budget = Budget(config.budget.percent / 100, config.budget.per_second, config.budget.window)
        attempts, refund = config.attempts, config.budget.refund
        now, count, random = runtime.now, runtime.count, runtime.random
        one_try = _timed(next, runtime, float(config.per_try_timeout))

        async def handle(exchange: Exchange) -> Response:
            budget.request(now())
            body = exchange.body
            if not isinstance(body, bytes):
                body = exchange.body = _Replay(body, exchange)
            made, again = 0, False
            while True:
                failure: Failure | None = None
                response: Response | None = None
                try:
                    response = await one_try(exchange)
                    if response.status not in statuses:
                        if again:
                            count("retry_successes_total")
                            if refund:
                                budget.refund()
                        return response
                except Failure as error:
                    failure = error
                pause = least + min(longest, base * 2**made) * random.random()
                again = False
                if response is not None:
                    told = _retry_after(response)
                    worth_it = exchange.method in methods and (told is None or told <= longest_told)
                    pause = max(pause, told or 0.0)
                else:
                    why = "" if isinstance(failure, Refused) else REASONS.get(failure.reason if failure else "", "")
                    worth_it = why in conditions and (why == NOTHING_REACHED or exchange.method in methods)
                if not worth_it:
                    pass
                elif made >= attempts:
                    count("retry_exhausted_total")
                elif not _can_be_repeated(body):
                    count("retry_body_too_large_total")
                elif not (again := budget.withdraw(now())):
                    count("retry_budget_exhausted_total")
                if not again:
                    if failure is not None:
                        raise failure
                    assert response is not None
                    return response
                made += 1
                count("retry_tries_total")
                if response is not None and not isinstance(response.body, bytes):
                    await response.body.aclose()  # stops the upload, too: the body has one reader
                if exchange.endpoint is not None:
                    exchange.avoid = (*exchange.avoid, exchange.endpoint)
                await runtime.sleep(pause)
                if isinstance(body, _Replay):
                    body.rewind()
                    exchange.body = body  # whatever was put around it further in

        return handle


def _timed(next: Handler, runtime: Runtime, seconds: float) -> Handler:
    """`next`, within `seconds` a try; 0: as it is."""
    if seconds == 0:
        return next
    error = f"no answer within {seconds:g} s, the limit of a try that the retry policy sets"

    async def one_try(exchange: Exchange) -> Response:
        with runtime.timeout(seconds, error):
            return await next(exchange)

    return one_try


def _retry_after(response: Response) -> float | None:
    """Seconds that the answer asks to wait (RFC 9110 section 10.2.3); None: it does not. Nonsense is never waited for.

    A date is read against the answer's own Date, so that clocks need not agree.
    """
    text = response.headers.get("retry-after")
    if text is None:
        return None
    if text.isascii() and text.isdecimal():
        return float(text)
    from email.utils import parsedate_to_datetime  # 5 ms, and few servers send a date

    try:
        until = parsedate_to_datetime(text)
        return max(0.0, (until - parsedate_to_datetime(response.headers.get("date") or "")).total_seconds())
    except (TypeError, ValueError):  # not dates, or one with a time zone and one without
        return float("inf")


def _can_be_repeated(body: bytes | Body) -> bool:
    if isinstance(body, _Replay):
        return body.whole
    return len(body) <= REPLAY_BYTES if isinstance(body, bytes) else False


class _Replay(WrappedBody):
    """A request's body that keeps its beginning, and can be read from there again while that is all there was."""

    def __init__(self, inner: Body, exchange: Exchange) -> None:
        super().__init__(inner)
        self._exchange = exchange
        self.whole = True  # everything that was read is kept
        self._kept: list[bytes] = []
        self._size = self._next = 0

    def rewind(self) -> None:
        """The next `read` gives the first piece. Only while `whole`, and nobody is reading."""
        self._next = 0

    async def read(self) -> bytes:
        """The next piece: a kept one, else one that arrives now."""
        if self._next < len(self._kept):
            self._next += 1
            return self._kept[self._next - 1]
        piece = await self.inner.read()
        if self.whole:
            self._size += len(piece)
            self.whole = self._size <= REPLAY_BYTES
            if self.whole:
                self._kept.append(piece)  # the end (b"") as well: it is not asked for twice
                self._next += 1
            else:
                self._give_up()
        return piece

    async def pass_by(self, move: Move) -> None:
        """Unless it is being read again. What has passed by, or was taken to, cannot be."""
        if self._next < len(self._kept):
            return
        before = self._exchange.request_bytes
        try:
            await pass_by(self.inner, move)
        finally:
            if self._exchange.request_bytes != before:
                self._give_up()

    def _give_up(self) -> None:
        self.whole = False
        self._kept.clear()
        self._next = 0


@hookimpl
def tulle_policies() -> Mapping[str, Policy[Any]]:
    """The policy `retry`."""
    return {"retry": Retry()}
