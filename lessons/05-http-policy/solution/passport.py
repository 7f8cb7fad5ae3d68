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
            path = exchange.path.partition("?")[0]
            if path == "/private" or path.startswith("/private/"):
                raise Refused(403, "not-yours", f"team {config.team} has no business in {path}")
            exchange.headers.set(FIELD, config.team)
            began = runtime.now()
            answer = await next(exchange)
            answer.headers.add("server-timing", f"mesh;dur={(runtime.now() - began) * 1000:.1f}")
            return answer

        return handle


@hookimpl
def tulle_policies():
    """The policy `passport`."""
    return {"passport": Passport()}
