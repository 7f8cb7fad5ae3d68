"""One HTTP/2 connection without its socket: streams opened, flow control kept in both directions, events out.

Pure: bytes in, bytes and events out, no clock. Wraps the h2 state machine and adds what gRPC needs around it: GOAWAY
that drains (see gate.py), windows given back separately for the connection and for each stream, bounded output.

Flow control for what we receive: the connection's window is given back as soon as bytes arrive, so that a call nobody
reads cannot stop its siblings; a stream's window only as its reader goes on (`credit`), so that a slow reader slows
its sender. Memory is bounded by the number of calls, which is the caller's own choice.
"""

import logging
from contextlib import suppress

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, StreamEnded, StreamReset
from h2.exceptions import H2Error, NoAvailableStreamIDError, StreamClosedError
from h2.settings import SettingCodes, Settings

from tulle_trio_grpc.errors import MessageTooLarge
from tulle_trio_grpc.gate import FrameGate, GoAway, NotHttp2
from tulle_trio_grpc.metadata import HeaderFields

#: More than this waiting to be written: DATA has to wait (bytes).
OUTPUT_FULL = 65_536
#: Beyond this the peer makes us answer (pings, settings, resets) and does not read: a flood (bytes).
_OUTPUT_FLOOD = OUTPUT_FULL + 65_536
#: One DATA frame at most, so that calls take turns (bytes).
_CHUNK = 16_384
_HEADER_LIST_SIZE = 32_768
_DEFAULT_WINDOW = 65_535


# At DEBUG, hpack writes every header field to the log, tokens included (and slowly).
logging.getLogger("hpack").setLevel(logging.INFO)


class SessionError(Exception):
    """The connection cannot go on; the message says why. What is left to say to the peer is in `output()`."""


class StreamsExhausted(Exception):
    """All stream identifiers are used up (2^30 calls): a new connection is needed."""


class _H2(H2Connection):
    MAX_CLOSED_STREAMS = 512  # remembered to tell late frames from wrong ones; h2's 65,536 cost megabytes


class Session:
    """The client's side of one connection. `stream_window` is in bytes: what a server may send ahead of the reader."""

    def __init__(self, *, stream_window: int = _DEFAULT_WINDOW) -> None:
        self._h2 = _H2(H2Configuration(client_side=True, header_encoding=None))
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: stream_window,
                SettingCodes.MAX_HEADER_LIST_SIZE: _HEADER_LIST_SIZE,
            },
        )
        self._h2.decoder.max_header_list_size = _HEADER_LIST_SIZE
        self._stream_window = stream_window
        self._connection_window = 4 * max(stream_window, _DEFAULT_WINDOW)
        self._gate = FrameGate()
        self._out = bytearray()
        self._to_credit: dict[int, int] = {0: 0}  # received and processed, not yet given back; 0 is the connection
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(self._connection_window - _DEFAULT_WINDOW)
        self._collect()

    def receive(self, data: bytes) -> list[Event | GoAway]:
        """Bytes from the server; raises SessionError."""
        events: list[Event | GoAway] = []
        try:
            for part in self._gate.feed(data):
                if isinstance(part, GoAway):
                    events.append(part)
                else:
                    events += self._h2.receive_data(part)
        except NotHttp2 as error:
            self._h2.close_connection(ErrorCodes.PROTOCOL_ERROR)
            self._collect()
            raise SessionError(str(error)) from error
        except H2Error as error:
            self._collect()
            raise SessionError(f"the server broke HTTP/2: {str(error) or type(error).__name__}") from error
        for event in events:
            if isinstance(event, DataReceived):
                self._give_back(0, event.flow_controlled_length, self._connection_window)
                padding = event.flow_controlled_length - len(event.data)
                if padding and event.stream_ended is None:
                    self.credit(event.stream_id, padding)
            elif isinstance(event, StreamEnded | StreamReset):
                self._to_credit.pop(event.stream_id, None)
        self._collect()
        if len(self._out) > _OUTPUT_FLOOD:
            raise SessionError("the server asks for answers and does not read them")
        return events

    def output(self) -> bytes:
        """What is to be written now; handed out once."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def open(self, fields: HeaderFields) -> int:
        """Start a stream; its identifier. Raises MessageTooLarge (metadata) or StreamsExhausted."""
        limit = self._h2.remote_settings.max_header_list_size
        size = sum(len(name) + len(value) + 32 for name, value in fields)
        if limit is not None and size > limit:
            raise MessageTooLarge(f"the call's metadata takes {size} bytes, more than the {limit} the server accepts")
        try:
            stream_id = self._h2.get_next_available_stream_id()
        except NoAvailableStreamIDError as error:
            raise StreamsExhausted from error
        self._h2.send_headers(stream_id, fields)
        self._to_credit[stream_id] = 0
        self._collect()
        return stream_id

    def send(self, stream_id: int, data: memoryview, *, end: bool) -> int:
        """Send as much of `data` (not empty) as one frame, the windows and the output allow: how much; 0 means wait.

        With `end`, the frame that takes the last byte also closes our side.
        """
        room = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size, _CHUNK)
        if room <= 0 or len(self._out) >= OUTPUT_FULL:
            return 0
        self._h2.send_data(stream_id, data[:room], end_stream=end and len(data) <= room)
        self._collect()
        return min(room, len(data))

    def end(self, stream_id: int) -> None:
        """Close our side of the stream with an empty DATA frame."""
        self._h2.end_stream(stream_id)
        self._collect()

    def reset(self, stream_id: int, error_code: ErrorCodes) -> None:
        """Give the stream up (RST_STREAM). What still arrives for it is dropped, and its window given back."""
        self._to_credit.pop(stream_id, None)
        with suppress(StreamClosedError):  # its end came with the same bytes as what we reset it for
            self._h2.reset_stream(stream_id, error_code)
        self._collect()

    def credit(self, stream_id: int, amount: int) -> None:
        """The reader has gone on by so many bytes; ignored for streams that have ended."""
        if amount and stream_id in self._to_credit:
            self._give_back(stream_id, amount, self._stream_window)
            self._collect()

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._h2.ping(b"tulle\0\0\0")
        self._collect()

    def say_goodbye(self) -> None:
        """GOAWAY without an error: we are about to close."""
        self._h2.close_connection()
        self._collect()

    @property
    def has_room(self) -> bool:
        """Whether the server's MAX_CONCURRENT_STREAMS allows one more stream."""
        return self._h2.open_outbound_streams < self._h2.remote_settings.max_concurrent_streams

    def _give_back(self, stream_id: int, amount: int, window: int) -> None:
        # In halves of the window: often enough for the sender never to starve, seldom enough to be cheap.
        self._to_credit[stream_id] += amount
        if self._to_credit[stream_id] >= max(1, window // 2):
            self._h2.increment_flow_control_window(self._to_credit[stream_id], stream_id or None)
            self._to_credit[stream_id] = 0

    def _collect(self) -> None:
        self._out += self._h2.data_to_send()
