"""The source of the version before (proto/previous.commit), for tests in which both versions meet."""

import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PREVIOUS = (ROOT / "proto/previous.commit").read_text().strip()


def unpack(folder: Path, *parts: str) -> None:
    """Put `parts` of it into `folder`. Skips the test, loudly, where the clone does not go back so far."""
    archive = folder / "source.tar"
    taken = subprocess.run(["git", "archive", "-o", archive, PREVIOUS, *parts], cwd=ROOT, capture_output=True,
                           text=True, check=False)  # fmt: skip
    if taken.returncode:
        pytest.skip(f"NOT TESTED: the version before, {PREVIOUS}, is not in this clone: {taken.stderr.strip()}")
    with tarfile.open(archive) as source:
        source.extractall(folder, filter="data")
    archive.unlink()
