"""What commands say about mistakes that need no lab to be made."""

import errno

from click.testing import CliRunner
from tulle_lab.commands import up
from tulle_lab.commands.processes import exec_command
from tulle_lab.commands.up import up_command


def test_an_option_of_the_program_without_dashes_is_answered_with_them():
    done = CliRunner().invoke(exec_command, ["node", "curl", "-s", "http://app-a.demo/"])
    assert done.exit_code == 2
    assert "exec has no option -s; put -- before the program" in done.stderr


def test_a_state_folder_of_somebody_else_is_one_message(monkeypatch):
    def refused(_):
        raise PermissionError(errno.EACCES, "Permission denied", "/root/lab")

    monkeypatch.setattr(up, "client", refused)
    done = CliRunner().invoke(up_command, [])
    assert done.exit_code == 1
    assert "no permission for /root/lab" in done.stderr
    assert "TULLE_LAB_STATE" in done.stderr


def test_ctrl_c_says_that_a_lab_may_be_running(monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setenv("TULLE_LAB_STATE", str(tmp_path / "lab"))
    monkeypatch.setattr("tulle_lab.launch.start.start", interrupted)
    done = CliRunner().invoke(up_command, [])
    assert done.exit_code == 1
    assert "the lab may be running" in done.stderr
    assert "tulle lab down" in done.stderr
