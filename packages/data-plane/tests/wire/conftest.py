"""Reading a connection the way the shell does, so that a transcript is one string and a list of cuts."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_FUZZ = "tulle_data_plane_fuzz"


def _fuzz(name: str) -> ModuleType:
    # not by sys.path: the package is called "fuzz", which is nobody's name
    if _FUZZ not in sys.modules:
        folder = Path(__file__).parents[2] / "fuzz"
        spec = importlib.util.spec_from_file_location(_FUZZ, folder / "__init__.py")
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[_FUZZ] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return importlib.import_module(f"{_FUZZ}.{name}")


_reading = _fuzz("reading")
read_message, same = _reading.read_message, _reading.same

Reader = Callable[..., Any]


@pytest.fixture(scope="session")
def fuzz() -> Callable[[str], ModuleType]:
    """`fuzz("targets")`: a module of the fuzzing (packages/data-plane/fuzz)."""
    return _fuzz


@pytest.fixture(scope="session")
def read() -> Reader:
    return read_message


@pytest.fixture(scope="session")
def three_ways() -> Reader:
    """Reads a message whole, byte by byte, and with bytes left over; the three must agree. Returns the first."""

    def check(wire: bytes, **options: Any) -> Any:
        whole = read_message([wire], **options)
        single = read_message([wire[i : i + 1] for i in range(len(wire))], **options)
        assert same(whole, single), f"byte by byte: {single}\nwhole: {whole}"
        if whole.done and not whole.error:
            more = read_message([wire + b"\r\nEXTRA"], **options)
            assert same(more, whole._replace(rest=whole.rest + b"\r\nEXTRA")), f"with more: {more}\nwhole: {whole}"
        return whole

    return check


@pytest.fixture(scope="session")
def same_outcome() -> Callable[[Any, Any], bool]:
    return same
