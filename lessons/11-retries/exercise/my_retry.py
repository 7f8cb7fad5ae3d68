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
        # TODO: put its share in; never more than MOST.

    def withdraw(self) -> bool:
        """Take a token for one retry; False when there is none."""
        # TODO. First try it with only this line, and look at what the check says of an outage: that is the storm.
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
            # TODO: `with runtime.timeout(seconds):` interrupts what is inside, and raises TimedOut (a Failure).
            return await next(exchange)

        async def handle(exchange: Exchange) -> Response:
            # TODO: up to config.tries tries. A try has failed if its status is 500 or more, or if it raised a Failure.
            #   - Another one only for REPEATABLE methods, while there are tries left and the budget gives a token.
            #   - Otherwise the client gets what the last try gave: its answer, or its Failure raised.
            #   - An answer that is thrown away: await give_up(answer), or its connection stays busy.
            #   The balancer sees to it that each try goes to an endpoint that had none, while there is one.
            budget.request()
            return await one_try(exchange)

        return handle


async def give_up(answer: Response) -> None:
    """Let go of an answer that nobody will read."""
    if not isinstance(answer.body, bytes):
        await answer.body.aclose()


@hookimpl
def tulle_policies():
    """The policy `my-retry`."""
    return {"my-retry": MyRetry()}
