"""The catalog over a real folder. Waits are for events; that nothing is told is shown by what is told next."""

import asyncio
import json
import logging
import os
import shutil
from pathlib import Path

import pytest
from tulle_catalog_manifests import Manifests, notifications, tulle_catalogs
from tulle_catalog_manifests import catalog as catalog_module
from tulle_plugin_api.protocols import Deleted, Rejected, Synced, Upserted

HANG = 20.0  # a test that waits so long has failed


def service(name, value=0):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"value": value},
    }


def put(path: Path, *objects, text: str | None = None) -> None:
    """As the lab does it: a finished file, renamed over the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text if text is not None else "\n---\n".join(json.dumps(obj) for obj in objects))
    os.replace(new, path)


class Told:
    """The catalog's events, in a notation for people."""

    def __init__(self, folder: Path) -> None:
        self.events = Manifests(folder).events()

    async def next(self) -> str:
        match await asyncio.wait_for(anext(self.events), HANG):
            case Upserted(obj):
                return f"+{obj['metadata']['name']}={obj['spec']['value']}"
            case Deleted(_, _, name):
                return f"-{name}"
            case Rejected(source, problem):
                return f"!{source}: {problem}" if problem else f"ok {source}"
            case Synced():
                return "synced"

    async def until(self, wanted: str) -> list[str]:
        found = [await self.next()]
        while found[-1] != wanted:
            found.append(await self.next())
        return found

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exception):
        await self.events.aclose()


def run(test):
    def wrapped(tmp_path, *arguments):
        asyncio.run(asyncio.wait_for(test(tmp_path / "manifests", *arguments), HANG * 2))

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


@run
async def test_everything_then_synced_then_each_change(folder):
    put(folder / "b.yaml", service("y"), service("z"))
    put(folder / "deep" / "er" / "a.json", service("x"))
    put(folder / "notes.txt", text="not a manifest")
    async with Told(folder) as told:
        assert await told.until("synced") == ["+x=0", "+y=0", "+z=0", "synced"]
        put(folder / "deep" / "er" / "a.json", service("x", 1))
        assert await told.next() == "+x=1"
        put(folder / "new" / "c.yml", service("c"))  # a folder that did not exist before
        assert await told.next() == "+c=0"
        (folder / "b.yaml").unlink()
        assert [await told.next(), await told.next()] == ["-y", "-z"]


