"""What it tells when the file changes. Nothing here waits for long: the look at the file is made frequent."""

import asyncio
import json

import tulle_catalog_json_file
from tulle_catalog_json_file import VARIABLE, JsonFile
from tulle_plugin_api import Deleted, Rejected, Synced, Upserted


def service(name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "demo"}, "spec": spec}


def test_changes_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(tulle_catalog_json_file, "SECONDS", 0.0)
    file = tmp_path / "objects.json"
    file.write_text(json.dumps([service("a"), service("b")]))

    async def story():
        events = JsonFile({VARIABLE: str(file)}).events()
        told = [await anext(events) for _ in range(3)]
        file.write_text(json.dumps([service("a", ports=[{"port": 80}])]))
        told += [await anext(events) for _ in range(2)]
        file.write_text("not JSON")
        told.append(await anext(events))
        file.write_text(json.dumps([service("a", ports=[{"port": 80}])]))
        told.append(await anext(events))
        await events.aclose()
        return told

    told = asyncio.run(story())
    assert told[:3] == [Upserted(service("a")), Upserted(service("b")), Synced()]
    assert told[3:5] == [Upserted(service("a", ports=[{"port": 80}])), Deleted("Service", "demo", "b")]
    assert isinstance(told[5], Rejected)
    assert told[5].problem
    assert told[6] == Rejected(str(file), "")
