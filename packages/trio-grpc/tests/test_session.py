"""The session against an h2 server, without sockets: windows in both directions, streams, floods, late frames."""

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RemoteSettingsChanged, RequestReceived, StreamReset
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame, PingFrame, SettingsFrame
from tulle_trio_grpc import MessageTooLarge
from tulle_trio_grpc.gate import GoAway
from tulle_trio_grpc.session import OUTPUT_FULL, Session, SessionError, StreamsExhausted

FIELDS = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a.B/C"), (b":authority", b"x")]
RESPONSE = [(":status", "200")]


class Pair:
    """A session and a server; `move` carries bytes both ways until nothing is left, and collects events."""

    def __init__(self, stream_window: int = 65_535, **settings: int) -> None:
        self.session = Session(stream_window=stream_window)
        self.server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        values = {SettingCodes[name.upper()]: value for name, value in settings.items()}
        self.server.local_settings = Settings(client=False, initial_values=values)
        self.server.initiate_connection()
        self.at_client: list[object] = []
        self.at_server: list[object] = []
        self.move()

    def move(self, *, up: bool = True) -> None:
        while True:
            ours, theirs = (self.session.output() if up else b""), self.server.data_to_send()
            if not ours and not theirs:
                return
            self.at_server += self.server.receive_data(ours)
            self.at_client += self.session.receive(theirs)

    def open(self) -> int:
        stream_id = self.session.open(FIELDS)
        self.move()
        self.server.send_headers(stream_id, RESPONSE)
        self.move()
        return stream_id

    def send_all(self, stream_id: int) -> int:
        """The server sends as much as it may; how much."""
        sent = 0
        while room := min(self.server.local_flow_control_window(stream_id), 16_384):
            self.server.send_data(stream_id, bytes(room))
            self.move()
            sent += room
        return sent


def received(events: list[object], kind: type) -> list[object]:
    return [event for event in events if isinstance(event, kind)]


def test_the_first_flight() -> None:
    pair = Pair()
    assert received(pair.at_client, RemoteSettingsChanged)
    assert pair.server.remote_settings.enable_push == 0
    stream_id = pair.open()
    assert stream_id == 1
    assert received(pair.at_server, RequestReceived)
    assert pair.open() == 3


def test_sending_stops_at_the_streams_window_and_goes_on() -> None:
    pair = Pair(initial_window_size=20_000)
    one, other = pair.open(), pair.open()
    assert pair.session.send(one, memoryview(bytes(50_000)), end=True) == 16_384
    assert pair.session.send(one, memoryview(bytes(33_616)), end=True) == 3_616
    assert pair.session.send(one, memoryview(bytes(30_000)), end=True) == 0
    assert pair.session.send(other, memoryview(b"sibling"), end=True) == 7
    pair.move()
    pair.server.increment_flow_control_window(30_000, one)
    pair.move()
    assert pair.session.send(one, memoryview(bytes(10)), end=True) == 10
    pair.move()
    assert sum(len(e.data) for e in pair.at_server if isinstance(e, DataReceived) and e.stream_id == one) == 20_010
    assert pair.server.streams[one].state_machine.state.name == "HALF_CLOSED_REMOTE"


def test_sending_stops_at_the_connections_window() -> None:
    pair = Pair(initial_window_size=1_000_000)
    one, other = pair.open(), pair.open()
    left, sent = memoryview(bytes(100_000)), 0
    while count := pair.session.send(one, left[sent:], end=False):
        sent += count
        pair.move()
    assert sent == 65_535
    assert pair.session.send(other, memoryview(b"x"), end=False) == 0
    pair.server.increment_flow_control_window(1_000)
    pair.move()
    assert pair.session.send(other, memoryview(b"x"), end=False) == 1


def test_sending_stops_when_output_is_full_until_it_is_written() -> None:
    pair = Pair(initial_window_size=1_000_000)
    pair.server.increment_flow_control_window(1_000_000)
    pair.move()
    one = pair.open()
    sent = 0
    while count := pair.session.send(one, memoryview(bytes(500_000))[sent:], end=False):
        sent += count
    assert OUTPUT_FULL <= sent < OUTPUT_FULL + 16_384
    assert len(pair.session.output()) > sent
    assert pair.session.send(one, memoryview(b"x"), end=False) == 1


def test_a_reader_that_stops_stops_its_sender_but_not_the_sibling() -> None:
    pair = Pair(stream_window=100_000)
    slow, quick = pair.open(), pair.open()
    assert pair.send_all(slow) == 100_000
    for _ in range(20):  # 2 MB through the same connection, while `slow` has 100 kB lying
        quick_bytes = pair.send_all(quick)
        assert quick_bytes == 100_000
        pair.session.credit(quick, quick_bytes)
        pair.move()
    assert pair.server.local_flow_control_window(slow) == 0
    pair.session.credit(slow, 60_000)
    pair.move()
    assert pair.server.local_flow_control_window(slow) == 60_000


