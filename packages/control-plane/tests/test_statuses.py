"""The statuses that a catalog is to write: of which objects, for which parents, when."""

import asyncio

import pytest
from tulle_control_plane import reporting
from tulle_control_plane.core.snapshots import Snapshots
from tulle_control_plane.core.statuses import Statuses
from tulle_control_plane.reporting import Reporting
from tulle_plugin_api.protocols import Catalog, Deleted, Rejected, Synced, Upserted


class World:
    """A core and its statuses, both fed."""

    def __init__(self, core, gone=dict):
        self.core = core
        self.statuses = Statuses(core, gone)

    def tell(self, *objects):
        return [self.note(Upserted(each)) for each in objects]

    def note(self, event):
        self.core.apply(event)
        return self.statuses.note(event)

    def parents(self, name="app-b"):
        """parentRef's name -> {type: (status, reason)}."""
        (found,) = [each for each in self.statuses.all() if each.name == name]
        return {each["parentRef"]["name"]: types(each) for each in found.status["parents"]}


def types(said):
    return {each["type"]: (each["status"], each["reason"]) for each in said["conditions"]}


GOOD = {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}


@pytest.fixture
def world():
    return World(Snapshots())


def two_parents(make, **more):
    route = make.route(backends={"app-b:80": 1}, **more)
    route["metadata"]["generation"] = 7
    route["spec"]["parentRefs"] += [
        {"group": "", "kind": "Service", "name": "nobody"},
        {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gate"},
    ]
    return route


def test_each_parent_that_is_a_service_is_told_for_itself(world, make):
    world.tell(make.service(), two_parents(make))
    lost = GOOD | {"Accepted": ("False", "NoMatchingParent")}
    assert world.parents() == {"app-b": GOOD, "nobody": lost}  # and of the Gateway nothing
    (status,) = world.statuses.all()
    assert (status.kind, status.namespace, status.name) == ("HTTPRoute", "default", "app-b")
    first = status.status["parents"][0]
    assert first["parentRef"] == {"group": "", "kind": "Service", "name": "app-b"}
    assert {each["observedGeneration"] for each in first["conditions"]} == {7}


def test_a_refused_route_says_so_to_all_its_parents_of_its_new_generation(world, make):
    route = two_parents(make)
    route["spec"]["rules"][0]["backendRefs"][0]["weight"] = -1
    route["spec"]["rules"].append({})
    world.tell(make.service(), route)
    assert world.parents() == {each: {"Accepted": ("False", "Invalid")} for each in ("app-b", "nobody")}
    text = world.statuses.all()[0].status["parents"][0]["conditions"][0]["message"]
    assert "nothing of it is in force" in text
    world.tell(two_parents(make), route)  # a good one, then the bad one again: some rules of it are good
    assert world.parents()["app-b"] == {
        "Accepted": ("True", "Accepted"), "PartiallyInvalid": ("True", "UnsupportedValue"),
    }  # fmt: skip


def test_a_policy(world, make):
    policy = {
        "apiVersion": "tulle.dev/v1alpha1",
        "kind": "MeshPolicy",
        "metadata": {"name": "x", "namespace": "default", "generation": 2},
        "spec": {"targetRef": {"kind": "Service", "name": "app-b"}, "type": "timeout", "config": {}},
    }
    world.tell(policy)
    (status,) = world.statuses.all()  # no such plugin in this core: refused
    (condition,) = status.status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Accepted", "False", "Invalid")
    assert condition["observedGeneration"] == 2
    world.note(Deleted("MeshPolicy", "default", "x"))
    assert world.statuses.all() == []


def test_only_what_a_condition_depends_on_is_a_reason_to_look(world, make):
    assert world.tell(make.service(), make.route()) == [True, True]
    assert world.tell(make.slice(), make.pod("p")) == [False, False]
    assert world.note(Deleted("Pod", "default", "p")) is False
    assert world.note(Deleted("Service", "default", "app-b")) is True
    assert world.note(Rejected("x.yaml", "line 1")) is True
    assert world.note(Synced()) is True


class Taking(Catalog):
    def __init__(self):
        self.taken = asyncio.Queue()
        self.problem = None

    async def events(self):
        yield Synced()

    def report(self, statuses):
        if self.problem is not None:
            problem, self.problem = self.problem, None
            raise problem
        self.taken.put_nowait(statuses)


class Telling(Catalog):
    """One that has nowhere to write."""

    async def events(self):
        yield Synced()


def reported(world, catalog, script):
    """Run `script(reporting)` while it reports to `catalog`."""

    async def main():
        told = Reporting(world.statuses, lambda: catalog, lambda: world.core.synced)
        task = asyncio.create_task(told.run())
        try:
            async with asyncio.timeout(20):
                return await script(told)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return asyncio.run(main())


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(reporting, "PAUSE", 0.0)


def tell(world, told, *events):
    for event in events:
        world.core.apply(event)
        told.noted(event)


def test_nothing_is_reported_before_all_is_known_and_then_all_at_once(world, make, at_once):
    catalog = Taking()

    async def script(told):
        tell(world, told, Upserted(make.route()))
        for _ in range(5):
            await asyncio.sleep(0)
        assert catalog.taken.empty()  # its Service may be told next: "there is no such Service" would be a lie
        tell(world, told, Upserted(make.service()), Synced())
        (status,) = await catalog.taken.get()
        assert types(status.status["parents"][0])["Accepted"] == ("True", "Accepted")

    reported(world, catalog, script)


def test_a_catalog_that_raises_is_named_and_told_again_at_the_next_change(world, make, at_once, caplog):
    catalog = Taking()
    catalog.problem = RuntimeError("no room")

    async def script(told):
        tell(world, told, Upserted(make.service()), Upserted(make.route()), Synced())
        while catalog.problem is not None:
            await asyncio.sleep(0)
        tell(world, told, Upserted(make.service()))
        assert len(await catalog.taken.get()) == 1

    reported(world, catalog, script)
    assert "did not take the statuses of 1 objects" in caplog.text


def test_a_catalog_that_writes_nothing_is_not_asked(world, make, at_once, monkeypatch):
    monkeypatch.setattr(world.statuses, "all", lambda: pytest.fail("computed for nobody"))

    async def script(told):
        tell(world, told, Upserted(make.service()), Upserted(make.route()), Synced())
        for _ in range(10):
            await asyncio.sleep(0)

    reported(world, Telling(), script)