@run
async def test_an_empty_folder_is_waited_for(folder):
    """After a restart it would tell every proxy that nothing exists."""
    folder.mkdir()
    async with Told(folder) as told:
        waiting = asyncio.ensure_future(told.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        put(folder / "a.json", service("x"))
        assert await waiting == "+x=0"
        assert await told.next() == "synced"


@run
async def test_a_missing_folder_is_waited_for(folder):
    async with Told(folder) as told:
        waiting = asyncio.ensure_future(told.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        put(folder.with_name("building") / "a.json", service("x"))
        folder.with_name("building").rename(folder)
        assert await waiting == "+x=0"
        assert await told.next() == "synced"


def test_a_missing_folder_is_said_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(catalog_module, "MISSING_SECONDS", 0.0)

    @run
    async def test(folder):
        async with Told(folder) as told:
            waiting = asyncio.ensure_future(told.next())
            for _ in range(50):
                await asyncio.sleep(0)
            put(folder / "a.json", service("x"))
            assert await waiting == "+x=0"

    test(tmp_path)
    said = [r.getMessage() for r in caplog.records if "waiting for the folder" in r.getMessage()]
    assert len(said) == 1
    assert str(tmp_path / "manifests") in said[0]


@run
async def test_a_bad_file_is_named_and_what_it_held_stays(folder):
    put(folder / "a.yaml", service("x"))
    async with Told(folder) as told:
        await told.until("synced")
        put(folder / "a.yaml", text="kind: [")
        assert (await told.next()).startswith("!a.yaml: line ")
        put(folder / "b.json", service("y"))
        assert await told.next() == "+y=0"  # and nothing about x
        put(folder / "a.yaml", service("x", 2))
        assert [await told.next(), await told.next()] == ["ok a.yaml", "+x=2"]


@run
async def test_a_bad_file_at_the_start_does_not_keep_the_rest(folder):
    put(folder / "a.yaml", text="- nonsense")
    put(folder / "b.yaml", service("y"))
    async with Told(folder) as told:
        assert [e.split(":")[0] for e in await told.until("synced")] == ["!a.yaml", "+y=0", "synced"]


@run
async def test_a_duplicate_names_both_files(folder):
    put(folder / "a.yaml", service("x"))
    async with Told(folder) as told:
        await told.until("synced")
        put(folder / "deep" / "b.json", service("x", 2))
        said = await told.next()
        assert said.startswith("!deep/b.json: Service default/x is in a.yaml too")


@run
async def test_a_folder_that_vanishes_takes_nothing_away(folder):
    put(folder / "a.json", service("x"))
    put(folder / "b.json", service("y"))
    async with Told(folder) as told:
        await told.until("synced")
        aside = folder.with_name("aside")
        waiting = asyncio.ensure_future(told.next())
        folder.rename(aside)
        put(aside / "c.json", service("z"))
        (aside / "a.json").unlink()
        aside.rename(folder)
        assert [await waiting, await told.next()] == ["-x", "+z=0"]  # y was never gone


@run
async def test_a_folder_that_comes_back_empty_is_not_complete_yet(folder):
    put(folder / "a.json", service("x"))
    async with Told(folder) as told:
        await told.until("synced")
        waiting = asyncio.ensure_future(told.next())
        shutil.rmtree(folder)
        await asyncio.sleep(0)
        folder.mkdir()
        put(folder / "a.json", service("x", 1))
        event = await waiting
        # rmtree removes the file before the folder: the one thing that may be told in between is just that
        assert event in ("+x=1", "-x")


@run
async def test_many_files_written_at_once_are_told_once_each(folder):
    put(folder / "first.json", service("first"))
    async with Told(folder) as told:
        await told.until("synced")
        for turn in range(5):
            for i in range(200):
                put(folder / f"s{i}.json", service(f"s{i}", turn))
        put(folder / "z-last.json", service("zz"))
        found = await told.until("+zz=0")
        assert len([e for e in found if e.endswith("=4")]) == 200
        assert len(found) < 1000  # what was written over before anybody looked is not told


@run
async def test_hidden_files_and_links_to_folders_are_not_looked_at(folder):
    put(folder / "a.json", service("x"))
    put(folder / ".git" / "b.json", service("hidden"))
    (folder / "loop").symlink_to(folder)
    async with Told(folder) as told:
        assert await told.until("synced") == ["+x=0", "synced"]


@run
async def test_a_config_map_mount(folder):
    """Kubernetes swaps a link to a hidden folder; the files are links through it."""
    put(folder / "..first" / "a.json", service("x"))
    (folder / "..data").symlink_to("..first")
    (folder / "a.json").symlink_to("..data/a.json")
    async with Told(folder) as told:
        assert await told.until("synced") == ["+x=0", "synced"]
        put(folder / "..second" / "a.json", service("x", 1))
        (folder / "..tmp").symlink_to("..second")
        os.replace(folder / "..tmp", folder / "..data")
        assert await told.next() == "+x=1"


def test_without_notifications_the_timer_finds_changes(tmp_path, monkeypatch, caplog):
    async def broken(*arguments, **options):
        raise OSError("inotify watch limit reached")
        yield

    monkeypatch.setattr(notifications.watchfiles, "awatch", broken)
    monkeypatch.setattr(notifications, "TIMER_SECONDS", 0.01)
    caplog.set_level(logging.WARNING)

    @run
    async def test(folder):
        put(folder / "a.json", service("x"))
        async with Told(folder) as told:
            await told.until("synced")
            put(folder / "a.json", service("x", 1))
            assert await told.next() == "+x=1"

    test(tmp_path)
    assert "inotify watch limit reached" in caplog.text


def test_lost_notifications_are_caught_by_the_next_look(tmp_path, monkeypatch):
    async def silent(*arguments, **options):
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr(notifications.watchfiles, "awatch", silent)
    monkeypatch.setattr(notifications, "RESCAN_SECONDS", 0.01)

    @run
    async def test(folder):
        put(folder / "a.json", service("x"))
        async with Told(folder) as told:
            await told.until("synced")
            put(folder / "a.json", service("x", 1))
            assert await told.next() == "+x=1"

    test(tmp_path)


def test_a_folder_put_in_the_place_of_another_is_watched_from_then_on(tmp_path, monkeypatch):
    """The kernel goes on watching the old one; without the timer, changes in the new one show who watches it."""
    monkeypatch.setattr(notifications, "RESCAN_SECONDS", 1000.0)

    @run
    async def test(folder):
        put(folder / "a.json", service("x"))
        new = folder.with_name("new")
        put(new / "a.json", service("x", 1))
        async with Told(folder) as told:
            await told.until("synced")
            waiting = asyncio.ensure_future(told.next())
            folder.rename(folder.with_name("old"))
            new.rename(folder)
            assert await waiting == "+x=1"
            for value in range(2, 5):
                put(folder / "a.json", service("x", value))
                assert await told.next() == f"+x={value}"

    test(tmp_path)


@run
async def test_nothing_runs_on_after_the_end(folder):
    put(folder / "a.json", service("x"))
    async with Told(folder) as told:
        await told.until("synced")
        waiting = asyncio.ensure_future(told.next())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()} | {
        task for task in asyncio.all_tasks() if "wait_for" in repr(task)
    }


def test_the_plugin_is_found_and_its_setting_is_named():
    factory = tulle_catalogs()["manifests"]
    with pytest.raises(ValueError, match="TULLE_MANIFESTS is not set; name the folder"):
        factory({})
    assert factory({"TULLE_MANIFESTS": "x"}).path == Path("x").absolute()


def test_the_loader_finds_it():
    from tulle_plugin_api import load

    plugins = load(kinds=["catalog"])
    assert "manifests" in plugins.catalogs, plugins.infos
