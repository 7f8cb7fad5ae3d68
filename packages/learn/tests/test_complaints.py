"""What a learner's code raised, out of logs as they are written by lessons' programs and by Tulle's own."""

import json

from tulle_learn.complaints import MOST, complaints

GROUP = """\
    |     raise combined_error_from_nursery
    | ExceptionGroup: Exceptions from Trio nursery (1 sub-exception)
    +-+---------------- 1 ----------------
      | Traceback (most recent call last):
      |   File "/exercise/relay.py", line 35, in relay
      |     nursery.start_soon(pump, server, client())
      |                                      ^^^^^^^^
      | TypeError: 'SocketStream' object is not callable
      +------------------------------------
"""
PLAIN = """\
serving
Traceback (most recent call last):
  File "/exercise/server.py", line 9, in <module>
    main()
  File "/exercise/server.py", line 7, in main
    raise KeyError("greeting")
KeyError: 'greeting'
serving
"""


def line(**fields):
    return json.dumps({"time": "t", "level": "warning", "message": "m", **fields})


def test_a_traceback_is_its_end_and_its_last_frame():
    assert complaints(PLAIN) == ["KeyError: 'greeting' (server.py, line 7, in main)"]


def test_of_an_exception_group_its_member_counts():
    said = complaints("Exception Group Traceback (most recent call last):\n" + GROUP)
    assert said == ["TypeError: 'SocketStream' object is not callable (relay.py, line 35, in relay)"]


def test_a_plugin_that_raised_is_told_in_the_proxys_words():
    said = complaints(
        line(message="plugin policy-passport raised", plugin="policy-passport", what="raised", detail="NameError: team")
    )
    assert said == ["plugin policy-passport raised: NameError: team"]


def test_an_exporter_that_stopped_and_a_catalog_that_failed_are_told():
    log = "\n".join([
        line(level="error", message="exporter lines stopped", traceback="Traceback (most recent call last):\n"
             '  File "/x/lines_exporter.py", line 5, in run\n    f()\nTypeError: no'),
        line(level="error", message="the catalog plugin 'registry' failed (OSError: refused)"),
    ])  # fmt: skip
    assert complaints(log) == [
        "exporter lines stopped: TypeError: no (lines_exporter.py, line 5, in run)",
        "the catalog plugin 'registry' failed (OSError: refused)",
    ]


def test_what_is_no_complaint_is_passed_over():
    log = "\n".join([
        line(message="plugin stalled", plugin="x", what="stalled"),  # a busy machine does that to anybody
        line(level="info", message="plugin misbehaving", plugin="x"),
        line(level="warning", message="a connection broke"),
        "KeyError: a text, not a traceback", "{not json", "[]", "{}",
    ])  # fmt: skip
    assert complaints(log) == []


def test_each_is_told_once_and_not_too_many():
    many = "\n".join(line(message=f"plugin {n} raised", plugin=str(n)) for n in range(9))
    assert complaints(PLAIN * 5) == complaints(PLAIN)
    assert len(complaints(many)) == MOST
