"""Single functions of the codec, for the lines "of which": what each costs for the canned request and answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from tulle_data_plane.wire import http1
from tulle_plugin_api import Exchange

from bench.profile.canned import ANSWER, REQUEST

LIMITS = http1.Limits()


def parts() -> list[tuple[str, Callable[[], object]]]:
    """Names, and what to call."""
    request, answer = REQUEST % 0, ANSWER % 0
    head = answer[: http1.find_head_end(answer, 0, LIMITS)]
    parsed, answered = http1.parse_request(request, LIMITS), http1.parse_response(head, "GET", LIMITS, "")
    # an id that never comes again; making it is a little of the cost
    numbers = itertools.count(1)
    answer_head = ANSWER[: len(ANSWER) - 3]
    return [
        ("find a head's end", lambda: http1.find_head_end(request, 0, LIMITS)),
        ("parse a request that is new", lambda: http1.parse_request(REQUEST % next(numbers), LIMITS)),
        ("parse a request seen before", lambda: http1.parse_request(request, LIMITS)),
        ("make the exchange", lambda: Exchange(parsed.headers)),
        ("encode the request", lambda: http1.encode_request(parsed.method, parsed.path, parsed.headers.block,
                                                            http1.NO_BODY)),
        ("parse an answer that is new", lambda: http1.parse_response(answer_head % next(numbers), "GET", LIMITS, "")),
        ("parse an answer seen before", lambda: http1.parse_response(head, "GET", LIMITS, "")),
        ("encode the answer", lambda: http1.encode_response(200, answered.headers.block, http1.NO_BODY)),
    ]
