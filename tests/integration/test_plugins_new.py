"""`tulle plugins new` of each kind, built and installed by the real installer: found, loaded, and its tests pass.

Installed into a folder of its own, from wheels that hatchling builds here; nothing is downloaded.
"""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

KINDS = ("balancer", "policy", "exporter", "catalog")
SCRIPTS = Path(sysconfig.get_path("scripts"))


def run(*words, cwd, **environment):
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not (SCRIPTS / "uv").exists(), reason="uv is not installed here")
def test_each_kind_is_written_installed_found_and_passes(tmp_path):
    folders = [tmp_path / f"tulle-{kind}-brand-new" for kind in KINDS]
    for kind in KINDS:
        run(SCRIPTS / "tulle", "plugins", "new", kind, "brand-new", cwd=tmp_path)
    site = tmp_path / "site"
    run(
        SCRIPTS / "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation",
        "--python", sys.executable, "--target", site, *folders, cwd=tmp_path,
    )  # fmt: skip
    rows = json.loads(run(SCRIPTS / "tulle", "plugins", "list", "-o", "json", cwd=tmp_path, PYTHONPATH=str(site)))
    found = {row["kind"]: row for row in rows if row["name"].endswith("-brand-new")}
    assert set(found) == set(KINDS)
    for kind, row in found.items():
        assert (row["state"], row["error"], row["provides"]) == ("loaded", "", [f"{kind} brand-new"])
        assert (row["version"], row["source"]) == ("0.1.0", f"tulle-{kind}-brand-new")
    for folder in folders:
        said = run(
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder, cwd=folder, PYTHONPATH=str(site)
        )
        assert " passed" in said
