"""Bodies that policies put around bodies.

Owns the delegation that every such body needs: what is not overridden is the inner body's. Refuses to know why.
"""

from __future__ import annotations

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

    async def aclose(self) -> None:
        """See Body."""
        await self.inner.aclose()
