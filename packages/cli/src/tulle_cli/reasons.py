"""Every reason that a proxy answers with or counts (`tulle-reason`, metrics' `reason`, the log), in words. Data only.

The one source of docs/reasons.md (scripts/reasons writes it) and of `tulle explain REASON`. tests/integration/
test_reasons_doc.py holds it to the code: every slug has its row, every row is a slug, and statuses agree.
In commands, POD is the pod whose proxy said so, SERVICE the Service that was called, NS its namespace.
"""

from __future__ import annotations

from dataclasses import dataclass

CLIENT, UPSTREAM, POLICY, PROXY, CONNECTION = (
    "The request", "Where the request went", "Policies", "The proxy itself", "Connections that end without an answer",
)  # fmt: skip

LOGS = "tulle lab logs POD -n NS -c tulle-proxy"
STAT = "tulle stat svc/SERVICE -n NS --backends"
PODS = "tulle lab get pods -n NS -o wide"
POLICIES = "tulle lab get meshpolicies -A -o yaml"
SEND = "tulle explain POD METHOD http://SERVICE/PATH -n NS --send"


@dataclass(frozen=True)
class Reason:
    """`status`: what the client gets; None: whatever a policy says, or nothing (`group` CONNECTION)."""

    slug: str
    group: str
    status: int | None
    what: str
    look: str
    command: str

    @property
    def answer(self) -> str:
        """ "503", or words for what has no fixed status."""
        if self.status is not None:
            return str(self.status)
        return "none" if self.group == CONNECTION else "as configured"


def _malformed(slug: str, what: str, look: str = "") -> Reason:
    look = look or "The program that sends it. The log line quotes the bytes; nothing of the request has gone on."
    return Reason(slug, CLIENT, 400, what, look, LOGS)


