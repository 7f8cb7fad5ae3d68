"""Bodies that policies put around bodies.

Owns the delegation that every such body needs: what is not overridden is the inner body's. Refuses to know why.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tulle_plugin_api.exchange import Body
from tulle_plugin_api.headers import Headers


class WrappedBody:
    """A Body around another. Override `read`, `aclose`, or both; `self.inner` is what is wrapped."""

    def __init__(self, inner: Body) -> None:
        self.inner = inner

    @property
    def at_hand(self) -> bool:
        """Whether its beginning has arrived already, so that the head need not be sent ahead of it."""
        return bool(getattr(self.inner, "at_hand", False))

    @property
    def trailers(self) -> Headers | None:
        """What came after its end, once that has been read."""
        found: Headers | None = getattr(self.inner, "trailers", None)
        return found

    async def read(self) -> bytes:
        """See Body."""
        return await self.inner.read()

    async def pass_by(self, move: Move) -> None:
        """Let the proxy send on part of the rest without reading it, which costs it half as much for large bodies.

        Here: nothing, so that every byte comes through `read`. A body that needs to see no more of them overrides this
        with `await pass_by(self.inner, move)`, within whatever it does around each `read`. Afterwards `read` is asked
        again, for what is left or the end. Raises what `read` does.
        """

    async def aclose(self) -> None:
        """See Body."""
        await self.inner.aclose()


Move = Callable[[Body], Awaitable[None]]
"""Sends on what it can of a body that nobody has wrapped. What it takes of a request's counts in `request_bytes` from
then on, be it lost on its way."""


async def pass_by(body: Body, move: Move) -> None:
    """`move`, if all that is wrapped around the body lets its bytes go unseen. See WrappedBody.pass_by."""
    if isinstance(body, WrappedBody):
        await body.pass_by(move)
    else:
        await move(body)
