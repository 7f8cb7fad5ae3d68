"""The proxy's own failures: one class each, and the one table that turns reasons into status codes.

Every reason is a slug that ends up in the `tulle-reason` header, in metrics and in the log. `rescue` is the only
reader of STATUS; nothing else in the data plane knows status codes.
"""

from __future__ import annotations

from tulle_plugin_api import Failure, TimedOut

from tulle_data_plane.wire.errors import REASONS


class NoEndpoints(Failure):
    """The service is known, but no instance of it is ready."""

    reason = "no-endpoints"


class NoBackend(Failure):
    """The route leads to a Service that does not exist."""

    reason = "no-backend"


class NoRoute(Failure):
    """The service has routes, and the request fits none of their rules."""

    reason = "no-route"


class ConnectFailed(Failure):
    """No connection to the endpoint: it refused, or is not there."""

    reason = "connect-failed"


class ConnectTimedOut(ConnectFailed):
    """No connection to the endpoint in time."""

    reason = "connect-timeout"


class OutOfDescriptors(Failure):
    """This proxy may open no more files: no endpoint is to blame, and none would fare better."""

    reason = "out-of-descriptors"


class AppRefused(ConnectFailed):
    """The application in this proxy's pod does not accept connections."""

    reason = "app-refused-connection"


class UpstreamBroke(Failure):
    """The upstream closed or reset the connection before its answer was complete."""

    reason = "upstream-reset"


class BadAnswer(Failure):
    """The upstream's answer breaks the protocol."""

    reason = "bad-answer"


class RequestBroke(Failure):
    """The client broke off in the middle of its request."""

    reason = "client-reset"


class HeadTimedOut(TimedOut):
    """The client did not complete the head of its request in time."""

    reason = "head-timeout"


class BodyTimedOut(TimedOut):
    """The client stopped in the middle of its request's body."""

    reason = "body-timeout"


class SlowReader(TimedOut):
    """The peer takes nothing of what is sent to it."""

    reason = "write-timeout"


class PolicyFailed(Failure):
    """A policy raised something that it should not have."""

    reason = "policy-error"


BAD_REQUEST = (400, "the request breaks HTTP/1.1's rules, as the log line describes")
OURS = (500, "the proxy's log")

# reason -> (status, what to look at next). A reason that is not here is answered with 500.
STATUS: dict[str, tuple[int, str]] = {
    # the client's fault; an upstream that breaks the protocol is a BadAnswer, whatever it did
    **dict.fromkeys(REASONS, BAD_REQUEST),
    "uri-too-long": (414, "the request line is longer than the proxy's limit"),
    "head-too-large": (431, "the request's head is larger than the proxy's limit"),
    "too-many-fields": (431, "the request has more fields than the proxy's limit"),
    "head-timeout": (408, "the client is slow, or waits for the server to speak first: see tulle.dev/opaque-ports"),
    "body-timeout": (408, "the client has stopped in the middle of its request"),
    "client-reset": (400, "the client went away"),
    # the upstream's
    "no-endpoints": (503, "tulle stat, and the readiness of the service's pods"),
    "no-backend": (500, "the backendRefs of the route"),
    "no-route": (404, "the matches of the routes of that service: none takes this request"),
    "connect-failed": (503, "is the pod listening on the port that the Service names?"),
    "connect-timeout": (504, "is the pod reachable from this node?"),
    "app-refused-connection": (503, "the application's log: it does not listen on this port (any more)"),
    "upstream-reset": (502, "the upstream's log: it broke off before its answer was complete"),
    "bad-answer": (502, "the upstream's answer, as the log line describes it"),
    "half-closed-timeout": (504, "which side of the connection has ended, and why the other does not"),
    "timeout": (504, "the timeout policy that applies, and what the upstream does for so long"),
    # ours
    "out-of-descriptors": (503, "the proxy's limit of open files, and who leaks connections"),
    "policy-error": (500, "the proxy's log names the plugin, and where in it"),
    "internal-error": (500, "the proxy's log has the traceback; please report it"),
    "loop": (508, "a Service or app that points at the proxy's own port"),
}


def status_of(failure: Failure) -> tuple[int, str]:
    """Status and hint for a failure."""
    return STATUS.get(failure.reason, OURS)
