"""A policy: an endpoint that fails again and again is left alone for a while, then tried, and left alone for longer.

    WELL --`failures` in a row--> LEFT ALONE for `ejection` --its time is over--> ON PROBATION
      ^------------------------------ first answer is good ------------------------'    |
                             LEFT ALONE for twice as long <------ first one fails ------'
"""

from tulle_plugin_api import (
    Config,
    Duration,
    Endpoint,
    Exchange,
    Failure,
    Handler,
    Policy,
    Position,
    Response,
    Runtime,
    hookimpl,
)


class MyBreakerConfig(Config):
    """What stands under `config` in the MeshPolicy."""

    failures: int
    """So many in a row, and the endpoint is left alone."""
    ejection: Duration
    """For how long, the first time; in seconds."""
    max_ejection: Duration
    """The longest."""


class Circuit:
    """One endpoint's record. Pure: it is told what happened, and says what follows."""

    def __init__(self, config: MyBreakerConfig) -> None:
        self.config = config
        self.in_a_row = 0
        self.length = 0.0  # of the last ejection since it was well; 0.0: there was none

    def ended(self, failed: bool) -> float:
        """A request to this endpoint ended. Seconds to leave it alone from now on; 0.0: it stays."""
        if not failed:
            self.in_a_row, self.length = 0, 0.0
            return 0.0
        self.in_a_row += 1
        if self.in_a_row < self.config.failures:
            return 0.0
        # in_a_row stays where it is: until it has answered well, the next failure is enough
        self.length = min(self.config.max_ejection, self.length * 2 or self.config.ejection)
        return self.length


class MyBreaker(Policy[MyBreakerConfig]):
    """Watches every try; the balancer has chosen exchange.endpoint already."""

    config = MyBreakerConfig
    position = Position.ENDPOINT
    uses_trio = False

    def build(self, config: MyBreakerConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, and the endpoint's circuit is told how it ended."""
        circuits: dict[Endpoint, Circuit] = {}

        async def handle(exchange: Exchange) -> Response:
            endpoint = exchange.endpoint
            assert endpoint is not None
            circuit = circuits.setdefault(endpoint, Circuit(config))
            failed = True
            try:
                answer = await next(exchange)
                failed = answer.status >= 500
                return answer
            finally:
                seconds = circuit.ended(failed)
                if seconds:
                    runtime.endpoints.eject(exchange.backend, endpoint, seconds)

        return handle


@hookimpl
def tulle_policies():
    """The policy `my-breaker`."""
    return {"my-breaker": MyBreaker()}
