"""What the end-to-end tests stand on: docker, kind and kubectl from PATH.

Where they are absent, all skip, and say so.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = ("init", "proxy", "control-plane", "admission-controller", "sample-app")
TAG = "0.1.0"


def missing(*programs):
    """Why `programs` cannot be used; empty where they can."""
    absent = [each for each in programs if shutil.which(each) is None]
    if absent:
        return f"{', '.join(absent)} not on PATH"
    if "docker" in programs and subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        return "docker is on PATH, but no daemon answers it"
    return ""


@pytest.fixture(scope="session")
def docker():
    """Runs docker; returns what it printed."""
    if problem := missing("docker"):
        pytest.skip(f"NOT TESTED: {problem}; scripts/e2e says how to get it")

    def run(*arguments):
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    return run


@pytest.fixture(scope="session")
def images(docker):
    """The images, built from this source. TULLE_E2E_IMAGES=built: they are there already."""
    if os.environ.get("TULLE_E2E_IMAGES") != "built":
        done = subprocess.run([ROOT / "scripts/images"], capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        print("\n" + done.stdout, end="")
    return [f"tulle/{target}:{TAG}" for target in TARGETS]
