"""What a channel lends to its calls: starting a stream on whatever connection takes it, and the channel's limits."""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from tulle_trio_grpc.connection import Draining
from tulle_trio_grpc.connector import Connector
from tulle_trio_grpc.metadata import HeaderFields
from tulle_trio_grpc.request import request_headers
from tulle_trio_grpc.stream import Stream


@dataclass(frozen=True, slots=True)
class CallSpec:
    """One call as the wire needs it. `deadline` is on trio's clock, infinite for none; `metadata` is encoded."""

    path: str
    metadata: HeaderFields
    deadline: float
    wait_for_ready: bool


@dataclass(frozen=True, slots=True)
class Caller:
    """Shared by all calls of a channel. Sizes in bytes; `max_send_message` None is no limit."""

    connector: Connector
    scheme: str
    authority: str
    user_agent: str
    gzip: bool
    max_receive_message: int
    max_send_message: int | None
    wait_for_ready: bool
    clock: Callable[[], float] = trio.current_time

    async def start(self, spec: CallSpec) -> Stream:
        """Send the request's headers.

        Raises ConnectFailed, Cancelled (the channel is closed) or MessageTooLarge (the metadata).
        """

        def fields() -> HeaderFields:
            left = spec.deadline - self.clock()  # as late as possible: connecting may have taken time
            return request_headers(
                spec.path,
                scheme=self.scheme,
                authority=self.authority,
                timeout=None if left == float("inf") else max(left, 1e-9),
                gzip=self.gzip,
                user_agent=self.user_agent,
                metadata=spec.metadata,
            )

        while True:
            connection = await self.connector.connection(wait_for_ready=spec.wait_for_ready)
            try:
                return await connection.open_stream(fields, self.max_receive_message)
            except Draining:
                continue  # it said goodbye while we waited; nothing was sent
