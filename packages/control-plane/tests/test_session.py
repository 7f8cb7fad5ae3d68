"""One proxy's state machine: offers, acknowledgements, refusals, and what is sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tulle_control_plane.core.results import Destination, version_of
from tulle_control_plane.core.snapshots import DestinationKey, InboundKey, Snapshot
from tulle_control_plane.grpc.session import INBOUND, STALE_AFTER, Node, Session, State

D = "10.96.0.7:80"


def snapshot(text: str) -> Snapshot:
    result = Destination(D, balancer=text)
    return Snapshot(version_of(result), result)


A, B, C = snapshot("a"), snapshot("b"), snapshot("c")


@pytest.fixture
def session():
    session = Session(Node("app-a-1", "default"), connected=0.0)
    session.subscribe(D, 0.0)
    return session


def state(session, now=0.0):
    return session.subscriptions[D].state(now)


def test_names_of_what_is_watched(session):
    assert session.key_of(D) == DestinationKey("default", D)
    assert session.key_of(INBOUND) == InboundKey("default", "app-a-1")


def test_sent_then_acknowledged(session):
    session.offer(D, A, 1.0)
    assert session.next() is A
    assert session.next() is None
    session.ack(D, A.version)
    assert state(session, 1000.0) is State.SYNCED


def test_no_answer_makes_it_stale_and_an_answer_synced_again(session):
    session.offer(D, A, 1.0)
    session.next()
    assert state(session, 1.0 + STALE_AFTER) is State.SYNCED
    assert state(session, 1.1 + STALE_AFTER) is State.STALE
    session.ack(D, A.version)
    assert state(session, 1.1 + STALE_AFTER) is State.SYNCED


def test_new_offers_do_not_reset_the_clock_of_a_proxy_that_does_not_answer(session):
    for second, each in enumerate([A, B, A, B, A, B, A, B]):
        session.offer(D, each, float(second))
    assert state(session, 7.0) is State.STALE


def test_what_is_not_even_sent_is_stale_too(session):
    session.offer(D, A, 1.0)
    assert state(session, 7.0) is State.STALE


def test_a_refusal_shows_until_something_else_is_offered(session):
    session.offer(D, A, 1.0)
    session.next()
    session.ack(D, A.version)
    session.offer(D, B, 2.0)
    session.next()
    session.nack(D, B.version, "no balancer 'b'")
    assert state(session, 1000.0) is State.REJECTED
    assert session.state(1000.0) == (State.REJECTED, "no balancer 'b'")
    assert session.subscriptions[D].acked_version == A.version  # what it still runs
    session.offer(D, C, 1001.0)
    assert state(session, 1001.0) is State.SYNCED
    assert session.next() is C
    session.ack(D, C.version)
    assert session.state(2000.0) == (State.SYNCED, "")


def test_back_from_a_refused_version_to_the_one_it_runs(session):
    session.offer(D, A, 1.0)
    session.next()
    session.ack(D, A.version)
    session.offer(D, B, 2.0)
    session.next()
    session.nack(D, B.version, "no")
    session.offer(D, A, 3.0)
    assert state(session, 1000.0) is State.SYNCED
    assert session.next() is A  # it was sent B last, so it is told
    session.ack(D, A.version)
    assert state(session, 1000.0) is State.SYNCED


def test_an_answer_to_an_old_version_is_no_answer_to_the_new_one(session):
    session.offer(D, A, 1.0)
    session.next()
    session.offer(D, B, 2.0)
    session.ack(D, A.version)
    assert session.subscriptions[D].acked_version == A.version
    assert state(session, 8.0) is State.STALE
    session.nack(D, A.version, "late")
    assert state(session, 8.0) is State.STALE


def test_only_the_newest_version_is_sent(session):
    for each in (A, B, C):
        session.offer(D, each, 1.0)
    assert session.next() is C
    assert session.next() is None


def test_there_and_back_before_it_was_sent_is_nothing_to_send(session):
    session.offer(D, A, 1.0)
    session.next()
    session.ack(D, A.version)
    session.offer(D, B, 2.0)
    session.offer(D, A, 3.0)
    assert session.next() is None
    assert state(session, 1000.0) is State.SYNCED


def test_oldest_destination_first():
    session = Session(Node("p", "default"), 0.0)
    for name in ("x", "y", "z"):
        session.subscribe(name, 0.0)
        session.offer(name, Snapshot(name, Destination(name)), 0.0)
    session.offer("x", Snapshot("x2", Destination("x", True)), 1.0)
    assert [session.next().version for _ in range(3)] == ["x2", "y", "z"]


def test_what_the_proxy_holds_is_not_sent_again():
    session = Session(Node("p", "default"), 0.0)
    session.subscribe(D, 0.0, held_version=A.version)
    session.offer(D, A, 1.0)
    assert session.next() is None
    assert state(session, 1000.0) is State.SYNCED
    session.offer(D, B, 2.0)
    assert session.next() is B


def test_what_the_proxy_holds_and_is_out_of_date_is_sent():
    session = Session(Node("p", "default"), 0.0)
    session.subscribe(D, 0.0, held_version="older")
    session.offer(D, A, 1.0)
    assert session.next() is A


def test_after_unsubscribing_nothing_is_sent_and_answers_are_ignored(session):
    session.offer(D, A, 1.0)
    assert session.unsubscribe(D)
    assert session.next() is None
    assert not session.unsubscribe(D)
    session.ack(D, A.version)
    session.nack(D, A.version, "late")
    assert session.subscriptions == {}


def test_the_worst_destination_is_the_proxys_state(session):
    session.subscribe("other:1", 0.0)
    session.offer(D, A, 0.0)
    session.offer("other:1", B, 0.0)
    session.next(), session.next()
    session.ack(D, A.version)
    assert session.state(9.0) == (State.STALE, "")
    session.nack("other:1", B.version, "")
    assert session.state(9.0) == (State.REJECTED, "the proxy gave no reason")


@given(st.lists(st.sampled_from(["offer a", "offer b", "offer c", "send", "ack", "nack", "ack junk"]), max_size=40))
def test_a_proxy_that_answers_ends_up_with_the_newest_version(steps):
    """Whatever happened before: once the proxy reads and acknowledges all, it runs the version last offered."""
    session = Session(Node("p", "default"), 0.0)
    session.subscribe(D, 0.0)
    by_name = {"a": A, "b": B, "c": C}
    runs, received, last = "", None, None
    for now, step in enumerate(steps):
        word, _, name = step.partition(" ")
        if word == "offer":
            last = by_name[name]
            session.offer(D, last, float(now))
        elif word == "send":
            received = session.next() or received
        elif step == "ack junk":
            session.ack(D, "junk")
            runs = "junk"
        elif received is not None and word == "ack":
            session.ack(D, received.version)
            runs = received.version
        elif received is not None:
            session.nack(D, received.version, "no")
    if last is None:
        assert session.next() is None
        return
    while (sent := session.next()) is not None:
        received = sent
    assert received is not None
    assert received.version == last.version
    session.ack(D, received.version)
    assert state(session, 1e9) is State.SYNCED
    assert session.subscriptions[D].acked_version == last.version
    del runs
