"""Statuses, written to an API server on loopback: when, by whom, and what becomes of faults. Waits for events."""

import asyncio
import contextlib
import threading
from datetime import UTC, datetime

import pytest
from tulle_catalog_kubernetes import course, lease
from tulle_catalog_kubernetes.api import Api, configuration
from tulle_catalog_kubernetes.board import Board
from tulle_catalog_kubernetes.catalog import Kubernetes
from tulle_catalog_kubernetes.lease import Lease
from tulle_catalog_kubernetes.statuses import CONTROLLER
from tulle_catalog_kubernetes.writer import Turn, Writer, turn_of
from tulle_plugin_api.protocols import Status, Synced

ROUTES, POLICIES = "/apis/gateway.networking.k8s.io/v1/httproutes", "/apis/tulle.dev/v1alpha1/meshpolicies"
CORE = ("/api/v1/namespaces", "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices", "/api/v1/pods")
LEASE = "/apis/coordination.k8s.io/v1/namespaces/tulle-system/leases/who"
GUARD = 30.0


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pauses of a few milliseconds: what they are is test_course.py's."""
    monkeypatch.setattr(course, "FIRST", 0.005)
    monkeypatch.setattr(course, "LONGEST", 0.02)
    monkeypatch.setattr(course, "ABSENT", 0.02)


def said(reason="Accepted", status="True"):
    return {"type": "Accepted", "status": status, "reason": reason, "message": "", "observedGeneration": 1}


def policy(name, status=None):
    return {"metadata": {"name": name, "namespace": "demo", "generation": 1}, "spec": {}} | (
        {"status": status} if status else {}
    )


def wanted(name, reason="Accepted", status="True"):
    return Status("MeshPolicy", "demo", name, {"conditions": [said(reason, status)]})


@contextlib.asynccontextmanager
async def catalog(server, folder, **environment):
    """The whole plugin, synced; `written()` waits for the next write that is no Lease's."""
    server.serve(*CORE, ROUTES, POLICIES)
    settings = {"TULLE_KUBECONFIG": server.kubeconfig(folder), "TULLE_STATUS_LEASE": "tulle-system/who"} | environment
    made = Kubernetes.from_environment(settings)
    events = made.events()
    synced = asyncio.Event()

    async def read():
        async for event in events:
            if isinstance(event, Synced):
                synced.set()

    async def written():
        while True:
            write = await asyncio.to_thread(server.written.get, timeout=GUARD)
            if "leases" not in write[1]:
                return write

    reader = asyncio.create_task(read())
    try:
        async with asyncio.timeout(GUARD):
            await synced.wait()
        yield made, written
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await events.aclose()


def test_a_status_is_applied_to_what_was_looked_at_and_once(server, tmp_path):
    async def main():
        server.serve(POLICIES)
        server.put(POLICIES, policy("a"))
        server.put(POLICIES, policy("b"))
        async with catalog(server, tmp_path) as (made, written):
            made.report([wanted("a")])
            method, path, query, body, code = await written()
            assert (method, path) == ("PATCH", "/apis/tulle.dev/v1alpha1/namespaces/demo/meshpolicies/a/status")
            assert query == {"fieldManager": "tulle-control-plane", "force": "true"}
            assert code == 200
            assert body["metadata"].keys() == {"name", "namespace", "resourceVersion"}
            made.report([wanted("a")])  # nothing new
            made.report([wanted("a"), wanted("b", "Conflicted", "False")])
            assert (await written())[3]["metadata"]["name"] == "b"

    asyncio.run(main())


def test_a_status_that_somebody_took_off_comes_back(server, tmp_path):
    async def main():
        server.serve(POLICIES)
        server.put(POLICIES, policy("a"))
        async with catalog(server, tmp_path) as (made, written):
            made.report([wanted("a")])
            await written()
            server.put(POLICIES, policy("a"))
            assert (await written())[3]["metadata"]["name"] == "a"

    asyncio.run(main())


def test_an_answer_that_comes_after_the_news_is_no_news():
    """Somebody changed the object after our write, and the watch told of it before our write's answer was read."""
    board = Board()
    board.want([wanted("a")])
    metadata = {"name": "a", "namespace": "demo", "uid": "u"}
    board.saw("MeshPolicy", ("demo", "a"), {"metadata": metadata | {"resourceVersion": "104"}})
    board.saw("MeshPolicy", ("demo", "a"), {"metadata": metadata | {"resourceVersion": "103"}, "status": {"x": 1}})
    ((_, _, there),) = board.take()
    assert (there.version, there.status) == ("104", {})
    board.saw("MeshPolicy", ("demo", "a"), {"metadata": metadata | {"resourceVersion": "9", "uid": "v"}})
    assert board.take()[0][2].uid == "v"  # made anew, in a cluster that was restored


def test_a_shared_list_that_changed_meanwhile_is_looked_at_again(server, tmp_path):
    """Two controllers write at once: ours is refused (409), and its second try has the other's entry in it."""
    foreign = {"parentRef": {"name": "gate"}, "controllerName": "example.org/gateway", "conditions": [said()]}
    route = {"metadata": {"name": "r", "namespace": "demo"}, "spec": {}}

    async def main():
        server.serve(ROUTES)
        server.put(ROUTES, dict(route))
        async with catalog(server, tmp_path) as (made, written):

            def quicker():
                if foreign not in server.objects[ROUTES]["demo", "r"].get("status", {}).get("parents", ()):
                    server.put(ROUTES, route | {"status": {"parents": [foreign]}})

            server.before_write = quicker
            parent = {"parentRef": {"kind": "Service", "name": "app-b"}, "conditions": [said()]}
            made.report([Status("HTTPRoute", "demo", "r", {"parents": [parent]})])
            codes = []
            while not codes or codes[-1] != 200:
                codes.append((await written())[4])
            assert codes[0] == 409
            parents = server.objects[ROUTES]["demo", "r"]["status"]["parents"]
            assert [each["controllerName"] for each in parents] == ["example.org/gateway", CONTROLLER]

    asyncio.run(main())


