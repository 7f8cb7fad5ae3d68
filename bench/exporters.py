"""What each exporter costs a request while its receiver is away: `.venv/bin/python bench/exporters.py`.

Prints microseconds for `observe`, which is all that a request waits for, with everything on (every trace recorded,
every line logged). The queues fill up on the way, so that most of it is measured with full ones.
"""

import timeit
from functools import partial

from tulle_plugin_api import Address, Endpoint, Exchange, ExporterContext, Service, load
from tulle_plugin_api.trace import Span, Tracer

OPTIONS = {"otlp": {"signals": "metrics,logs,traces"}, "access-log (file)": {"output": "/dev/null"}}
REQUESTS = 100_000


def exchange() -> Exchange:
    made = Exchange()
    made.method, made.path, made.authority = "GET", "/cart?x=1", "app-b:80"
    made.status, made.started, made.ended, made.attempts = 200, 1.0, 1.0123, 1
    made.service = Service("app-b", "default", 80, "app-b.default.svc.cluster.local:80")
    made.endpoint = Endpoint(Address("10.0.0.1", 8080), "app-b-1", "default", "deployment/app-b")
    made.backend = "default/app-b:80"
    made.span = Span("80f198ee56343ba864fe8b2a57d3eff7", "e457b5a2e4d86bd1")
    return made


def main() -> None:
    factories = load(kinds=("exporter",)).exporters
    one = exchange()
    for name in (*sorted(factories), "access-log (file)"):
        context = ExporterContext(pod="app-a-1", options=OPTIONS.get(name, {}), write_line=lambda line: None)
        observe = factories[name.partition(" ")[0]](context).observe
        best = min(timeit.repeat(partial(observe, one), number=REQUESTS, repeat=3))
        print(f"{name:<20} {best / REQUESTS * 1e6:5.2f} us")
    tracer = Tracer(0.01)
    headers = one.headers
    best = min(timeit.repeat(partial(tracer.begin, headers), number=REQUESTS // 10, repeat=3))
    print(f"{'(trace context)':<20} {best / REQUESTS * 1e7:5.2f} us")


if __name__ == "__main__":
    main()
