"""Talking to the control plane: both transports, long socket paths, and each way in which nobody answers."""

import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from tulle_cli.api_client import ApiClient, Refused, Unreachable, default_target
from tulle_cli.errors import CliError


def test_over_a_unix_socket(api):
    assert ApiClient(api.target).get("/live") == {"status": "ok"}


def test_over_tcp_with_a_path_before_ours():
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"a": 1}')

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        client = ApiClient(f"http://127.0.0.1:{server.server_port}/mesh/")
        answer = client.get("/api/v1/stat", {"window": "1m", "kind": None})
        thread.join()
    assert answer == {"a": 1}
    assert seen == ["/mesh/api/v1/stat?window=1m"]


def test_a_socket_whose_path_is_too_long_for_the_kernel(tmp_path):
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    os.symlink(folder, tmp_path / "short")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "short" / "s"))
    listener.listen()

    def serve():
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert ApiClient(f"unix:{folder / 's'}").get("/live") == {}
    thread.join()
    listener.close()


def test_no_socket(tmp_path):
    with pytest.raises(Unreachable) as caught:
        ApiClient(f"unix:{tmp_path / 'none.sock'}").get("/live")
    assert "no lab is running" in caught.value.why
    assert "tulle lab up" in caught.value.next


def test_a_socket_that_nobody_listens_on(tmp_path):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "left.sock"))
    left.close()
    with pytest.raises(Unreachable, match="no control plane answers") as caught:
        ApiClient(f"unix:{tmp_path / 'left.sock'}").get("/live")
    assert "has stopped" in caught.value.why


@pytest.mark.parametrize("target", ["ftp://x", "10.0.0.1:8085", "nonsense"])
def test_an_address_that_is_none(target):
    with pytest.raises(CliError, match="is no address") as caught:
        ApiClient(target).get("/live")
    assert "unix:/path" in caught.value.why


def test_an_error_of_the_control_plane_is_told_in_its_words(api):
    api.answers["/api/v1/stat"] = (503, {"error": "the catalog has not synced yet: no folder"})
    with pytest.raises(Refused) as caught:
        ApiClient(api.target).get("/api/v1/stat")
    assert (caught.value.status, caught.value.why) == (503, "the catalog has not synced yet: no folder")


@pytest.mark.parametrize("body", [b"<html>not us</html>", b""])
def test_an_answer_that_is_no_json(api, body):
    api.answers["/api/v1/stat"] = (200, body)
    api.answer = lambda url: (200, body)
    with pytest.raises(Refused) as caught:
        ApiClient(api.target).get("/api/v1/stat")
    assert "HTTP status 200" in caught.value.why


def test_the_labs_socket_is_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv("TULLE_LAB_STATE", "/x/lab")
    assert default_target() == "unix:/x/lab/control-plane.sock"
    monkeypatch.delenv("TULLE_LAB_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_target() == "unix:/state/tulle/lab/control-plane.sock"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_target() == f"unix:{tmp_path}/.local/state/tulle/lab/control-plane.sock"


def test_the_environment_says_where(api, tulle, monkeypatch):
    monkeypatch.setenv("TULLE_API", api.target)
    done = tulle("edges", "-A", "-o", "json")
    assert json.loads(done.output)["window"] == 30.0