def test_what_is_refused_is_tried_again_and_said_once(server, tmp_path, caplog):
    async def main():
        server.serve(POLICIES)
        server.put(POLICIES, policy("a"))
        path = "/apis/tulle.dev/v1alpha1/namespaces/demo/meshpolicies/a/status"
        server.refused[path] = [403, 403, 500]
        async with catalog(server, tmp_path) as (made, written):
            made.report([wanted("a")])
            assert [(await written())[4] for _ in range(4)] == [403, 403, 500, 200]

    asyncio.run(main())
    said = [record.message for record in caplog.records if "cannot be written" in record.message]
    assert len(said) == 2
    assert "role of this service account" in said[0]


def test_nothing_is_written_without_a_lease(server, tmp_path):
    async def main():
        server.serve(POLICIES)
        server.put(POLICIES, policy("a"))
        async with catalog(server, tmp_path, TULLE_STATUS_LEASE="") as (made, _):
            made.report([wanted("a")])
        assert "write statuses" not in {each.name for each in threading.enumerate()}
        assert server.written.empty()

    asyncio.run(main())


def test_an_object_that_is_gone_is_no_failure(server, tmp_path):
    async def main():
        server.serve(POLICIES)
        for name in "ab":
            server.put(POLICIES, policy(name))
        async with catalog(server, tmp_path) as (made, written):
            server.before_write = lambda: server.objects[POLICIES].pop(("demo", "a"), None)
            made.report([wanted("a"), wanted("b")])
            assert [(await written())[4] for _ in range(2)] == [404, 200]

    asyncio.run(main())


# --- whose turn it is --------------------------------------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def replica(server, folder, name, clock):
    api = Api(configuration({"TULLE_KUBECONFIG": server.kubeconfig(folder)}))
    return Lease(api, "tulle-system", "who", name, clock, lambda: datetime(2026, 1, 1, tzinfo=UTC))


def test_one_of_two_holds_the_lease_and_the_other_waits_its_whole_time(server, tmp_path):
    clock = Clock()
    first, second = (replica(server, tmp_path, name, clock) for name in ("first", "second"))
    assert first.renew()
    assert not second.renew()
    assert (first.held, second.held) == (True, False)
    clock.now += lease.RENEW
    assert not first.renew()  # it was ours before
    assert not second.renew()
    clock.now += lease.SECONDS - lease.MARGIN
    assert not first.held  # it stopped to believe in it ...
    assert not second.renew()  # ... before another may take it
    clock.now += lease.MARGIN
    assert second.renew()
    assert second.held
    assert server.leases[LEASE]["spec"]["holderIdentity"] == "second"
    assert server.leases[LEASE]["spec"]["leaseTransitions"] == 1
    assert not first.renew()
    assert not first.held


def test_of_two_that_take_it_at_once_one_gets_it(server, tmp_path):
    clock = Clock()
    first, second = (replica(server, tmp_path, name, clock) for name in ("first", "second"))

    def quicker():
        server.before_write = lambda: None
        assert second.renew()

    server.before_write = quicker
    assert not first.renew()
    assert (first.held, second.held) == (False, True)


def test_a_writer_whose_lease_went_to_another_writes_nothing(server, tmp_path):
    clock, board, stopping = Clock(), Board(), threading.Event()
    server.serve(POLICIES)
    server.put(POLICIES, policy("a"))
    first, second = (replica(server, tmp_path, name, clock) for name in ("first", "second"))
    writer = Writer(board, first, Api(configuration({"TULLE_KUBECONFIG": server.kubeconfig(tmp_path)})), stopping)
    assert writer.step() == 0.0
    assert not second.renew()
    clock.now += lease.SECONDS
    assert second.renew()
    board.saw("MeshPolicy", ("demo", "a"), server.objects[POLICIES]["demo", "a"])
    board.want([wanted("a")])
    assert writer.step() > 0
    assert "status" not in server.objects[POLICIES]["demo", "a"]
    clock.now += lease.SECONDS + 1  # the second is gone; what was not written meanwhile is
    writer.step()
    clock.now += lease.SECONDS + 1
    writer.step()
    assert server.objects[POLICIES]["demo", "a"]["status"]["conditions"][0]["reason"] == "Accepted"


def test_the_setting():
    assert turn_of({}) is None
    assert turn_of({"TULLE_STATUS_LEASE": "a/b", "HOSTNAME": "pod"})[:2] == Turn("a", "b", "")[:2]
    one, other = (turn_of({"TULLE_STATUS_LEASE": "a/b", "HOSTNAME": "pod"}).identity for _ in range(2))
    assert one != other  # a container that was restarted in its pod is another
    for bad in ("who", "a/", "/b", "a/b/c"):
        with pytest.raises(ValueError, match="expected NAMESPACE/NAME"):
            turn_of({"TULLE_STATUS_LEASE": bad})
