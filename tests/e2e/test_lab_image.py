"""The image "lab": the demo and the lessons' set-up work in a container with the options that docs/lab-image.md names.

Where the image was not built (`scripts/images lab`, some minutes), these skip, and say so.
"""

import re
import subprocess
from pathlib import Path

import pytest

IMAGE = "tulle/lab:0.1.0"
DOCUMENT = Path(__file__).parents[2] / "docs/lab-image.md"


def options():
    """The options of docs/lab-image.md's table, as words."""
    rows = re.findall(r"^\| `(--[^`]+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert len(rows) == 4
    return [word for row in rows for word in row.split()]


@pytest.fixture(scope="module")
def lab(docker):
    """Runs words in a container of the image; (exit status, output)."""
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode:
        pytest.skip(f"NOT TESTED: no image {IMAGE}; scripts/images lab builds it")

    def run(*words, given=()):
        command = ["docker", "run", "--rm", "--network=none", *(given or options()), IMAGE, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        return done.returncode, done.stdout + done.stderr

    return run


def test_all_that_the_lab_needs_is_there(lab):
    status, said = lab("tulle", "check", "--pre")
    assert status == 0, said
    status, said = lab("tulle", "check", "--pre", given=["--cap-drop=NET_ADMIN"])
    assert status == 1, said  # the table's options are not there for nothing


def test_set_up_has_nothing_to_do(lab):
    status, said = lab("scripts/setup")
    assert (status, said) == (0, "")


def test_what_a_learner_edits_is_what_runs(lab):
    status, said = lab("python", "-c", "import tulle_data_plane as p, os; print(os.path.realpath(p.__file__))")
    assert (status, said.strip()) == (0, "/tulle/packages/data-plane/src/tulle_data_plane/__init__.py")


@pytest.mark.timeout(600)
def test_the_demos_claims_hold(lab):
    status, said = lab()
    assert status == 0, said[-3000:]


def test_the_lessons_are_there(lab):
    status, said = lab("tulle", "learn", "list")
    assert status == 0, said
    assert "of 15 lessons" in said
