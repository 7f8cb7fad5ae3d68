"""The admin port: what it answers, and to whom."""

import json

import pytest
import trio
from tulle_data_plane.shell.admin import Admin
from tulle_plugin_api import Address, Exchange, Exporter
from tulle_testkit import http_upstream

pytestmark = pytest.mark.trio


async def test_what_there_is(mesh, harness):
    async with mesh() as m, m.admin() as admin:
        for path, body in (("/live", b"live\n"), ("/ready", b"ready\n"), ("/ready?verbose", b"ready\n")):
            answer = await admin.get(path)
            assert (answer.status, answer.body) == (200, body)
        answer = await admin.request("HEAD", "/live")
        assert (answer.status, answer.body) == (200, b"")
        answer = await admin.get("/nothing")
        assert (answer.status, answer.body) == (404, b"there are: /config, /live, /metrics, /ready, /shutdown\n")
        answer = await admin.request("POST", "/live")
        assert (answer.status, answer.headers["allow"]) == (405, "GET")
        answer = await admin.get("/shutdown")
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        assert m.seen.ended == [], "nobody's traffic"


async def test_bad_requests_are_refused_there_too(mesh, harness):
    async with mesh() as m, m.admin() as admin:
        await admin.stream.send_all(b"GET /live HTTP/1.1\r\n\r\n")
        await admin.stream.send_eof()
        got, clean = await harness.Peer(admin.stream).rest()
        assert got.startswith(b"HTTP/1.1 400 ")
        assert clean


async def test_metrics_without_an_exporter_are_the_proxys_own(mesh, harness):
    async with mesh() as m, http_upstream() as app, m.admin() as admin:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.get()
            answer = await admin.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        figures = dict(line.rsplit(" ", 1) for line in answer.body.decode().splitlines())
        assert figures["tulle_proxy_pool_connects_total"] == "1"
        assert figures["tulle_proxy_connections_open_outbound"] == "1"
        assert float(figures["tulle_proxy_resident_bytes"]) > 1e6
        assert answer.body.endswith(b"\n")


class Collecting(Exporter):
    """Says `text`, or raises it."""

    def __init__(self, text):
        self.text = text

    def observe(self, exchange):
        pass

    def collect(self):
        if isinstance(self.text, BaseException):
            raise self.text
        return self.text


async def test_metrics_are_what_exporters_collect(mesh, harness):
    texts = {"a": b"a 1\n", "push": None, "bad": ValueError("x"), "b": b"b 2\n"}
    plugins = harness.plugins(exporters={name: lambda context, t=t: Collecting(t) for name, t in texts.items()})
    async with mesh(plugins, exporters=tuple(texts)) as m, m.admin() as admin:
        answer = await admin.get("/metrics")
        assert (answer.status, answer.body) == (200, b"a 1\nb 2\n"), "one that raises hides no others"


async def test_the_configuration_in_force(mesh, harness):
    async with mesh() as m, http_upstream() as app, m.admin() as admin:
        await m.service(harness.VIP, app.port)
        async with m.client() as client:
            await client.get()
            shown = json.loads((await admin.get("/config")).body)
        assert shown["pod"] == "default/app-a-1"
        assert shown["control_plane"] == {"address": "", "connected": False}
        assert shown["destinations"]["10.96.0.1:80"] == {
            "version": "v1", "known": True, "service": "app-b.default.svc.cluster.local:80",
            "protocol": "PROTOCOL_DETECT", "connections": 1,
            "backends": {"default/app-b:80": {"resolved": True, "endpoints": {
                f"127.0.0.1:{app.port}": {"pod": "pod-0", "weight": 1, "state": "ready"}}}},
        }


async def test_shutdown_from_within_the_pod(mesh, harness):
    async with mesh() as m, m.admin() as admin:
        answer = await admin.request("POST", "/shutdown")
        assert (answer.status, answer.body) == (200, b"shutting down\n")


@pytest.mark.parametrize("ip", ["10.1.0.9", "192.0.2.1", "fd00::1", "1.127.0.0", ""])
async def test_shutdown_from_elsewhere_is_refused(ip):
    called = []
    admin = Admin(ready=str, config=dict, exporters={}, counters=dict, shutdown=lambda: called.append(1),
                  failed=print)
    exchange = Exchange()
    exchange.method, exchange.path, exchange.source = "POST", "/shutdown", Address(ip, 1)
    response = await admin.handler(exchange)
    assert (response.status, called) == (403, [])
    for loopback in ("127.0.0.1", "127.3.2.1", "::1"):
        exchange.source = Address(loopback, 1)
        assert (await admin.handler(exchange)).status == 200
    assert called == [1, 1, 1]


async def test_a_slow_client_of_the_admin_port_is_given_up(mesh, harness, mock_clock):
    async with mesh() as m, m.admin() as admin:
        await admin.stream.send_all(b"GET /liv")
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(5.1)
        assert (await harness.Peer(admin.stream).until()).startswith(b"HTTP/1.1 408 ")


async def test_readiness_without_a_control_plane(mesh, harness):
    async with mesh() as m:
        assert m.proxy.ready() == ""
        m.proxy.shut_down()
        assert m.proxy.ready() == "draining"
