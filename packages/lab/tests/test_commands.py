"""The commands without a lab: a fast start, the way to the state folder, durations, tables."""

import subprocess
import sys

import click
import lab_samples as samples
import pytest
from click.testing import CliRunner
from tulle_lab.commands import lab
from tulle_lab.commands.columns import COLUMNS, age, pod_status
from tulle_lab.commands.common import Duration
from tulle_lab.commands.tables import render, table
from tulle_lab.kinds.registry import KINDS

HEAVY = {"trio", "yaml", "rich", "dnslib", "ssl", "cryptography", "http.client", "asyncio", "pluggy"}


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["get", "--help"],
        ["get", "pods"],
        ["exec", "a", "--", "b"],
        ["logs", "a"],
        ["scale", "a", "--replicas", "1"],
    ],
)
def test_a_command_starts_without_what_it_does_not_need(words, tmp_path):
    script = (
        "import sys\nfrom tulle_lab.commands import lab\n"
        f"try: lab(['--state', {str(tmp_path)!r}, *{words!r}])\nexcept SystemExit: pass\n"
        "print('MODULES', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = set(done.stdout.rpartition("MODULES")[2].split())
    assert "tulle_lab.commands" in modules
    assert modules & HEAVY == set()


def test_every_command_is_there_and_helps():
    help_text = CliRunner().invoke(lab, ["--help"]).output
    for name in lab.list_commands(click.Context(lab)):
        result = CliRunner().invoke(lab, [name, "--help"])
        assert result.exit_code == 0, name
        assert f"  {name} " in help_text


def test_without_a_lab_it_says_how_to_get_one(tmp_path):
    for words in (["get", "pods"], ["apply", "-f", "-"], ["logs", "a"], ["wait", "pod/a", "--for=delete"]):
        result = CliRunner().invoke(lab, ["--state", str(tmp_path / "none"), *words], input="")
        assert (result.exit_code, "tulle lab up" in result.output) == (1, True), result.output
    assert not (tmp_path / "none").exists(), "asking creates nothing"


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5), ("5s", 5), ("500ms", 0.5), ("2m", 120), ("1h", 3600), ("1.5s", 1.5)]
)
def test_durations(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "s", "soon", "5d", "-5s", "1m30s"])
def test_no_durations(text):
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (190, "3m10s"),
        (600, "10m"),
        (7199, "119m"),
        (7500, "2h5m"),
        (90000, "25h"),
        (400000, "4d"),
    ],
)
def test_ages(seconds, text):
    assert age("1970-01-01T00:00:00Z", seconds) == text


def container_status(state, name="app", **more):
    return {"name": name, "state": state, "ready": False, "started": False, "restartCount": 0, **more}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": {"phase": "Pending"}}, "Pending"),
        ({"status": {"phase": "Running", "containerStatuses": [container_status({"running": {}})]}}, "Running"),
        (
            {
                "status": {
                    "phase": "Running",
                    "containerStatuses": [container_status({"waiting": {"reason": "CrashLoopBackOff"}})],
                }
            },
            "CrashLoopBackOff",
        ),
        (
            {
                "status": {
                    "phase": "Succeeded",
                    "containerStatuses": [container_status({"terminated": {"reason": "Completed"}})],
                }
            },
            "Completed",
        ),
        (
            {
                "status": {
                    "phase": "Pending",
                    "initContainerStatuses": [container_status({"running": {}}), container_status({"running": {}})],
                }
            },
            "Init:0/2",
        ),
        (
            {
                "status": {
                    "phase": "Pending",
                    "initContainerStatuses": [container_status({"terminated": {"reason": "Error"}})],
                }
            },
            "Init:Error",
        ),
    ],
)
def test_pod_status(changes, expected):
    assert pod_status({**samples.pod(), **changes}) == expected


def test_a_pod_that_terminates_says_so():
    assert pod_status(samples.pod(deletionTimestamp="x")) == "Terminating"


def test_every_kind_has_columns():
    assert set(KINDS) <= set(COLUMNS)


def test_a_table():
    pods = [samples.ready_pod("a", "10.0.0.1", creationTimestamp="1970-01-01T00:00:00Z")]
    pods[0]["status"]["containerStatuses"] = [container_status({"running": {}}, ready=True, restartCount=2)]
    text = render(table("Pod", pods, namespaces=True, now=60))
    assert [line.split() for line in text.splitlines()] == [
        ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"],
        ["default", "a", "1/1", "Running", "2", "60s"],
    ]
    assert render(table("Pod", pods, now=60), header=False).split() == ["a", "1/1", "Running", "2", "60s"]
    assert "10.0.0.1" in render(table("Pod", pods, wide=True, now=60))
    assert "\x1b[32mRunning" in render(table("Pod", pods, now=60), colour=True)
    starts = {line.index("1/1" if "1/1" in line else "READY") for line in text.splitlines()}
    assert len(starts) == 1, "columns are aligned"