def test_small_credits_are_given_back_together() -> None:
    pair = Pair(stream_window=1000)
    one = pair.open()
    pair.send_all(one)
    pair.session.credit(one, 499)
    assert pair.session.output() == b""
    pair.session.credit(one, 1)
    pair.move()
    assert pair.server.local_flow_control_window(one) == 500


def test_padding_is_given_back() -> None:
    pair = Pair(stream_window=1000)
    one = pair.open()
    for _ in range(10):
        pair.server.send_data(one, b"x", pad_length=200)  # 202 bytes of window for one of data
        pair.move()
    assert pair.server.local_flow_control_window(one) >= 500 - 10


def test_data_for_a_stream_given_up_is_dropped_and_the_connection_goes_on() -> None:
    pair = Pair(stream_window=65_535)
    one, other = pair.open(), pair.open()
    for _ in range(40):
        pair.server.send_data(other, bytes(1000))
    pair.session.reset(one, ErrorCodes.CANCEL)
    pair.server.send_data(one, bytes(60_000)[:16_000])  # crosses the reset
    pair.server.send_headers(one, [("grpc-status", "0")], end_stream=True)
    late = pair.server.data_to_send()
    pair.at_client.clear()
    pair.at_client += pair.session.receive(late)
    assert not [e for e in pair.at_client if getattr(e, "stream_id", None) == one]
    pair.move()
    assert [e.error_code for e in received(pair.at_server, StreamReset)][:1] == [ErrorCodes.CANCEL]
    pair.session.credit(one, 1000)  # a reader that had some left: harmless
    assert pair.open() == 5


def test_a_limit_on_streams_and_room_again() -> None:
    pair = Pair(max_concurrent_streams=1)
    one = pair.open()
    assert not pair.session.has_room
    pair.session.end(one)
    pair.server.send_headers(one, [("grpc-status", "0")], end_stream=True)
    pair.move()
    assert pair.session.has_room


def test_what_is_remembered_of_ended_streams_is_bounded() -> None:
    pair = Pair()
    for _ in range(600):
        stream_id = pair.open()
        pair.session.end(stream_id)
        pair.server.send_headers(stream_id, [("grpc-status", "0")], end_stream=True)
        pair.move()
    assert pair.session.has_room
    assert len(pair.session._h2._closed_streams) <= 512
    assert not pair.session._h2.streams
    assert pair.session._to_credit.keys() == {0}


def test_metadata_larger_than_the_server_takes_is_not_sent() -> None:
    pair = Pair(max_header_list_size=500)
    assert pair.open() == 1
    with pytest.raises(MessageTooLarge, match="more than the 500 the server accepts"):
        pair.session.open([*FIELDS, (b"big", bytes(500))])
    assert pair.session.output() == b""
    assert pair.open() == 3


def test_stream_identifiers_end() -> None:
    pair = Pair()
    pair.session._h2.highest_outbound_stream_id = 2**31 - 1
    with pytest.raises(StreamsExhausted):
        pair.session.open(FIELDS)


def test_goaway_lets_accepted_streams_finish() -> None:
    pair = Pair()
    one = pair.open()
    events = pair.session.receive(GoAwayFrame(0, one, 0, b"bye").serialize())
    assert events == [GoAway(one, 0, b"bye")]
    assert pair.session.send(one, memoryview(b"more"), end=True) == 4
    pair.server.send_data(one, b"answer", end_stream=True)
    pair.at_client.clear()
    pair.move()
    assert b"".join(e.data for e in pair.at_client if isinstance(e, DataReceived)) == b"answer"


def test_a_server_that_makes_us_answer_without_reading_is_cut_off() -> None:
    pair = Pair()
    pings = PingFrame(0, b"12345678").serialize() * 1000
    for _ in range(7):
        pair.session.receive(pings)
    with pytest.raises(SessionError, match="does not read"):
        pair.session.receive(pings)


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1"),
        (SettingsFrame(0).serialize() + b"\0\0\1\0\0\0\0\0\7x", "broke HTTP/2"),  # DATA on an unknown stream
        (SettingsFrame(0).serialize() + b"\0\0\2\1\4\0\0\0\1\xff\xff", "broke HTTP/2"),  # HPACK
    ],
)
def test_nonsense_ends_the_session_with_a_goaway(wire: bytes, why: str) -> None:
    session = Session()
    session.open(FIELDS)
    session.output()
    with pytest.raises(SessionError, match=why):
        session.receive(wire)
    assert session.output().removeprefix(SettingsFrame(0, flags=["ACK"]).serialize())[3] == 0x7  # GOAWAY
