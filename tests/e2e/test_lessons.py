"""The lessons' checks on a cluster: `tulle lessons verify --on kind`, for those that make sense there."""

import os
import subprocess

import pytest

from tests.e2e.meshed import FULL, ROOT, make_demo

LESSONS = ("8", "10", "11", "12", "13", "14", "15") if FULL else ("10",)


@pytest.fixture
def course(mesh, gateway_api):
    """A cluster that a course may have for itself: its lessons make the namespace demo anew, and it is put back."""
    yield mesh
    make_demo(mesh)


@pytest.mark.parametrize("number", LESSONS)
def test_a_lessons_starter_fails_for_its_reason_and_its_solution_passes(course, number, tmp_path):
    command = [ROOT / ".venv/bin/tulle", "lessons", "verify", "--on", "kind", number]
    environment = {**course.environment, "XDG_STATE_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=1500)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
