"""HTTPRoute, GRPCRoute and ReferenceGrant (gateway.networking.k8s.io/v1, both channels): tables.

The lab stores them and the control plane reads them; so here is only their shape.
"""

from __future__ import annotations

from tulle_lab.kinds.common import top
from tulle_lab.kinds.schema import (
    DNS_LABEL,
    DNS_NAME,
    DURATION,
    PORT,
    Inert,
    Integer,
    ListOf,
    Shape,
    Struct,
    Text,
    boolean,
    text,
)

_REF = {"group": text(), "kind": text(), "name": DNS_NAME, "namespace": DNS_NAME}
_PARENT = Struct({**_REF, "sectionName": text(), "port": PORT}, required=("name",))
_HEADER = Struct({"name": text(), "value": text()}, required=("name", "value"))
_HEADERS = Struct({"set": ListOf(_HEADER), "add": ListOf(_HEADER), "remove": ListOf(Text())})
_BACKEND_OBJECT = Struct({**_REF, "port": PORT}, required=("name",))
_SESSION = Struct(
    {
        "sessionName": text(),
        "absoluteTimeout": DURATION,
        "idleTimeout": DURATION,
        "type": text("Cookie", "Header"),
        "cookieConfig": Struct({"lifetimeType": text("Permanent", "Session")}),
    }
)
_CORS = Struct(
    {
        "allowOrigins": ListOf(Text()),
        "allowMethods": ListOf(Text()),
        "allowHeaders": ListOf(Text()),
        "exposeHeaders": ListOf(Text()),
        "allowCredentials": boolean,
        "maxAge": Integer(1),
    }
)
_PATH_MODIFIER = Struct(
    {"type": text("ReplaceFullPath", "ReplacePrefixMatch"), "replaceFullPath": text(), "replacePrefixMatch": text()},
    required=("type",),
)
_FRACTION = Struct({"numerator": Integer(0), "denominator": Integer(1)}, required=("numerator",))
_SHARED_FILTERS = {
    "requestHeaderModifier": _HEADERS,
    "responseHeaderModifier": _HEADERS,
    "requestMirror": Struct(
        {"backendRef": _BACKEND_OBJECT, "percent": Integer(0, 100), "fraction": _FRACTION}, required=("backendRef",)
    ),
    "extensionRef": Struct({"group": text(), "kind": text(), "name": DNS_NAME}, required=("group", "kind", "name")),
}
_FILTER = Struct(
    {
        "type": text(
            "RequestHeaderModifier",
            "ResponseHeaderModifier",
            "RequestMirror",
            "RequestRedirect",
            "URLRewrite",
            "CORS",
            "ExtensionRef",
        ),
        **_SHARED_FILTERS,
        "requestRedirect": Struct(
            {
                "scheme": text("http", "https"),
                "hostname": DNS_NAME,
                "path": _PATH_MODIFIER,
                "port": PORT,
                "statusCode": Integer(301, 308),
            }
        ),
        "urlRewrite": Struct({"hostname": DNS_NAME, "path": _PATH_MODIFIER}),
        "cors": _CORS,
    },
    required=("type",),
)
_GRPC_FILTER = Struct(
    {
        "type": text("RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"),
        **_SHARED_FILTERS,
    },
    required=("type",),
)
_TYPED = {"type": text("Exact", "RegularExpression"), "name": text(), "value": text()}
_NAMED_MATCH = ListOf(Struct(_TYPED, required=("name", "value")))


def _backends(filters: Struct) -> ListOf:
    return ListOf(
        Struct({**_REF, "port": PORT, "weight": Integer(0, 1_000_000), "filters": ListOf(filters)}, required=("name",))
    )


_HTTP_RULE = Struct(
    {
        "name": DNS_LABEL,
        "matches": ListOf(
            Struct(
                {
                    "path": Struct({"type": text("Exact", "PathPrefix", "RegularExpression"), "value": text()}),
                    "headers": _NAMED_MATCH,
                    "queryParams": _NAMED_MATCH,
                    "method": text("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"),
                }
            )
        ),
        "filters": ListOf(_FILTER),
        "backendRefs": _backends(_FILTER),
        "timeouts": Struct({"request": DURATION, "backendRequest": DURATION}),
        "retry": Struct({"codes": ListOf(Integer(400, 599)), "attempts": Integer(0), "backoff": DURATION}),
        "sessionPersistence": _SESSION,
    }
)
_GRPC_RULE = Struct(
    {
        "name": DNS_LABEL,
        "matches": ListOf(
            Struct(
                {
                    "method": Struct({"type": text("Exact", "RegularExpression"), "service": text(), "method": text()}),
                    "headers": _NAMED_MATCH,
                }
            )
        ),
        "filters": ListOf(_GRPC_FILTER),
        "backendRefs": _backends(_GRPC_FILTER),
        "sessionPersistence": _SESSION,
    }
)


def _route(rule: Struct) -> Shape:
    return Shape(
        top(
            required=("spec",),
            spec=Struct(
                {
                    "parentRefs": ListOf(_PARENT),
                    "hostnames": ListOf(Text()),
                    "rules": ListOf(rule),
                    "useDefaultGateways": Inert("there are no Gateways"),
                }
            ),
        )
    )


HTTP_ROUTE = _route(_HTTP_RULE)
GRPC_ROUTE = _route(_GRPC_RULE)

_GRANT_FROM = Struct({"group": text(), "kind": text(), "namespace": DNS_NAME}, required=("group", "kind", "namespace"))
_GRANT_TO = Struct({"group": text(), "kind": text(), "name": DNS_NAME}, required=("group", "kind"))
_GRANT = Struct({"from": ListOf(_GRANT_FROM, at_least=1), "to": ListOf(_GRANT_TO, at_least=1)}, required=("from", "to"))
REFERENCE_GRANT = Shape(top(required=("spec",), spec=_GRANT))
