"""What can go wrong with an exchange, as plugins raise and see it.

Owns the vocabulary of failures that cross the plugin seam. Refuses to know status codes of the proxy's own
failures: those are in one table of the data plane. A policy that answers in the proxy's stead says its status here.
"""

from __future__ import annotations


class Failure(Exception):
    """An exchange could not be completed. `reason` is the slug in the `tulle-reason` header and in metrics."""

    reason = "internal-error"

    def __init__(self, detail: str = "", *, reason: str | None = None) -> None:
        if reason is not None:
            self.reason = reason
        super().__init__(detail or self.__doc__ or self.reason)  # python -OO has no docstrings
        self.detail = detail


class TimedOut(Failure):
    """Time ran out."""

    reason = "timeout"


class Refused(Failure):
    """A policy refuses the request: raise it with the status to answer.

    `status`: 400 to 599; `reason`: a slug such as "rate-limited"; `detail`: one sentence for the log and the body;
    `fields`: response headers, such as {"retry-after": "1"}.
    """

    reason = "refused"

    def __init__(
        self, status: int, reason: str, detail: str = "", fields: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail, reason=reason)
        self.status = status
        self.fields = fields or {}
