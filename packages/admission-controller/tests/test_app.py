"""The web application at the ASGI seam: how much of a body is read, how long is waited, what a disconnect does."""

import asyncio
import json

import pytest
from tulle_admission_controller import app as application
from tulle_admission_controller.app import DISCARDED_BYTES, Deciders, webhook_app
from tulle_admission_controller.metrics import Metrics
from tulle_admission_controller.namespaces import no_annotations
from tulle_admission_controller.review import MAX_BYTES
from tulle_admission_controller.settings import InjectSettings

CHUNK = 64 * 1024


def post(events, path="/mutate"):
    """Posts a body as these ASGI events (or awaitables of them). Returns (status, document, events read)."""
    read, sent = 0, []

    async def receive():
        nonlocal read
        event = events[read]
        read += 1
        return await event() if callable(event) else event

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"content-type", b"application/json; charset=utf-8")], "http_version": "1.1", "scheme": "https",
        "root_path": "", "server": ("127.0.0.1", 8443), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    deciders = Deciders(InjectSettings(), no_annotations, lambda policy: [])
    asyncio.run(webhook_app(deciders, Metrics())(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body) if body else None, read


def chunks(body, size=CHUNK):
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    last = len(parts) - 1
    return [{"type": "http.request", "body": part, "more_body": at < last} for at, part in enumerate(parts)]


def blank(size):
    return chunks(b" " * size)


@pytest.mark.parametrize("size", [CHUNK, 100, 1])
def test_a_body_in_pieces(malformed, size):
    status, document, _ = post(chunks(malformed.encoded(malformed.pod_review()), size))
    assert status == 200
    assert document["response"]["patchType"] == "JSONPatch"


def test_a_body_of_the_limit_is_read_and_one_byte_more_is_not(malformed):
    good = malformed.encoded(malformed.pod_review())
    status, document, _ = post(chunks(good.ljust(MAX_BYTES)))
    assert (status, document["response"]["allowed"]) == (200, True)
    status, document, _ = post(chunks(good.ljust(MAX_BYTES + 1)))
    assert (status, document["response"]["allowed"]) == (413, False)


def test_the_rest_of_a_long_body_is_read_so_that_the_refusal_arrives():
    events = blank(5 * 1024 * 1024)
    status, _, read = post(events)
    assert (status, read) == (413, len(events))


def test_but_not_for_ever():
    events = blank(2 * DISCARDED_BYTES)
    status, _, read = post(events)
    assert (status, read) == (413, DISCARDED_BYTES // CHUNK + 1)


def test_a_body_that_does_not_arrive(monkeypatch):
    monkeypatch.setattr(application, "BODY_SECONDS", 0.0)
    status, document, _ = post([*chunks(b"{}", 1)[:1], asyncio.Event().wait])
    assert (status, document["response"]["allowed"]) == (408, False)


def test_a_client_that_goes_away():
    status, document, _ = post([*chunks(b"{}", 1)[:1], {"type": "http.disconnect"}])
    assert (status, document) == (400, None)
