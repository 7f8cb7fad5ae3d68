"""The whole plugin against an API server on loopback: faults happen, and what is told stays true. Waits for events."""

import asyncio
import contextlib
import random
import threading

import pytest
from tulle_catalog_kubernetes import course
from tulle_catalog_kubernetes.api import Api, ApiFailure, configuration
from tulle_catalog_kubernetes.catalog import Kubernetes
from tulle_catalog_kubernetes.resources import RESOURCES
from tulle_catalog_kubernetes.watcher import Watcher
from tulle_plugin_api.protocols import Deleted, Rejected, Synced, Upserted

SERVICES, ROUTES = "/api/v1/services", "/apis/gateway.networking.k8s.io/v1/httproutes"
GRANTS_OLD = "/apis/gateway.networking.k8s.io/v1beta1/referencegrants"
CORE = ("/api/v1/namespaces", SERVICES, "/apis/discovery.k8s.io/v1/endpointslices", "/api/v1/pods")
GUARD = 30.0


def service(name, port=80):
    return {"metadata": {"name": name, "namespace": "demo"}, "spec": {"ports": [{"port": port}]}}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pauses of a few milliseconds: what they are is test_course.py's."""
    monkeypatch.setattr(course, "FIRST", 0.005)
    monkeypatch.setattr(course, "LONGEST", 0.02)
    monkeypatch.setattr(course, "ABSENT", 0.02)


@contextlib.asynccontextmanager
async def listening(server, folder):
    """`until(predicate)` reads events until one is such, and returns all that were read on the way."""
    server.serve(*CORE)
    events = Kubernetes.from_environment({"TULLE_KUBECONFIG": server.kubeconfig(folder)}).events()

    async def until(predicate):
        told = []
        async with asyncio.timeout(GUARD):
            async for event in events:
                told.append(event)
                if predicate(event):
                    return told
        raise AssertionError("the events ended")

    try:
        yield until
    finally:
        await events.aclose()


def upserted(name):
    return lambda event: isinstance(event, Upserted) and event.object["metadata"]["name"] == name


def synced(event):
    return isinstance(event, Synced)


def test_pages_then_synced_then_changes(server, tmp_path):
    async def main():
        server.serve(*CORE)
        for number in range(5):  # three pages
            server.put(SERVICES, service(f"s{number}"))
        async with listening(server, tmp_path) as until:
            told = await until(synced)
            assert sorted(e.object["metadata"]["name"] for e in told[:-1]) == [f"s{n}" for n in range(5)]
            server.put(SERVICES, service("s5"))
            await until(upserted("s5"))
            server.delete(SERVICES, "demo", "s0")
            assert await until(lambda event: isinstance(event, Deleted)) == [Deleted("Service", "demo", "s0")]

    asyncio.run(main())


def test_410_tells_what_was_missed_and_nothing_else(server, tmp_path):
    async def main():
        async with listening(server, tmp_path) as until:
            for name in "abc":
                server.put(SERVICES, service(name))
            await until(synced)
            server.delete(SERVICES, "demo", "a", quietly=True)
            server.end_watches(compact=True)
            assert await until(lambda event: isinstance(event, Deleted)) == [Deleted("Service", "demo", "a")]
            server.put(SERVICES, service("d"))
            assert len(await until(upserted("d"))) == 1  # b and c were not told again

    asyncio.run(main())


def test_a_stream_cut_in_the_middle_of_an_event_loses_nothing(server, tmp_path):
    async def main():
        async with listening(server, tmp_path) as until:
            await until(synced)
            server.halves = 3
            server.put(SERVICES, service("a"))
            told = await until(upserted("a"))
            assert len([event for event in told if not isinstance(event, Rejected)]) == 1
            assert server.halves == 0

    asyncio.run(main())


def test_watches_ask_for_bookmarks_and_go_on_from_where_they_were(server, tmp_path):
    async def main():
        async with listening(server, tmp_path) as until:
            await until(synced)
            server.put(SERVICES, service("a"))
            await until(upserted("a"))
            server.say(SERVICES, "BOOKMARK", {"metadata": {"resourceVersion": str(server.version + 1)}})
            marked = server.version
            server.put(SERVICES, service("b"))
            await until(upserted("b"))
            server.end_watches()
            versions = []
            while not versions or versions[-1] <= marked:  # the next watch begins where the bookmark was, or after
                path, query = await asyncio.to_thread(server.seen.get, timeout=GUARD)
                if path == SERVICES and "watch" in query:
                    assert query["allowWatchBookmarks"] == "true"
                    assert course.WATCH_SECONDS[0] <= int(query["timeoutSeconds"]) <= course.WATCH_SECONDS[1]
                    versions.append(int(query["resourceVersion"]))

    asyncio.run(main())


def test_a_kind_that_comes_later_and_goes_again(server, tmp_path):
    async def main():
        async with listening(server, tmp_path) as until:
            assert await until(synced) == [Synced()]  # without HTTPRoutes there are none
            server.serve(ROUTES)
            server.put(ROUTES, {"metadata": {"name": "r", "namespace": "demo"}, "spec": {}})
            told = await until(upserted("r"))
            assert told[-1].object["apiVersion"] == "gateway.networking.k8s.io/v1"
            with server.lock:
                del server.objects[ROUTES]
            server.end_watches()
            assert await until(lambda event: isinstance(event, Deleted)) == [Deleted("HTTPRoute", "demo", "r")]

    asyncio.run(main())


