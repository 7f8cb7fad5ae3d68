"""The grpc-timeout header: a deadline as it travels, at most eight digits and a unit (gRPC `PROTOCOL-HTTP2.md`).

Pure; all times in seconds.
"""

from math import ceil

_MOST = 99_999_999
_UNITS = (("n", 1e-9), ("u", 1e-6), ("m", 1e-3), ("S", 1.0), ("M", 60.0), ("H", 3600.0))
_SECONDS = dict(_UNITS)


def encode(seconds: float) -> str:
    """The finest unit that eight digits hold, rounded up: the server never gives up before we do.

    `seconds` must be above 0; beyond the longest that can be said (about 11,000 years), the longest is said.
    """
    for unit, size in _UNITS:
        value = ceil(seconds / size)
        if value <= _MOST:
            return f"{value}{unit}"
    return f"{_MOST}H"


def decode(value: str) -> float:
    """Seconds; raises ValueError for what is not a grpc-timeout."""
    digits, unit = value[:-1], value[-1:]
    if unit not in _SECONDS or not (digits.isascii() and digits.isdigit()) or len(digits) > 8:
        raise ValueError(f"{value!r} is no grpc-timeout: one to eight digits and one of H M S m u n")
    return int(digits) * _SECONDS[unit]