REASONS = (
    _malformed("bad-request-line", "The request line is not METHOD SP TARGET SP HTTP/1.x.",
               "Whether it is HTTP at all: if not, say so with `appProtocol: tcp` or tulle.dev/opaque-ports."),
    _malformed("bad-status-line", "The first line of an answer is not HTTP/1.x SP STATUS. Clients see bad-answer, with "
               "this in its detail.", "The upstream: does it speak HTTP on this port?"),
    _malformed("bad-version", "The HTTP version is neither 1.0 nor 1.1."),
    _malformed("bad-target", "The request target has none of the four forms (path, URL, authority, *)."),
    _malformed("bad-field", "A field line is not NAME: VALUE: a blank before the colon, a folded line, a control "
               "character."),
    _malformed("bare-line-feed", "A line of the head ends in LF without CR."),
    _malformed("bad-host", "Host is missing, there twice, malformed, or says something else than the target."),
    _malformed("bad-content-length", "Content-Length is there twice, a list, or no plain number."),
    _malformed("bad-transfer-encoding", "Transfer-Encoding is not exactly `chunked`, or not allowed here."),
    _malformed("conflicting-framing", "Both Content-Length and Transfer-Encoding: where the body ends is ambiguous, "
               "which is how requests are smuggled."),
    _malformed("bad-connection", "Connection is malformed, or names a field that must reach the recipient."),
    _malformed("bad-upgrade", "Upgrade is malformed, or missing where it is needed."),
    _malformed("bad-chunk", "A chunk's size, extension or end is malformed."),
    _malformed("chunk-extensions-too-large", "The chunk extensions of one message are larger than the limit."),
    _malformed("bad-trailer", "The trailer section is malformed."),
    _malformed("forbidden-trailer", "A field that frames, routes or authenticates came as a trailer."),
    _malformed("trailers-too-large", "The trailer section is larger than the limit."),
    _malformed("truncated-body", "The client ended its connection before the body was complete.",
               "The client: it died, or announced a longer body than it sent."),
    Reason("uri-too-long", CLIENT, 414, "The request line is longer than the proxy's limit.",
           "What the client puts into its URL: should it be a body?", LOGS),
    Reason("head-too-large", CLIENT, 431, "The request's head is larger than the proxy's limit.",
           "Cookies and tokens that grow.", LOGS),
    Reason("too-many-fields", CLIENT, 431, "The request has more fields than the proxy's limit.",
           "Who adds a field at each hop.", LOGS),
    Reason("head-timeout", CLIENT, 408, "The client did not complete the head of its request in time "
           "(TULLE_HEAD_SECONDS).", "A slow client; or one that waits for the server to speak first: then name the "
           "port in tulle.dev/opaque-ports.", LOGS),
    Reason("body-timeout", CLIENT, 408, "The client stopped in the middle of its request's body (TULLE_IDLE_SECONDS), "
           "or sent it more slowly than TULLE_BODY_RATE allows.", "The client, and the network between it and the "
           "mesh.", LOGS),
    Reason("client-reset", CLIENT, 400, "The client went away in the middle of its request, or before its answer "
           "was complete.", "The client's own timeout: is it shorter than the answer takes?", STAT),

    Reason("no-route", UPSTREAM, 404, "The Service has routes, and no rule of any of them takes this request.",
           "The matches: which one was meant to take it, and what is different?",
           "tulle explain POD METHOD http://SERVICE/PATH -n NS"),
    Reason("redirect", UPSTREAM, None, "No failure: a rule of a route answers with a redirect.",
           "The rule's filter RequestRedirect: status, scheme, host, port, path.",
           "tulle lab get httproutes -n NS -o yaml"),
    Reason("no-endpoints", UPSTREAM, 503, "The Service exists, and none of its pods is ready (or none accepted a "
           "connection).", "The pods' readiness, and whether the Service's selector finds them.", PODS),
    Reason("no-backend", UPSTREAM, 500, "The route leads to a Service or port that does not exist, may not be sent "
           "to, or has no weight above 0.", "The route's backendRefs, and its condition ResolvedRefs.",
           "tulle routes svc/SERVICE -n NS"),
    Reason("connect-failed", UPSTREAM, 503, "Endpoints were tried, and none accepted a connection.",
           "Does the pod listen on the Service's targetPort? Is it just ending?", PODS),
    Reason("connect-timeout", UPSTREAM, 504, "No connection to the endpoint in time (TULLE_CONNECT_SECONDS_*).",
           "Is the pod reachable from this node: network policies, a node that is down, a full backlog?", PODS),
    Reason("app-refused-connection", UPSTREAM, 503, "The proxy of the called pod was reached, and the application "
           "beside it does not accept connections.", "The application's log: has it ended, or does it listen on "
           "another port?", "tulle lab logs POD -n NS"),
    Reason("upstream-reset", UPSTREAM, 502, "The upstream closed or reset its connection before its answer was "
           "complete.", "The upstream's log: a crash, a restart, a limit; or a keep-alive shorter than the proxy's.",
           "tulle lab logs POD -n NS"),
    Reason("bad-answer", UPSTREAM, 502, "The upstream's answer breaks HTTP's rules; the detail says which.",
           "The upstream; or a port that speaks something else than HTTP.", LOGS),
    Reason("timeout", UPSTREAM, 504, "The answer took longer than a timeout allows.",
           "Which timeout holds (policy or route), and what the upstream does for so long.", SEND),

    Reason("refused", POLICY, None, "A policy refused the request, and gave no reason of its own.",
           "The policies that hold for the Service; the proxy's log names the request.", POLICIES),
    Reason("rate-limited", POLICY, 429, "More requests than a rate-limit policy allows; `retry-after` says for how "
           "long.", "The policy's `requests` and `per`, and who calls so often.", POLICIES),
    Reason("quota-exhausted", POLICY, 429, "All proxies together have used up what a shared-quota policy allows; "
           "`retry-after` says for how long.", "The policy's quota, and who calls so often.", POLICIES),
    Reason("external-policy", POLICY, None, "An external policy refused the request, or answered it, and gave no "
           "reason of its own.", "What the external service decides by; its log.", POLICIES),
    Reason("external-unavailable", POLICY, 503, "The service that an external policy asks did not answer in time, and "
           "the policy says to refuse then.", "Is that service ready, and quick enough?", POLICIES),
    Reason("circuit-open", POLICY, 503, "Every endpoint of the backend has failed so often that its circuit is open; "
           "`retry-after` says for how long.", "Why the endpoints fail: their figures and logs.", SEND),
    Reason("overflow", POLICY, 503, "A circuit-breaker policy allows no more requests or connections at a time.",
           "The policy's limits; or an upstream that has become slow, so that requests pile up.", STAT),
    Reason("fault", POLICY, None, "A fault policy fails so many requests on purpose.",
           "The policy: is the experiment over?", POLICIES),
    Reason("cors-preflight", POLICY, 204, "No failure: a cors policy answered a browser's preflight in the "
           "application's stead.", "The `access-control-*` fields of the answer: without them the origin is not "
           "allowed.", POLICIES),
    Reason("policy-error", POLICY, 500, "A policy raised something it should not have, made something that cannot be "
           "sent, did not come to an end, or blocked the proxy, and does not fail open.", "The proxy's log names the "
           "plugin and the place; `tulle plugins list` counts what plugins did in all proxies.", LOGS),

    Reason("out-of-descriptors", PROXY, 503, "The proxy may open no more files.",
           "Its limit of open files, and who leaks connections.", "tulle proxy status POD -n NS -o json"),
    Reason("internal-error", PROXY, 500, "A bug of the proxy, or of a plugin in it.",
           "The log has the traceback. Please report it.", LOGS),

    Reason("loop", CONNECTION, None, "A connection to the proxy's own port was refused: it would call itself for ever.",
           "A Service or application that points at port 4140 or 4143.", LOGS),
    Reason("idle-timeout", CONNECTION, None, "In metrics only: no request came on a client's connection for "
           "TULLE_IDLE_SECONDS, and it was closed in order.", "Nothing is wrong. A client that minds should keep "
           "connections for less long.", LOGS),
    Reason("half-closed-timeout", CONNECTION, None, "One side of a relayed connection has ended, and nothing came "
           "from the other for TULLE_HALF_CLOSED_SECONDS; both were reset.", "Which side has ended, and why the other "
           "does not.", LOGS),
    Reason("write-timeout", CONNECTION, None, "The peer took nothing of what was sent to it for too long.",
           "A reader that hangs: its connection was ended, so that it holds nothing up.", LOGS),
    Reason("tcp-reset", CONNECTION, None, "A relayed connection was reset by one of its ends.",
           "Both ends' logs; `tcp.error` in the access log.", "tulle edges -n NS"),
    Reason("aborted", CONNECTION, None, "In metrics only: an answer or a relayed connection broke off, for no reason "
           "of the proxy's.", "The access log's line of that request.", LOGS),
)  # fmt: skip

BY_SLUG = {row.slug: row for row in REASONS}
GROUPS = (CLIENT, UPSTREAM, POLICY, PROXY, CONNECTION)
