"""What a handler may end with: a Response, a Failure, or the error that came from below. And nothing else.

Owns the form of answers as a codec relies on it; and the words for a plugin that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from tulle_plugin_api.errors import Failure, Refused
from tulle_plugin_api.exchange import Response
from tulle_plugin_api.headers import Headers
from tulle_plugin_api.loader import PluginInfo, Plugins, load

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@cache
def installed() -> Plugins:
    """Every installed plugin, loaded once for all tests of a run."""
    return load()


def not_installed(word: str, name: str, known: Iterable[str], failures: list[PluginInfo]) -> str:
    """What to say when a suite's plugin is not there."""
    failed = "".join(f"; {info.name} failed: {info.error}" for info in failures)
    return f"no {word} {name!r} is installed; there are {', '.join(sorted(known))}{failed}"


def check_response(response: object) -> None:
    """Raises AssertionError where a codec could not send it."""
    assert isinstance(response, Response), f"a handler returned {response!r}; expected a Response"
    assert type(response.status) is int, f"status {response.status!r} is not an int"
    assert response.status == 101 or 200 <= response.status <= 599, f"status {response.status} cannot be sent"
    assert isinstance(response.headers, Headers), f"headers are {response.headers!r}; expected Headers"
    assert response.trailers is None or isinstance(response.trailers, Headers)
    assert isinstance(response.body, bytes) or (hasattr(response.body, "read") and hasattr(response.body, "aclose")), (
        f"the body is {response.body!r}; expected bytes, or something with `read` and `aclose`"
    )
    assert response.reason == "" or SLUG.fullmatch(response.reason), f"reason {response.reason!r} is not a slug"


def check_error(error: BaseException, from_below: BaseException | None) -> None:
    """Raises AssertionError if a policy has broken: neither a Failure nor what it was given."""
    if error is from_below:
        return
    assert isinstance(error, Failure), f"the policy raised {error!r}; raise a Failure, such as Refused" + (
        "" if from_below is None else f" (the layer below raised {from_below!r})"
    )
    assert SLUG.fullmatch(error.reason), f"reason {error.reason!r} is not a slug, such as rate-limited"
    if isinstance(error, Refused):
        assert type(error.status) is int, f"status {error.status!r} is not an int"
        assert 400 <= error.status <= 599, f"Refused with status {error.status}; expected 400 to 599"
        Headers.of(error.fields.items())  # raises ValueError for what cannot be sent
