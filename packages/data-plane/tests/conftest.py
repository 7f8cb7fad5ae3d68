"""Shared by this package's tests: a whole proxy inside the test, and what stands on either side of it."""

import importlib.util
import sys
from pathlib import Path

import pytest


def _load(name):
    # not by sys.path: another package's tests may have a module of this name
    unique = f"tulle_data_plane_tests_{name}"
    if unique not in sys.modules:
        spec = importlib.util.spec_from_file_location(unique, Path(__file__).with_name(f"{name}.py"))
        module = sys.modules[unique] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[unique]


@pytest.fixture
def harness():
    """The module harness.py."""
    return _load("harness")


@pytest.fixture
def mesh(harness):
    """`async with mesh(head_seconds=5) as m:` a proxy with these settings; whatever is left behind fails the test."""
    return harness.mesh


@pytest.fixture(scope="session")
def tls_stage():
    """The module tls_stage.py."""
    return _load("tls_stage")


@pytest.fixture
def control_module():
    """The module control.py."""
    return _load("control")


@pytest.fixture
def program():
    """The class Program of test_program.py: `tulle-proxy` as a process."""
    return _load("test_program").Program
