"""Memory that a proxy does not need: modules that libraries import and it never uses (6 MB), and start-up's leavings.

Owns the list of modules. Each entry says who imports it and why nothing breaks. Run before anything heavy is imported.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from importlib import import_module
from typing import Any


def leave_out() -> None:
    """Keep these modules from being loaded by this process. Harmless when a library no longer asks for them."""
    # msgspec reads typing_extensions' names if it is installed, else typing's; this makes it look not installed.
    sys.modules.setdefault("typing_extensions", None)  # type: ignore[arg-type]

    # inspect reads source code with ast, and the signatures of functions in C; what is asked for is fetched then.
    _stand_in("ast", NodeVisitor=type("NodeVisitor", (), {}), __getattr__=_fetched_attribute("ast"))

    # msgspec knows Decimal and UUID as types that a field may have. No plugin's configuration has such a field.
    _stand_in("decimal", Decimal=type("Decimal", (), {}))
    _stand_in("uuid", UUID=type("UUID", (), {}), SafeUUID=type("SafeUUID", (), {"unknown": None}))

    # trio looks for the C library's way to name threads, through ctypes.util and with it tempfile, shutil, bz2 and
    # lzma. A proxy starts no threads; "not found" is an answer that trio knows.
    _stand_in("ctypes.util", find_library=lambda name: None)

    # trio encodes host names that are not ASCII with idna's tables. The names that a proxy resolves are a cluster's.
    _stand_in("idna")

    # trio names ssl's things when somebody speaks TLS: OpenSSL (4 MB) is loaded for who does, with the first of them.
    _stand_in("ssl", __getattr__=_fetched_attribute("ssl"))

    # trio can start processes, and speak DTLS. A proxy does neither; what is asked for all the same is fetched then.
    starting = {name: _fetched("trio._subprocess", name) for name in ("run_process", "open_process")}
    _stand_in("trio._subprocess", Process=type("Process", (), {}), **starting)
    _stand_in("trio._dtls", **{name: type(name, (), {}) for name in _DTLS})

    # protobuf's well-known types (Timestamp and the like) read calendars; no message that a proxy sends has one.
    _stand_in("google.protobuf.internal.well_known_types", WKTBASES={})

    # protobuf's builder imports its pure-Python implementation of messages (and with it text_format, encoders and
    # decoders) even when the C implementation, upb, is what makes them. Only that one name is looked up.
    from google.protobuf.internal import api_implementation

    if api_implementation.Type() == "upb":
        _stand_in("google.protobuf.internal.python_message", GeneratedProtocolMessageType=type)

    # only now, when all are in place: to import one's parent may import another
    for name, module in _stand_ins.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(import_module(parent), child, module)


def put_back() -> None:
    """Forget the stand-ins, once what must not import the real modules has been imported.

    A plugin that is configured and needs `uuid` or `typing_extensions` (OpenTelemetry's SDK does) gets the real one.
    """
    for name, module in _stand_ins.items():
        if sys.modules.get(name) is module:
            del sys.modules[name]
            parent, _, child = name.rpartition(".")
            if parent and getattr(sys.modules.get(parent), child, None) is module:
                delattr(sys.modules[parent], child)
    _stand_ins.clear()
    if sys.modules.get("typing_extensions", _stand_ins) is None:
        del sys.modules["typing_extensions"]


def forget() -> None:
    """Empty the caches that importing has filled: 300 KB. What needs one again fills it again.

    linecache holds the source that attrs has made for its classes, the importer the names of all files in all folders
    of the path, and typing the generic types that annotations have named.
    """
    import linecache
    import typing

    linecache.clearcache()
    sys.path_importer_cache.clear()
    for clear in getattr(typing, "_cleanups", ()):
        clear()


def give_back() -> None:
    """Return to the kernel what the C library holds on to after start-up: 1 MB. Takes under a millisecond."""
    import ctypes  # trio has it loaded

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; musl has none
    if trim is not None:
        trim(0)


def _stand_in(name: str, **attributes: object) -> None:
    module = types.ModuleType(name)
    vars(module).update(attributes)
    if sys.modules.setdefault(name, module) is module:
        _stand_ins[name] = module


_DTLS = ("DTLSChannel", "DTLSChannelStatistics", "DTLSEndpoint")


def _fetched(module: str, name: str) -> Callable[..., Any]:
    """A function that imports the real one when it is called, which must be after `put_back`."""

    def function(*arguments: Any, **named: Any) -> Any:
        return getattr(import_module(module), name)(*arguments, **named)

    return function


def _fetched_attribute(module: str) -> Callable[[str], Any]:
    """`__getattr__` of a stand-in that somebody still holds after `put_back`: the real module's."""

    def look_up(name: str) -> Any:
        if module in _stand_ins:
            raise AttributeError(name)
        return getattr(import_module(module), name)

    return look_up


_stand_ins: dict[str, types.ModuleType] = {}
