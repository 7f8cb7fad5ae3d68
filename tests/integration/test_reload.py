"""scripts/reload, process 1 of the images that Tilt builds: new code runs, what is no Python does not, signals pass."""

import os
import signal
import subprocess
import sys

import pytest

from tests.tiltfile import ROOT

PROGRAM = """\
import signal, sys
from shown import text
signal.signal(signal.SIGTERM, lambda *_: (print("ends", flush=True), sys.exit(7)))
print(text(), *sys.argv[1:], flush=True)
while True:
    signal.pause()
"""


class Reload:
    """A running one, in folders of its own."""

    def __init__(self, folder):
        self.built, self.live = folder / "built", folder / "shm"
        self.package = "packages/thing/src/shown"
        program = folder / "program"
        program.write_text(f"#!{sys.executable}\n{PROGRAM}")
        program.chmod(0o755)
        self.write(self.built, "__init__.py", "from shown.words import WORD\ndef text(): return WORD\n")
        self.write(self.built, "words.py", "WORD = 'built'\n")
        environment = {  # bytecode is written, as in a pod
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "TULLE_LIVE_PROGRAM": "thing", "TULLE_LIVE_BUILT": str(self.built),
            "TULLE_LIVE": str(folder / "shm"), "TULLE_LIVE_COMMAND": str(program),
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "scripts/reload", "--flag"], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def write(self, root, name, text):
        (root / self.package).mkdir(parents=True, exist_ok=True)
        (root / self.package / name).write_text(text)

    def line(self):
        return self.process.stdout.readline().strip()

    def copied(self, name, text):
        self.write(self.live, name, text)
        self.process.send_signal(signal.SIGHUP)

    def lines(self, count):
        return [self.line() for _ in range(count)]


@pytest.fixture
def reload(tmp_path):
    made = Reload(tmp_path)
    assert made.line() == "built --flag"
    yield made
    if made.process.poll() is None:
        made.process.terminate()
    made.process.communicate()


def test_one_file_that_is_copied_in_runs_among_those_of_the_image(reload):
    reload.copied("words.py", "WORD = 'first'\n")
    assert set(reload.lines(3)) == {"ends", "first --flag", "reload: thing runs with the code copied in"}
    # of the same size, and mostly in the same second: by which bytecode is told to be of a file
    reload.copied("words.py", "WORD = 'other'\n")
    assert set(reload.lines(3)) == {"ends", "other --flag", "reload: thing runs with the code copied in"}
    assert (reload.built / reload.package / "words.py").read_text() == "WORD = 'built'\n"


def test_a_file_that_is_deleted_later_is_gone(reload):
    reload.copied("more.py", "WORD = 'more'\n")
    reload.lines(3)
    (reload.live / reload.package / "more.py").unlink()
    reload.copied("words.py", "import importlib.util as u\nWORD = u.find_spec('shown.more')\n")
    assert "None --flag" in reload.lines(3)


def test_what_is_no_python_is_named_and_the_program_runs_on(reload):
    reload.copied("words.py", "WORD = (\n")
    said = "reload: not Python, the program runs on as it is: packages/thing/src/shown/words.py, line 1"
    assert reload.line().startswith(said)
    assert reload.process.poll() is None
    reload.copied("words.py", "WORD = 'mended'\n")
    assert "mended --flag" in reload.lines(3)


def test_code_that_fails_makes_room_for_the_images_own_until_there_is_newer(reload):
    reload.copied("words.py", "raise ImportError('no such thing')\n")
    lines = iter(reload.line, None)
    assert any(line == "ImportError: no such thing" for line in lines)
    assert {next(lines), next(lines)} == {
        "reload: thing ended with status 1; now it runs with the image's own code", "built --flag",
    }  # fmt: skip
    reload.copied("words.py", "WORD = 'mended'\n")
    assert "mended --flag" in reload.lines(3)


def test_told_to_end_newer_code_ends(reload):
    reload.copied("words.py", "WORD = 'first'\n")
    reload.lines(3)
    reload.process.send_signal(signal.SIGTERM)
    assert reload.process.wait() == 7


def test_without_new_code_nothing_is_started_anew(reload):
    reload.process.send_signal(signal.SIGHUP)
    assert reload.line() == "reload: nothing was copied in"


def test_a_signal_goes_to_the_program_and_its_status_is_handed_on(reload):
    reload.process.send_signal(signal.SIGTERM)
    assert reload.line() == "ends"
    assert reload.process.wait() == 7


def test_a_program_that_is_killed_ends_it(reload):
    children = f"/proc/{reload.process.pid}/task/{reload.process.pid}/children"
    with open(children) as file:
        (child,) = file.read().split()
    os.kill(int(child), signal.SIGKILL)
    assert reload.process.wait() == 128 + signal.SIGKILL
