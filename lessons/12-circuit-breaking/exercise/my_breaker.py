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
        # TODO. A success: all is forgotten. A failure: one more in a row; with enough of them it is ejected, the
        #       first time for config.ejection, then each time for twice as long, up to config.max_ejection.
        #       On probation (it was ejected, and has not answered well since) one failure is enough.
        return 0.0


class MyBreaker(Policy[MyBreakerConfig]):
    """Watches every try; the balancer has chosen exchange.endpoint already."""

    config = MyBreakerConfig
    position = Position.ENDPOINT
    uses_trio = False

    def build(self, config: MyBreakerConfig, next: Handler, runtime: Runtime) -> Handler:
        """`next`, and the endpoint's circuit is told how it ended."""
        circuits: dict[Endpoint, Circuit] = {}

        async def handle(exchange: Exchange) -> Response:
            # TODO. A try failed if its status is 500 or more, or if it raised a Failure (which goes on to the client).
            #       runtime.endpoints.eject(exchange.backend, endpoint, seconds) leaves an endpoint out of balancing.
            return await next(exchange)

        return handle


@hookimpl
def tulle_policies():
    """The policy `my-breaker`."""
    return {"my-breaker": MyBreaker()}
