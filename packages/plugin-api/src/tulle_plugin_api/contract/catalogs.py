"""The contract of catalogs, as tests.

Owns what the control plane relies on: everything that exists, then `Synced`, once, then changes, for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from tulle_plugin_api.contract.judge import installed, not_installed
from tulle_plugin_api.protocols import Catalog, CatalogEvent, CatalogFactory, Deleted, Rejected, Synced, Upserted

GUARD_SECONDS = 60.0
"""A catalog that has said nothing for so long is taken to hang. A guard, not a measurement."""


class CatalogContract:
    """Subclass it in a test file, set `plugin`, say in `environment` where its source is, and run pytest."""

    plugin: ClassVar[str]
    """The catalog's name, as in TULLE_CATALOG."""

    needs_environment: ClassVar[bool] = True
    """It cannot be made without its variables."""

    def environment(self, folder: Path) -> Mapping[str, str]:
        """The control plane's environment, for a source that holds at least one object. `folder` is yours to fill."""
        raise NotImplementedError(f"{type(self).__name__}.environment: prepare a source, and return its variables")

    @pytest.fixture
    def factory(self) -> CatalogFactory:
        """The installed plugin's."""
        plugins = installed()
        assert self.plugin in plugins.catalogs, not_installed(
            "catalog", self.plugin, plugins.catalogs, plugins.failures
        )
        return plugins.catalogs[self.plugin]

    @pytest.fixture
    def catalog(self, factory: CatalogFactory, tmp_path: Path) -> Catalog:
        """A new one, its source at hand."""
        return factory(self.environment(tmp_path))

    def test_the_factory_makes_a_catalog_each_time_a_new_one(self, factory: CatalogFactory, tmp_path: Path) -> None:
        """From the environment that it is given, not from the process's."""
        environment = self.environment(tmp_path)
        one, other = factory(environment), factory(environment)
        assert isinstance(one, Catalog)
        assert one is not other

    def test_without_its_variables_it_says_which(self, factory: CatalogFactory) -> None:
        """With ValueError, naming the variable: the control plane prints that and exits with 2."""
        if not self.needs_environment:
            pytest.skip("needs none")
        with pytest.raises(ValueError, match="TULLE_"):
            factory({})

    def test_everything_then_synced(self, catalog: Catalog) -> None:
        """Objects of Kubernetes' shape; `Synced` after them, and only then."""
        events = asyncio.run(_until_synced(catalog))
        assert isinstance(events[-1], Synced)
        objects = [event.object for event in events if isinstance(event, Upserted)]
        assert objects, "`environment` should prepare at least one object"
        for obj in objects:
            _check_object(obj)
        for event in events[:-1]:
            assert isinstance(event, Upserted | Deleted | Rejected), f"{event!r} is no CatalogEvent"

    def test_told_anew_to_each_listener(self, catalog: Catalog) -> None:
        """A second run of `events` tells everything again: the control plane restarts it after an error."""

        async def twice() -> tuple[list[CatalogEvent], list[CatalogEvent]]:
            return await _until_synced(catalog), await _until_synced(catalog)

        first, second = asyncio.run(twice())
        assert _names(first) == _names(second)

    def test_it_goes_on_after_synced(self, catalog: Catalog) -> None:
        """It ends by cancellation, and then at once; never by itself."""

        async def life() -> bool:
            events = cast("AsyncGenerator[CatalogEvent, None]", catalog.events())
            async for event in events:
                if isinstance(event, Synced):
                    break
            following = asyncio.ensure_future(anext(events, None))
            for _ in range(20):
                await asyncio.sleep(0)
            ended = following.done() and following.exception() is None and following.result() is None
            following.cancel()
            await asyncio.wait({following}, timeout=GUARD_SECONDS)
            assert following.done(), "cancelling events() did not end it"
            await events.aclose()
            return ended

        assert not asyncio.run(life()), "events() ended; it watches for ever"


async def _until_synced(catalog: Catalog) -> list[CatalogEvent]:
    told: list[CatalogEvent] = []
    events = cast("AsyncGenerator[CatalogEvent, None]", catalog.events())
    try:
        async with asyncio.timeout(GUARD_SECONDS):
            async for event in events:
                told.append(event)
                if isinstance(event, Synced):
                    break
    finally:
        await events.aclose()
    return told


def _names(events: list[CatalogEvent]) -> list[tuple[str, str, str]]:
    objects = [event.object for event in events if isinstance(event, Upserted)]
    return sorted((obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]) for obj in objects)


def _check_object(obj: Mapping[str, Any]) -> None:
    assert isinstance(obj, Mapping), f"{obj!r} is no object"
    assert isinstance(obj.get("apiVersion"), str), f"an object has no apiVersion: {obj!r}"
    assert isinstance(obj.get("kind"), str), f"an object has no kind: {obj!r}"
    metadata = obj.get("metadata")
    assert isinstance(metadata, Mapping), f"an object has no metadata: {obj!r}"
    assert isinstance(metadata.get("name"), str), f"an object has no name: {obj!r}"
