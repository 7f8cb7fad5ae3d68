"""A policy: each request says which team sent it, each answer says how long it took, and private paths are refused.

It runs in the proxy of whoever calls a Service that has a MeshPolicy of type `passport`.
"""

from tulle_plugin_api import Config, Exchange, Handler, Policy, Position, Refused, Response, Runtime, hookimpl

FIELD = "x-forwarded-team"


class PassportConfig(Config):
    """What stands under `config` in the MeshPolicy. Checked when it is applied."""

    team: str
    """Written into every request."""


class Passport(Policy[PassportConfig]):
    """Wraps the handler that does everything further in: balancing, dialling, the server."""

    config = PassportConfig
    position = Position.REQUEST  # once a request, above timeouts and retries
    direction = "outbound"  # in the client's proxy
    uses_trio = False  # awaits only `next` and the runtime

    def build(self, config: PassportConfig, next: Handler, runtime: Runtime) -> Handler:
        """The handler that is called for each request. `next` is what comes after us: await it for the answer."""

        async def handle(exchange: Exchange) -> Response:
            # TODO, three things. exchange.headers and answer.headers have get, set, add, remove.
            # 1. The server gets exactly one field FIELD, with config.team, whatever the client sent.
            # 2. A path that is /private, or below /private/, is refused with 403 and the reason "not-yours", without
            #    asking the server: raise Refused(status, reason, detail).
            # 3. The answer has a field `server-timing: mesh;dur=12.3`, milliseconds that `next` took; runtime.now()
            #    gives seconds. Fields of that name that the server sent stay.
            return await next(exchange)

        return handle


@hookimpl
def tulle_policies():
    """The policy `passport`."""
    return {"passport": Passport()}
