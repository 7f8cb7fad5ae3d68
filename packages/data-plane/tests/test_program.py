"""The program as a process: settings, signals, exit statuses, and a small limit of open files."""

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time

import pytest

PATIENCE = 30


def free_ports(count):
    socks = [socket.socket() for _ in range(count)]
    try:
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in socks]
    finally:
        for sock in socks:
            sock.close()


class Program:
    """`tulle-proxy` with nothing around it: every connection is to its own port, so there is only the admin port."""

    def __init__(self, *arguments, files=None, **variables):
        self.outbound, self.inbound, self.admin = free_ports(3)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TULLE_")}
        environment |= {
            "TULLE_LEAN": "off", "TULLE_EXPORTERS": "", "TULLE_OUTBOUND_PORT": str(self.outbound),
            "TULLE_INBOUND_PORT": str(self.inbound), "TULLE_ADMIN_PORT": str(self.admin), **variables,
        }
        limit = None if files is None else (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tulle_data_plane", *arguments], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=limit,
        )
        self.log = []
        self._unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def until(self, message):
        """Read the log up to this message; returns its line."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            while b"\n" in self._unread:
                line, _, self._unread = self._unread.partition(b"\n")
                self.log.append(line.decode())
                if json.loads(line)["message"] == message:
                    return json.loads(line)
            if select.select([self.process.stderr], [], [], 1)[0]:
                data = os.read(self.process.stderr.fileno(), 65536)
                assert data, f"it ended; its log: {self.log}"
                self._unread += data
        raise AssertionError(f"no {message!r} in {self.log}")

    def started(self):
        """Wait until it listens."""
        self.until("starting")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                return self.ask("GET /ready")
            except ConnectionRefusedError:
                select.select([self.process.stderr], [], [], 0.02)
        raise AssertionError("it does not listen")

    def ask(self, what):
        """An answer of the admin port."""
        with socket.create_connection(("127.0.0.1", self.admin), PATIENCE) as sock:
            sock.sendall(f"{what} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
            answer = b""
            while data := sock.recv(65536):
                answer += data
        return answer.decode()

    def end(self):
        """(exit status, stdout, what remained of stderr)."""
        stdout, stderr = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, stdout.decode(), (self._unread + stderr).decode()


def test_version():
    with Program("--version") as program:
        status, stdout, _ = program.end()
        assert (status, stdout) == (0, "0.1.0\n")


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (["--port"], {}, ["takes --check or --version", "TULLE_"]),
        ([], {"TULLE_ADMIN_PORT": "x", "TULLE_IDLE_SECONDS": "y"}, ["TULLE_ADMIN_PORT='x'", "TULLE_IDLE_SECONDS='y'"]),
        ([], {"TULLE_EXPORTERS": "nowhere"}, ["TULLE_EXPORTERS", "'nowhere'", "there are"]),
        (["--check"], {"TULLE_LOG_LEVEL": "loud"}, ["TULLE_LOG_LEVEL='loud'", "debug, info, warning or error"]),
    ],
)
def test_bad_settings_end_with_2_and_one_message(arguments, variables, says):
    with Program(*arguments, **variables) as program:
        status, stdout, stderr = program.end()
        assert (status, stdout) == (2, "")
        assert stderr.startswith("tulle-proxy: ")
        assert stderr.count("\n") == 1
        assert all(word in stderr for word in says), stderr


def test_a_port_in_use_ends_with_1_and_one_message():
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Program(TULLE_INBOUND_PORT=str(port)) as program:
            program.until("starting")
            status, _, stderr = program.end()
            assert status == 1
            assert stderr.startswith("tulle-proxy: ")
            assert f"port {port} cannot be bound" in stderr
            assert "TULLE_INBOUND_PORT" in stderr
            assert stderr.count("\n") == 1, stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_0(signum):
    with Program() as program:
        assert program.started().startswith("HTTP/1.1 200 ")
        program.process.send_signal(signum)
        program.until("drained")
        status, _, rest = program.end()
        assert (status, rest) == (0, "")


def test_shutdown_over_http():
    with Program() as program:
        program.started()
        assert program.ask("POST /shutdown").startswith("HTTP/1.1 200 ")
        assert program.end()[0] == 0


def test_without_its_control_plane_it_is_alive_and_not_ready():
    (nobody,) = free_ports(1)
    with Program(TULLE_CONTROL_PLANE=f"127.0.0.1:{nobody}") as program:
        answer = program.started()
        assert answer.startswith("HTTP/1.1 503 ")
        assert f"waiting for the control plane at 127.0.0.1:{nobody}" in answer
        assert program.ask("GET /live").startswith("HTTP/1.1 200 ")
        program.process.terminate()
        program.until("drained")
        assert program.end()[0] == 0


def test_a_loop_is_refused_and_logged():
    with Program() as program:
        program.started()
        with pytest.raises(ConnectionResetError):
            with socket.create_connection(("127.0.0.1", program.outbound), PATIENCE) as sock:
                sock.recv(1)
        assert program.until("connection to the proxy's own port refused")["reason"] == "loop"


def test_with_few_descriptors_it_backs_off_serves_on_and_recovers():
    with Program(files=64) as program:
        program.started()
        socks = []
        for _ in range(100):  # more than it may open; the kernel completes them all
            sock = socket.create_connection(("127.0.0.1", program.admin), PATIENCE)
            socks.append(sock)
        told = program.until("cannot accept connections; backing off")
        assert told["error"] == "Too many open files"
        socks[0].sendall(b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n")
        assert socks[0].recv(65536).startswith(b"HTTP/1.1 200 "), "who is connected is served"
        for sock in socks:
            sock.close()
        assert program.ask("GET /live").startswith("HTTP/1.1 200 "), "and so is everybody again"
        program.process.terminate()
        program.until("drained")
        assert sum("backing off" in line for line in program.log) <= 3
        assert program.end()[0] == 0


def test_what_is_left_out_for_memory_is_there_for_plugins():
    # as __main__ does it; OpenTelemetry's SDK needs all of these
    code = (
        "from tulle_data_plane import lean; lean.leave_out(); import tulle_data_plane.main; lean.put_back();"
        "import decimal, uuid, ctypes.util, idna, sys, trio;"
        "print(trio.run(trio.run_process, ['true']).returncode);"
        "print(decimal.Decimal('1.5'), len(str(uuid.uuid4())), bool(ctypes.util.__file__), idna.encode('b').decode(),"
        "sys.modules.get('typing_extensions', 'free'))"
    )
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["0", "1.5", "36", "True", "b", "free"], "")


def test_openssl_is_loaded_by_who_speaks_tls_and_not_before():
    code = (
        "from tulle_data_plane import lean; lean.leave_out(); import tulle_data_plane.main; lean.put_back();"
        "import sys; print(*{'ssl', '_ssl', '_hashlib', 'trio._dtls'} & sys.modules.keys());"
        "import ssl, trio, trio.testing;"
        "ends = trio.testing.memory_stream_pair();"
        "print(type(trio.SSLStream(ends[0], ssl.create_default_context(), server_hostname='b')).__name__)"
    )
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("\nSSLStream\n", "")


@pytest.mark.parametrize("loud", ["info", "loud"])
def test_a_check_leaves_no_timer_that_could_kill_the_process_while_it_ends(loud):
    """An interpreter takes a while to end on a busy machine, and has put its signal handlers back by then."""
    code = (
        "import signal\nfrom tulle_data_plane.main import main\n"
        "try:\n    main(['--check'])\n"
        "except SystemExit as ended:\n    print(ended.code, *signal.getitimer(signal.ITIMER_REAL))"
    )
    environment = {**os.environ, "TULLE_LOG_LEVEL": loud, "TULLE_EXPORTERS": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == f"{0 if loud == 'info' else 2} 0.0 0.0\n", done.stderr
