"""The program as a process: TLS, health, signals, exit statuses, logs. Waits for log lines, never for a time."""

import json
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error

import pytest
from tulle_admission_controller.server import _bound

SERVICE = "tulle-admission-controller.tulle-system.svc"


def client(malformed, webhook, name=SERVICE, context=None):
    return malformed.Client("127.0.0.1", webhook.port, context or webhook.context(), name)


def certificate(connection):
    return connection.connection.sock.getpeercert(binary_form=True)


def test_it_serves_and_counts(start_webhook, malformed):
    webhook = start_webhook("--webhook-names", "example.org,127.0.0.1")
    for name in (SERVICE, f"{SERVICE}.cluster.local", "example.org", "127.0.0.1"):
        caller = client(malformed, webhook, name)
        assert malformed.good_answer(caller)
        caller.close()
    assert webhook.get("/live") == "live\n"
    assert webhook.get("/ready") == "ready\n"
    dry = client(malformed, webhook)
    dry.post("/mutate", malformed.encoded(malformed.pod_review(dryRun=True)), "application/json")
    dry.close()
    page = webhook.get("/metrics")
    assert 'reviews_total{endpoint="mutate",outcome="injected",dry_run="false"} 4' in page
    assert 'reviews_total{endpoint="mutate",outcome="injected",dry_run="true"} 1' in page
    assert "tulle_admission_ca_bundle_certificates 1" in page


def test_a_stranger_is_not_trusted_and_old_tls_is_refused(start_webhook, malformed):
    webhook = start_webhook()
    with pytest.raises(ssl.SSLCertVerificationError):
        malformed.good_answer(client(malformed, webhook, "evil.example.org"))
    context = webhook.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        malformed.good_answer(client(malformed, webhook, context=context))
    assert malformed.good_answer(client(malformed, webhook))


def test_sighup_renews_while_connections_live(start_webhook, malformed):
    webhook = start_webhook("--webhook-settle-seconds", "0")
    old = client(malformed, webhook)
    assert malformed.good_answer(old)
    before = certificate(old)
    old_context = webhook.context()

    webhook.process.send_signal(signal.SIGHUP)
    webhook.wait_for("serving a new certificate")
    webhook.wait_for("CA bundle published")
    assert webhook.bundle.read_text().count("BEGIN CERTIFICATE") == 2
    assert malformed.good_answer(old)
    assert certificate(old) == before
    new = client(malformed, webhook, context=old_context)  # who knows only the old bundle is served too
    assert malformed.good_answer(new)
    assert certificate(new) != before

    webhook.process.send_signal(signal.SIGHUP)
    webhook.wait_for("CA bundle published")
    assert webhook.bundle.read_text().count("BEGIN CERTIFICATE") == 1
    assert malformed.good_answer(old)
    assert malformed.good_answer(client(malformed, webhook))
    with pytest.raises(ssl.SSLCertVerificationError):
        malformed.good_answer(client(malformed, webhook, context=old_context))


def test_sigterm_drains(start_webhook, malformed):
    webhook = start_webhook()
    caller = client(malformed, webhook)
    assert malformed.good_answer(caller)
    # a review whose body is half sent when the signal arrives
    body = malformed.encoded(malformed.pod_review())
    slow = client(malformed, webhook)
    assert malformed.good_answer(slow)
    slow.connection.putrequest("POST", "/mutate")
    slow.connection.putheader("content-type", "application/json")
    slow.connection.putheader("content-length", str(len(body)))
    slow.connection.endheaders(body[:100])
    assert malformed.good_answer(caller)  # the half has arrived by now: one loop, in order

    webhook.process.send_signal(signal.SIGTERM)
    webhook.wait_for("draining")
    with pytest.raises(urllib.error.HTTPError) as refused:
        webhook.get("/ready")
    assert refused.value.code == 503
    assert b"draining" in refused.value.read()
    slow.connection.send(body[100:])
    response = slow.connection.getresponse()
    assert json.loads(response.read())["response"]["allowed"] is True
    assert webhook.process.wait(timeout=30) == 0
    webhook.wait_for("stopped")


def test_namespaces_file_is_read_again_when_it_changes(start_webhook, malformed, tmp_path):
    file = tmp_path / "namespaces.json"
    webhook = start_webhook("--namespaces-file", str(file))
    caller = client(malformed, webhook)
    assert malformed.good_answer(caller)
    file.write_text(json.dumps({"shop": {"tulle.dev/inject": "disabled"}}))
    assert not malformed.good_answer(caller)
    file.write_text("{ broken")
    assert not malformed.good_answer(caller)  # as it was
    file.write_text("{}")
    assert malformed.good_answer(caller)


def test_logs_are_json_lines_and_cannot_be_forged(start_webhook, malformed):
    webhook = start_webhook()
    evil = 'x","level":"error"}\n{"message":"forged'
    caller = client(malformed, webhook)
    caller.post("/mutate", malformed.encoded(malformed.pod_review(name=evil)), "application/json")
    entry = webhook.wait_for("review injected")  # every line read on the way has been parsed as JSON
    assert entry["name"] == evil
    assert {"time", "level", "message", "uid", "namespace", "user", "outcome"} <= set(entry)


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--webhook-port", "0x1"], {}, "--webhook-port"),
        ([], {"TULLE_SIDECAR_MODE": "modern"}, "TULLE_SIDECAR_MODE"),
        (["--nonsense"], {}, "--nonsense"),
    ],
)
def test_bad_configuration_exits_2_with_one_line(arguments, environment, said):
    ended = subprocess.run(
        [sys.executable, "-m", "tulle_admission_controller.main", *arguments],
        env={"PATH": "", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert said in json.loads(line)["message"]
    assert json.loads(line)["level"] == "error"


def test_a_port_in_use_exits_1_and_says_so():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "tulle_admission_controller.main"),
                *("--webhook-host", "127.0.0.1", "--webhook-port", port, "--health-port", "0"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert port in json.loads(line)["message"]
    assert "TULLE_WEBHOOK_PORT" in json.loads(line)["message"]


def test_sockets_are_known_as_tcp():
    """asyncio turns Nagle's algorithm off only for sockets that say so; without it each answer takes 40 ms more."""
    with _bound(socket.AF_INET, "127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
