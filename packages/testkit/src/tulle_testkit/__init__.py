"""Test helpers that Tulle's packages share. Nothing here runs outside tests.

- chunking: a codec's result may not depend on how its input was cut
- playbook: what arrives, what must leave, and a diff where it does not
- clock: time that passes when told
- faults, upstream: real sockets on loopback that misbehave, and servers that record what reached them
"""

from tulle_testkit.chunking import assert_chunking_invariant, chunkings
from tulle_testkit.clock import FakeClock
from tulle_testkit.faults import FaultProxy, Faults, fault_proxy
from tulle_testkit.playbook import Nothing, Playbook
from tulle_testkit.upstream import (
    Answer,
    EchoUpstream,
    HttpUpstream,
    ReceivedRequest,
    echo_upstream,
    http_upstream,
)

__all__ = [
    "Answer",
    "EchoUpstream",
    "FakeClock",
    "FaultProxy",
    "Faults",
    "HttpUpstream",
    "Nothing",
    "Playbook",
    "ReceivedRequest",
    "assert_chunking_invariant",
    "chunkings",
    "echo_upstream",
    "fault_proxy",
    "http_upstream",
]
