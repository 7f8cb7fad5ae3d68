"""The catalog plugin's events on their way in: one that breaks is named, started again, and takes nothing away."""

import asyncio
import logging

from tulle_control_plane import feed as feed_module
from tulle_control_plane.core.snapshots import Snapshots
from tulle_control_plane.feed import Feed
from tulle_plugin_api.protocols import Rejected, Synced, Upserted


class Scripted:
    """A catalog whose lives are scripts: each start plays the next; an exception in it is raised. The last stays."""

    def __init__(self, *lives) -> None:
        self.lives = list(lives)
        self.done = asyncio.Event()

    async def events(self):
        for step in self.lives.pop(0):
            if isinstance(step, Exception):
                raise step
            yield step
        if not self.lives:
            self.done.set()
            await asyncio.Event().wait()


def play(monkeypatch, *lives):
    """Run the lives one after the other; returns the core and the feed."""
    monkeypatch.setattr(feed_module, "PAUSE_FIRST", 0.0)
    snapshots = Snapshots()

    async def run():
        catalog = Scripted(*lives)
        feed = Feed("scripted", lambda: catalog, snapshots, lambda: None, lambda: 7.0)
        task = asyncio.create_task(feed.run())
        await asyncio.wait_for(catalog.done.wait(), 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return feed

    return snapshots, asyncio.run(run())


def names(snapshots):
    return [name for _, name in snapshots.store.keys("Service")]


def test_a_catalog_that_raises_is_named_and_started_again(monkeypatch, make, caplog):
    first = [
        Upserted(make.service("a")),
        Upserted(make.service("b", "10.96.0.8")),
        Synced(),
        RuntimeError("disk on fire"),
    ]
    second = [Upserted(make.service("b", "10.96.0.8")), Upserted(make.service("c", "10.96.0.9")), Synced()]
    snapshots, _ = play(monkeypatch, first, second)
    assert names(snapshots) == ["b", "c"]  # `a` went while nobody looked
    assert "'scripted' failed (RuntimeError: disk on fire)" in caplog.text


def test_until_the_new_start_has_told_all_nothing_is_taken_away(monkeypatch, make):
    first = [Upserted(make.service("a")), Upserted(make.service("b", "10.96.0.8")), Synced(), OSError("x")]
    second = [Upserted(make.service("b", "10.96.0.8"))]  # and no Synced
    snapshots, _ = play(monkeypatch, first, second)
    assert names(snapshots) == ["a", "b"]
    assert snapshots.synced


def test_a_catalog_that_breaks_before_it_synced_serves_nothing(monkeypatch, make):
    snapshots, _ = play(monkeypatch, [Upserted(make.service("a")), OSError("x")], [])
    assert not snapshots.synced


def test_a_catalog_that_ends_is_started_again(monkeypatch, make, caplog):
    snapshots, _ = play(monkeypatch, [Upserted(make.service("a")), Synced()], [Upserted(make.service("a")), Synced()])
    assert names(snapshots) == ["a"]
    assert "its events ended" in caplog.text


def test_a_bad_object_is_told_and_its_last_good_form_stays_over_a_restart(monkeypatch, make):
    bad = make.service("a", ports=[{"port": 0}])
    first = [Upserted(make.service("a")), Synced(), OSError("x")]
    snapshots, feed = play(monkeypatch, first, [Upserted(bad), Synced()])
    assert names(snapshots) == ["a"]
    assert "spec.ports[0].port" in snapshots.rejected["Service default/a"]
    assert feed.rejected_since == {"Service default/a": 7.0}


def test_rejections_of_a_former_life_are_forgotten(monkeypatch):
    snapshots, feed = play(monkeypatch, [Rejected("x.yaml", "line 1"), Synced(), OSError("x")], [Synced()])
    assert snapshots.rejected == {}
    assert feed.rejected_since == {}


def test_rejections_are_logged_once_and_so_is_their_end(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    play(monkeypatch, [Rejected("x.yaml", "line 1"), Rejected("x.yaml", "line 2"), Rejected("x.yaml", ""), Synced()])
    said = [(r.message, getattr(r, "source", "")) for r in caplog.records if getattr(r, "source", "")]
    assert said == [("refused, what was there before stays", "x.yaml"), ("good again", "x.yaml")]
