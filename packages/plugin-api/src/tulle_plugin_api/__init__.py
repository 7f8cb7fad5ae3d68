"""The plugin contract of the Tulle service mesh: everything that a plugin may import.

A plugin imports only this package. See docs/plugins.md for a tutorial; hookspecs.py for the hooks.
"""

from tulle_plugin_api.body import Move, WrappedBody, pass_by
from tulle_plugin_api.config import ConfigError, Duration, Percent, duration
from tulle_plugin_api.endpoints import Endpoints, ListedEndpoints
from tulle_plugin_api.errors import Failure, Refused, TimedOut
from tulle_plugin_api.exchange import (
    PROBE_ROUTE,
    Address,
    Body,
    Direction,
    Endpoint,
    Exchange,
    Handler,
    Response,
    Service,
)
from tulle_plugin_api.headers import Headers
from tulle_plugin_api.hookspecs import CONTRACT_VERSION, hookimpl
from tulle_plugin_api.lease import Lease, Terms
from tulle_plugin_api.loader import PluginInfo, Plugins, load
from tulle_plugin_api.protocols import (
    Balancer,
    BalancerFactory,
    Catalog,
    CatalogEvent,
    CatalogFactory,
    Check,
    CheckResult,
    Config,
    Deleted,
    Exporter,
    ExporterContext,
    ExporterFactory,
    OnFailure,
    Policy,
    Position,
    Rejected,
    Synced,
    Upserted,
)
from tulle_plugin_api.runtime import Event, Runtime, TrioRuntime

__all__ = [
    "CONTRACT_VERSION",
    "PROBE_ROUTE",
    "Address",
    "Balancer",
    "BalancerFactory",
    "Body",
    "Catalog",
    "CatalogEvent",
    "CatalogFactory",
    "Check",
    "CheckResult",
    "Config",
    "ConfigError",
    "Deleted",
    "Direction",
    "Duration",
    "Endpoint",
    "Endpoints",
    "Event",
    "Exchange",
    "Exporter",
    "ExporterContext",
    "ExporterFactory",
    "Failure",
    "Handler",
    "Headers",
    "Lease",
    "ListedEndpoints",
    "Move",
    "OnFailure",
    "Percent",
    "PluginInfo",
    "Plugins",
    "Policy",
    "Position",
    "Refused",
    "Rejected",
    "Response",
    "Runtime",
    "Service",
    "Synced",
    "Terms",
    "TimedOut",
    "TrioRuntime",
    "Upserted",
    "WrappedBody",
    "duration",
    "hookimpl",
    "load",
    "pass_by",
]
