"""A policy: another try when one failed or took too long, within a budget, so that an outage does not become a storm."""

from tulle_plugin_api import Config, Duration, Exchange, Failure, Handler, Policy, Position, Response, Runtime, hookimpl

MOST = 10.0
"""Tokens that a budget can hold: what a good hour leaves for a bad second."""
REPEATABLE = {"GET", "HEAD"}
"""What may be done twice (RFC 9110 section 9.2.1: safe methods). Everything else once, whatever happens."""


class Budget:
    """Tokens for retries. Requests put a share of one in, each retry takes a whole one out."""

    def __init__(self, percent: float) -> None:
        self.share = percent / 100
        self.tokens = MOST

    def request(self) -> None:
        """A request came."""
        self.tokens = min(MOST, self.tokens + self.share)

    def withdraw(self) -> bool:
        """Take a token for one retry; False when there is none."""
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class MyRetryConfig(Config):
    """What stands under `config` in the MeshPolicy."""

    tries: int
    """At most so many in all, the first one included."""
    per_try: Duration
    """For the head of each try's answer."""
    percent: float
    """Retries may be so many percent of the requests."""


class MyRetry(Policy[MyRetryConfig]):
    """Wraps everything that happens once per try: balancing, dialling, the server."""

    config = MyRetryConfig
    position = Position.RETRY
    uses_trio = False

    def build(self, config: MyRetryConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, again where that helps. One budget for all requests that pass here."""
        budget = Budget(config.percent)

        async def one_try(exchange: Exchange) -> Response:
            with runtime.timeout(config.per_try):
                return await next(exchange)

        async def handle(exchange: Exchange) -> Response:
            budget.request()
            left = config.tries if exchange.method in REPEATABLE else 1
            while True:
                left -= 1
                try:
                    answer = await one_try(exchange)
                except Failure:
                    if left < 1 or not budget.withdraw():
                        raise
                    continue
                if answer.status < 500 or left < 1 or not budget.withdraw():
                    return answer
                await give_up(answer)

        return handle


async def give_up(answer: Response) -> None:
    """Let go of an answer that nobody will read."""
    if not isinstance(answer.body, bytes):
        await answer.body.aclose()


@hookimpl
def tulle_policies():
    """The policy `my-retry`."""
    return {"my-retry": MyRetry()}
