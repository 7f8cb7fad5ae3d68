"""`tulle install`, `uninstall`, `check --pre --kubernetes`: what is asked of kubectl. Against a cluster: tests/e2e."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from click.testing import CliRunner
from tulle_cli.api_client import ApiClient
from tulle_cli.check.kubernetes import judge_version
from tulle_cli.cluster import manifests
from tulle_cli.main import root


def tulle(*arguments):
    return CliRunner().invoke(root, arguments)


def kinds(text):
    return [each["kind"] for each in yaml.safe_load_all(text)]


def test_dry_run_prints_and_calls_nobody(kubectl):
    done = tulle("install", "--dry-run", "--registry", "registry.example/mine/", "--set", "TULLE_PROXY_CPU_REQUEST=50m")
    assert done.exit_code == 0, done.output
    assert kubectl.calls == []
    objects = list(yaml.safe_load_all(done.output))
    assert [each["kind"] for each in objects][:2] == ["Namespace", "CustomResourceDefinition"]
    assert {each["kind"] for each in objects[-2:]} == {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}
    deployments = {each["metadata"]["name"]: each for each in objects if each["kind"] == "Deployment"}
    containers = {name: each["spec"]["template"]["spec"]["containers"][0] for name, each in deployments.items()}
    assert all(each["image"].startswith("registry.example/mine/tulle/") for each in containers.values())
    environment = {each["name"]: each["value"] for each in containers["tulle-admission-controller"]["env"]}
    assert environment["TULLE_PROXY_CPU_REQUEST"] == "50m"
    assert environment["TULLE_PROXY_IMAGE"] == "registry.example/mine/tulle/proxy:0.1.0"


def test_ha_has_two_of_each_and_budgets(kubectl):
    objects = list(yaml.safe_load_all(tulle("install", "--dry-run", "--ha").output))
    assert {each["spec"]["replicas"] for each in objects if each["kind"] == "Deployment"} == {2}
    assert [each["kind"] for each in objects].count("PodDisruptionBudget") == 2
    single = list(yaml.safe_load_all(tulle("install", "--dry-run").output))
    assert {each["spec"]["replicas"] for each in single if each["kind"] == "Deployment"} == {1}


def test_install_applies_in_order_and_waits(kubectl):
    replaced = {"metadata": {"name": "former", "deletionTimestamp": "2026-11-22T01:54:00Z"}}
    kubectl.answer(["get pods", 0, json.dumps({"items": [{"metadata": {"name": "new"}}, replaced]})])
    done = tulle("install", "--context", "there", "--timeout", "9")
    assert done.exit_code == 0, done.output
    calls = kubectl.calls
    assert all(arguments[:2] == ["--context", "there"] for arguments, _ in calls)
    words = [" ".join(arguments[2:]) for arguments, _ in calls]
    assert words == [
        "apply --server-side --field-manager=tulle-install -f -",
        "wait --for=condition=Established crd/meshpolicies.tulle.dev --timeout=9s",
        "apply --server-side --field-manager=tulle-install -f -",
        "delete --ignore-not-found -f -",
        "-n tulle-system rollout status deployment/tulle-control-plane --timeout=9s",
        "-n tulle-system rollout status deployment/tulle-admission-controller --timeout=9s",
        "get pods -n tulle-system -l app=tulle-admission-controller -o json",
        "-n tulle-system wait --for=delete pod/former --timeout=9s",  # it still injects the proxy of before
    ]
    assert set(kinds(calls[3][1])) == {"PodDisruptionBudget"}  # of an --ha that was before
    assert kinds(calls[0][1]) == ["Namespace", "CustomResourceDefinition"]
    assert len(kinds(calls[0][1])) + len(kinds(calls[2][1])) == len(manifests.rendered("default"))


def test_uninstall_takes_webhooks_first_the_namespace_last_and_names_who_is_left(kubectl):
    left = {"metadata": {"namespace": "shop", "name": "web-1", "annotations": {"tulle.dev/injected": "0.1.0"}}}
    kubectl.answer(["get pods", 0, json.dumps({"items": [left, {"metadata": {"namespace": "a", "name": "b"}}]})])
    done = tulle("uninstall")
    assert done.exit_code == 0, done.output
    assert "still injected: shop/web-1" in done.output
    (_, _), (arguments, given) = kubectl.calls
    assert arguments[:3] == ["delete", "--ignore-not-found", "--wait"]
    order = kinds(given)
    assert "WebhookConfiguration" in order[0]
    assert order[-1] == "Namespace"
    assert "PodDisruptionBudget" in order


def test_a_refusal_is_told_in_its_own_words(kubectl):
    kubectl.answer(["apply", 1, 'namespaces is forbidden: User "eve" cannot patch'])
    done = tulle("install")
    assert done.exit_code == 1
    assert 'User "eve" cannot patch' in done.output
    assert len(kubectl.calls) == 1


@pytest.mark.parametrize(
    ("pair", "status", "said"),
    [
        ("TULLE_NONSENSE=1", 1, "has no such setting"),
        ("TULLE_PROXY_CPU_REQUEST=lots", 1, "TULLE_PROXY_CPU_REQUEST"),
        ("TULLE_EXPORTERS", 2, "expected TULLE_X=VALUE"),
    ],
)
def test_settings_are_judged_before_anything_is_applied(kubectl, pair, status, said):
    done = tulle("install", "--set", pair)
    assert done.exit_code == status
    assert said in done.output
    assert kubectl.calls == []


def test_without_kubectl_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for command in ("install", "uninstall"):
        done = tulle(command)
        assert done.exit_code == 1
        assert "kubectl is not on PATH" in done.output


def test_check_pre_asks_the_cluster(kubectl):
    version = json.dumps({"major": "1", "minor": "34+", "gitVersion": "v1.34.4"})
    kubectl.answer(["/version", 0, version], ["can-i create namespaces", 1, "no"], ["get crd", 1, "NotFound"])
    done = tulle("check", "--pre", "--kubernetes", "-o", "json")
    assert done.exit_code == 1
    assert "not allowed: create namespaces" in done.output
    kubectl.answer(["/version", 0, version], ["get crd", 1, "NotFound"])
    done = tulle("check", "--pre", "--kubernetes")
    assert done.exit_code == 0, done.output
    assert "no HTTPRoute in this cluster" in done.output
    assert tulle("check", "--kubernetes").exit_code == 2


@pytest.mark.parametrize(("minor", "ok"), [("30", True), ("34+", True), ("29", False)])
def test_versions(minor, ok):
    assert judge_version(json.dumps({"major": "1", "minor": minor, "gitVersion": f"v1.{minor}"})).ok is ok


class Answers(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        body = json.dumps({"path": self.path}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_clusters_control_plane_is_asked_through_kubectl(kubectl):
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        kubectl.answer(["port-forward", 0, f"Forwarding from 127.0.0.1:{server.server_port} -> 8085\n"])
        client = ApiClient("kubernetes:there")
        assert client.get("/api/v1/stat", {"namespace": "demo"}) == {"path": "/api/v1/stat?namespace=demo"}
        server.shutdown()
    (arguments, _) = kubectl.calls[0]
    assert arguments[:2] == ["--context", "there"]
    assert arguments[2:] == [
        "-n", "tulle-system", "port-forward", "deployment/tulle-control-plane", "--address", "127.0.0.1", ":8085",
    ]  # fmt: skip


def test_a_port_forward_that_fails_is_told_in_kubectls_words(kubectl):
    kubectl.answer(["port-forward", 1, 'Error from server (NotFound): namespaces "tulle-system" not found'])
    done = tulle("stat", "--control-plane", "kubernetes")
    assert done.exit_code == 1
    assert 'namespaces "tulle-system" not found' in done.output
    assert "tulle install" in done.output