def test_an_older_version_of_a_kind_is_read_where_there_is_no_other(server, tmp_path):
    async def main():
        server.serve(GRANTS_OLD)
        server.put(GRANTS_OLD, {"metadata": {"name": "g", "namespace": "demo"}, "spec": {}})
        async with listening(server, tmp_path) as until:
            told = await until(synced)
            assert told[0].object["apiVersion"] == "gateway.networking.k8s.io/v1beta1"

    asyncio.run(main())


def test_nothing_is_synced_while_a_kind_is_refused_and_the_reason_is_told(server, tmp_path):
    async def main():
        server.refused[SERVICES] = 403
        async with listening(server, tmp_path) as until:
            told = await until(lambda event: isinstance(event, Rejected))
            assert told[-1].source == "kubernetes services"
            assert "refused by the test; the role of this service account must allow list" in told[-1].problem
            assert not any(map(synced, told))
            del server.refused[SERVICES]
            assert Rejected("kubernetes services", "") in await until(synced)

    asyncio.run(main())


def test_an_api_server_that_fails_for_a_while_empties_nothing(server, tmp_path):
    async def main():
        async with listening(server, tmp_path) as until:
            for name in "abc":
                server.put(SERVICES, service(name))
            await until(synced)
            server.refused[SERVICES] = [500, 503, 429, 401, 500]
            server.end_watches()
            server.put(SERVICES, service("d"))
            told = await until(upserted("d"))
            assert not [event for event in told if isinstance(event, Deleted)]
            assert not [event for event in told if upserted("a")(event)]

    asyncio.run(main())


def test_a_stream_that_makes_no_sense_is_left_for_a_list(server, tmp_path):
    async def main():
        async with listening(server, tmp_path) as until:
            server.put(SERVICES, service("a"))
            await until(synced)
            server.say(SERVICES, "ADDED", {"metadata": {"labels": {}}})
            with server.lock:
                server.history.clear()
            server.put(SERVICES, service("b"))
            told = await until(upserted("b"))
            assert len([event for event in told if not isinstance(event, Rejected)]) == 1

    asyncio.run(main())


def test_a_reader_that_leaves_ends_the_threads(server, tmp_path):
    async def main():
        async with listening(server, tmp_path) as until:
            await until(synced)
            threads = [each for each in threading.enumerate() if each.name.startswith("watch ")]
            assert len(threads) == len(RESOURCES)
        await asyncio.to_thread(lambda: [each.join(GUARD) for each in threads])
        assert not [each for each in threads if each.is_alive()]

    asyncio.run(main())


def test_a_slow_reader_holds_the_streams_and_not_the_memory(server, tmp_path):
    """A watcher's second piece of news waits until its first was taken."""
    server.serve(*CORE)
    server.put(SERVICES, service("a"))
    entered, release = threading.Semaphore(0), threading.Semaphore(0)

    def tell(events, *, synced):
        entered.release()
        assert release.acquire(timeout=GUARD)

    api = Api(configuration({"TULLE_KUBECONFIG": server.kubeconfig(tmp_path)}))
    stopping = threading.Event()
    services = next(each for each in RESOURCES if each.kind == "Service")
    watcher = Watcher(services, api, tell, stopping, chance=random.Random(1))
    thread = threading.Thread(target=watcher.run)
    thread.start()
    assert entered.acquire(timeout=GUARD)
    requests = []
    while not server.seen.empty():
        requests.append(server.seen.get())
    assert [query.get("watch") for _, query in requests] == [None]  # it watches once the list was taken
    release.release()
    assert server.seen.get(timeout=GUARD)[1]["watch"] == "true"
    stopping.set()
    api.close()
    thread.join(GUARD)
    assert not thread.is_alive()


def test_settings_that_cannot_work_say_what_would(tmp_path):
    with pytest.raises(ValueError, match="TULLE_KUBECONFIG is not set, and this is no pod"):
        configuration({})
    with pytest.raises(ValueError, match="TULLE_KUBECONFIG="):
        configuration({"TULLE_KUBECONFIG": str(tmp_path / "missing")})
    with pytest.raises(ValueError, match="the pod's service account: Service token file does not exist"):
        configuration({"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"})


def test_an_answer_that_is_no_json_is_a_failure(server, tmp_path, monkeypatch):
    api = Api(configuration({"TULLE_KUBECONFIG": server.kubeconfig(tmp_path)}))
    monkeypatch.setattr(api, "stream", lambda *_: iter([b"<html>"]))
    with pytest.raises(ApiFailure, match="not JSON"):
        api.get("/x", {})


def test_nobody_there_is_a_failure(tmp_path, server):
    path = server.kubeconfig(tmp_path)
    api = Api(configuration({"TULLE_KUBECONFIG": path}))
    server.server.shutdown()
    server.server.server_close()
    with pytest.raises(ApiFailure) as caught:
        api.get(SERVICES, {})
    assert caught.value.status == 0
