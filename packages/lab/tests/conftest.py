"""Makes the lab_* helpers importable (with importlib mode, test folders are not on the path); a lab for root tests."""

import itertools
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

_numbers = itertools.count(1)


def why_no_lab():
    """Why no lab can run here; empty when it can."""
    from tulle_lab.launch.requirements import CHECKS

    missing = [found.what for check in CHECKS.values() if (found := check())]
    return "; ".join(missing) or ("" if shutil.which("curl") else "curl is not installed")


def pytest_collection_modifyitems(items):
    marked = [item for item in items if item.get_closest_marker("root") and "packages/lab/" in str(item.path)]
    if marked and (reason := why_no_lab()):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"no lab can run here: {reason}"))


@pytest.fixture
def state():
    """An empty state folder, not too deep. Whatever lab a failed test left in it is killed."""
    from lab_runner import Lab

    folder = Path(tempfile.mkdtemp(prefix="lab-test-"))
    yield folder / "state"
    # not rglob, which fails where a lab that is going down takes a folder away meanwhile
    for parent in [parent for parent, _, files in os.walk(folder) if "lock" in files]:
        Lab(Path(parent)).run_raw("down", "--now")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def lab():
    """A running lab without Tulle's own components, shared by the tests of this package."""
    from lab_runner import Lab

    folder = Path(tempfile.mkdtemp(prefix="lab-test-"))
    lab = Lab(folder / "state")
    lab.run("up", "--no-system")
    yield lab
    log = lab.state / "daemon.log"
    complaints = log.read_text() if log.exists() else "the lab died"
    lab.run("down")
    shutil.rmtree(folder, ignore_errors=True)
    assert complaints == "", complaints


@pytest.fixture
def space(lab):
    """A namespace of the shared lab for one test."""
    from lab_runner import namespace

    name = f"test-{next(_numbers)}"
    lab.apply(namespace(name))
    yield name
    lab.run("delete", "ns", name, "--force")


@pytest.fixture
def root():
    """Tests that only the machine's root can run."""
    if os.getuid() != 0:
        pytest.skip("only as root: it acts as another user, or looks at the whole machine")
