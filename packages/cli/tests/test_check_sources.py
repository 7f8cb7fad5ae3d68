"""Where checks come from: control plane, proxies, plugins, ports, manifests, machine."""

import json
import socket
import subprocess
import sys

import pytest
from tulle_cli.api_client import ApiClient
from tulle_cli.check import control_plane, machine, manifests, plugins, ports, programs
from tulle_cli.check.machine import Listener
from tulle_cli.check.run import collect, run
from tulle_plugin_api import Check, CheckResult, PluginInfo, Plugins, hookimpl, load


def of_control_plane(api):
    outcomes = collect(run(control_plane.sections(ApiClient(api.target))))
    return {outcome.name: outcome.lines for outcome in outcomes}


def test_all_is_well(api, monkeypatch):
    monkeypatch.setattr(control_plane, "version", lambda: "0.1.0")
    found = of_control_plane(api)
    assert list(found) == ["control plane", "configuration", "proxies"]
    assert {line.result for lines in found.values() for line in lines} == {"success"}


def test_nobody_answers(api):
    api.path.unlink()
    found = of_control_plane(api)
    assert list(found) == ["control plane"], "the rest would only repeat it"
    assert "no lab is running" in found["control plane"][0].detail
    assert "tulle lab up" in found["control plane"][0].hint


def test_something_else_answers(api):
    api.answers["/live"] = (404, {})
    assert "answered 404" in of_control_plane(api)["control plane"][0].detail


def test_not_yet_synced(api):
    api.answers["/ready"] = (503, {"status": "waiting", "error": "the catalog has not synced yet: no such folder"})
    line = of_control_plane(api)["control plane"][1]
    assert (line.result, line.detail) == ("error", "the catalog has not synced yet: no such folder")


def test_another_version_is_a_warning(api, monkeypatch):
    monkeypatch.setattr(control_plane, "version", lambda: "0.2.0")
    line = of_control_plane(api)["control plane"][2]
    assert (line.result, line.detail) == ("warning", "it is 0.1.0, this command 0.2.0")


def test_rejected_configuration(api):
    api.answers["/api/v1/catalog"]["rejected"] = [{"source": "app.yaml", "problem": "line 7: no kind", "since": ""}]
    line = of_control_plane(api)["configuration"][0]
    assert (line.result, line.detail) == ("error", "app.yaml: line 7: no kind")
    assert "stays in force" in line.hint


def test_an_object_that_was_not_accepted(api):
    api.answers["/api/v1/catalog"]["objects"]["HTTPRoute"] = [{"namespace": "demo", "name": "canary", "conditions": [
        {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""},
        {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "message": "no Service app-c"}]}]
    line = of_control_plane(api)["configuration"][1]
    assert line.detail == "HTTPRoute demo/canary: ResolvedRefs is False (BackendNotFound): no Service app-c"


def test_a_proxy_behind(api):
    api.answers["/api/v1/proxies"]["proxies"][1].update(state="STALE")
    line = of_control_plane(api)["proxies"][0]
    assert (line.result, line.detail) == ("error", "demo/app-b-1 is STALE")
    assert "tulle lab logs" in line.hint


def test_no_proxy_at_all_is_a_warning(api):
    api.answers["/api/v1/proxies"]["proxies"] = []
    line = of_control_plane(api)["proxies"][0]
    assert line.result == "warning"
    assert "tulle.dev/inject: enabled" in line.hint


def test_a_plugin_that_fails_names_itself_and_its_distribution():
    bad = PluginInfo("bad", "2.0", "tulle-bad", error="ImportError: no module x")
    loaded = Plugins(infos=[PluginInfo("good"), bad])
    result = plugins._load(loaded)
    assert result.ok is False
    assert result.detail == "bad 2.0 of tulle-bad: ImportError: no module x"


def test_plugins_bring_checks_in_their_own_category():
    class Plugin:
        @hookimpl
        def tulle_checks(self):
            return [
                Check("dns", "resolves", lambda: CheckResult(True)),
                Check("dns", "answers", lambda: CheckResult(False, "no", "do"), before=False),
            ]

    loaded = load({"mine": Plugin()}, kinds=())
    [before] = plugins.brought(loaded, before=True)
    [after] = plugins.brought(loaded, before=False)
    assert [(item.name, [check.description for check in item.checks]) for item in (before, after)] == [
        ("dns", ["resolves"]), ("dns", ["resolves", "answers"])]
    assert after.waits


def test_who_holds_a_port():
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        [found] = machine.listeners(frozenset({port}))
        assert found.port == port
        assert f"pid {__import__('os').getpid()}" in found.process


def test_nobody_holds_a_port():
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
    assert machine.listeners(frozenset({port})) == []


def test_ports_of_strangers_are_a_warning_and_tulles_own_are_not():
    result = ports.judge([Listener(4143, "tulle-proxy (pid 7)"), Listener(8085, "nginx (pid 9)"), Listener(8086, "")])
    assert result.ok is None
    assert result.detail.splitlines() == [
        "8085 (control plane, HTTP API) is held by nginx (pid 9)",
        "8086 (control plane, gRPC) is held by a process of another user",
    ]
    assert ports.judge([Listener(4143, "tulle-proxy (pid 7)")]).ok is True


def test_mixed_versions_are_a_warning():
    result = programs._versions(lambda: {"tulle-cli": "0.1.0", "tulle-data-plane": "0.2.0", "tulle-policy-x": "9"})
    assert (result.ok, result.detail) == (None, "tulle-cli 0.1.0, tulle-data-plane 0.2.0")
    assert programs._versions(lambda: {"tulle-cli": "0.1.0", "tulle-policy-x": "9"}).ok is True


def test_complaints_of_programs():
    python = sys.executable
    assert machine.complaint([python, "-c", "pass"]) == ""
    assert machine.complaint([python, "-c", "import sys; sys.exit('no such table')"]) == "no such table"
    assert "exited with status 3" in machine.complaint([python, "-c", "raise SystemExit(3)"])
    assert "could not be started" in machine.complaint(["/nonexistent/program"])


GOOD = """
apiVersion: v1
kind: Service
metadata: {name: app-b, namespace: demo}
---
---
apiVersion: tulle.dev/v1alpha1
kind: MeshPolicy
metadata: {name: limit, namespace: demo}
spec: {targetRef: {kind: Service, name: app-b}, type: nope, config: {}}
"""


POD = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {containers: [{name: web, image: nginx}], securityContext: {%s}}
"""


def test_a_typo_in_an_annotation_is_a_warning(tmp_path):
    typo = (POD % "").replace("{name: web}", "{name: web, annotations: {tulle.dev/injct: x}}", 1)
    (tmp_path / "pod.yaml").write_text(typo)
    [outcome] = collect(run([manifests.section([str(tmp_path)], Plugins())]))
    [line] = outcome.lines
    assert line.result == "warning"
    assert "tulle.dev/injct" in line.detail


def test_documents_know_their_lines():
    found = [(document.line, document.name) for document in manifests.documents(GOOD)]
    assert found == [(2, "Service demo/app-b"), (7, "MeshPolicy demo/limit")]


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (GOOD, "line 7: MeshPolicy demo/limit: spec.type: no policy plugin 'nope' is installed"),
        (POD % "runAsUser: 4140", "line 2: Pod web: the pod"),
        ("{apiVersion: v1, kind: Namespace, metadata: {name: a, annotations: {tulle.dev/inject: maybe}}}",
         'line 1: Namespace a: annotation tulle.dev/inject: "maybe"'),
        ("just text", "line 1: ? ?: expected a mapping with apiVersion, kind and metadata, got str"),
        ("kind: Service\nmetadata: {name: a}", "line 1: Service a: apiVersion: missing"),
        ("apiVersion: v1\nkind: Service\nmetadata: {nam: a}", "line 1: Service ?: metadata.name: missing"),
        ("a: [", "is not YAML: "),
        ("a: b: c", "is not YAML: "),
        ("", "holds no object"),
        ("# nothing", "holds no object"),
    ],
)
def test_what_is_wrong_with_a_manifest(tmp_path, text, detail):
    (tmp_path / "app.yaml").write_text(text)
    [outcome] = collect(run([manifests.section([str(tmp_path)], Plugins())]))
    [line] = outcome.lines
    assert line.result == "error"
    assert line.detail.startswith(detail)


ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: app-b}
spec:
  parentRefs: [{group: "", kind: Service, name: app-b}]
  rules:
    - matches: [{path: {value: /cart}}]
      backendRefs: [{name: app-b, port: 80}]
"""


@pytest.mark.parametrize(
    ("right", "typo", "detail"),
    [
        ("rules:", "ruls:", "spec: unknown field 'ruls'; did you mean 'rules'?"),
        ("matches:", "matchs:", "spec.rules[0]: unknown field 'matchs'; did you mean 'matches'?"),
        ("path: {value", "paht: {value", "spec.rules[0].matches[0]: unknown field 'paht'; did you mean 'path'?"),
        ("value: /cart", "vaule: /cart", "spec.rules[0].matches[0].path: unknown field 'vaule'; did you mean 'value'?"),
        ("port: 80", "prot: 80", "spec.rules[0].backendRefs[0]: unknown field 'prot'; did you mean 'port'?"),
        ("value: /cart", "value: cart", "spec.rules[0].matches[0].path.value: expected a path that begins with"),
        ("spec:", "spce:", "spce: unknown field; did you mean 'spec'?"),
        ("HTTPRoute", "HttpRoute", "kind: gateway.networking.k8s.io/v1 has no 'HttpRoute'; did you mean 'HTTPRoute'?"),
        ("k8s.io/v1", "k8s.io/v1alpha2", "apiVersion: HTTPRoute is read as gateway.networking.k8s.io/v1 or"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_route(tmp_path, right, typo, detail):
    """By the control plane's own function: what it would refuse is told before anything is applied."""
    pytest.importorskip("tulle_control_plane")
    (tmp_path / "route.yaml").write_text(ROUTE.replace(right, typo, 1))
    [outcome] = collect(run([manifests.section([str(tmp_path)], Plugins())]))
    [line] = outcome.lines
    assert line.result == "error"
    assert detail in line.detail
    assert line.detail.startswith("line 2: ")


def test_unknown_fields_of_metadata_are_an_error_for_our_own_kind_and_else_a_warning(tmp_path):
    for text, result in ((ROUTE, "warning"), (GOOD.partition("---\n---")[2], "error")):
        (tmp_path / "app.yaml").write_text(text.replace("metadata: {name", "metadata: {lables: {a: b}, name", 1))
        [outcome] = collect(run([manifests.section([str(tmp_path)], Plugins())]))
        [line] = outcome.lines
        assert line.result == result
        assert "metadata.lables: unknown field; did you mean 'labels'?" in line.detail


def test_what_nobody_looks_at_is_noted(tmp_path):
    pytest.importorskip("tulle_control_plane")
    others = "".join(
        f"---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n"
        for version, kind in (("v1", "ConfigMap"), ("example.com/v1", "Widget"), ("v1", "ConfigMap"))
    )
    (tmp_path / "app.yaml").write_text(ROUTE + others)
    [outcome] = collect(run([manifests.section([str(tmp_path)], Plugins())]))
    [line] = outcome.lines
    assert line.result == "success"
    assert line.detail == "4 objects; for the cluster to judge: ConfigMap of v1, Widget of example.com/v1"


def test_a_kind_of_ours_in_a_strange_group_is_a_warning(tmp_path):
    pytest.importorskip("tulle_control_plane")
    (tmp_path / "app.yaml").write_text(ROUTE.replace("gateway.networking", "networking"))
    [outcome] = collect(run([manifests.section([str(tmp_path)], Plugins())]))
    [line] = outcome.lines
    assert line.result == "warning"
    assert "HTTPRoute of networking.k8s.io/v1; Tulle reads HTTPRoute of gateway.networking.k8s.io/v1" in line.detail


def test_without_the_control_planes_code_it_says_what_it_does_not_judge(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tulle_control_plane.core.parse", None)
    (tmp_path / "route.yaml").write_text(ROUTE.replace("matches:", "matchs:"))
    [outcome] = collect(run([manifests.section([str(tmp_path)], Plugins())]))
    [line] = outcome.lines
    assert line.result == "warning"
    assert "pip install 'tulle-cli[lab]'" in line.detail


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9 b")
    files = [str(tmp_path / "none.yaml"), str(tmp_path / "latin.yaml")]
    [outcome] = collect(run([manifests.section(files, Plugins())]))
    assert [line.detail for line in outcome.lines] == [
        "cannot be read: No such file or directory", "is not UTF-8: invalid continuation byte at byte 3"]


def test_the_command_on_a_manifest(tulle, tmp_path):
    good = tmp_path / "good.yaml"
    good.write_text("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n")
    done = tulle("check", "-f", str(good))
    assert done.exit_code == 0
    assert done.output == f"manifests\n---------\n√ {good} (1 object)\n\nStatus check results are √\n"
    good.write_text(GOOD)
    done = tulle("check", "-f", str(good), "-o", "json")
    assert done.exit_code == 1
    report = json.loads(done.output)
    assert not report["success"]
    assert report["categories"][0]["checks"][0]["result"] == "error"


def test_the_command_without_a_control_plane_fails_and_pre_does_not_ask(tulle, monkeypatch):
    monkeypatch.setattr("tulle_cli.check.kernel.rehearsal", lambda: iter(()))
    done = tulle("check", "-o", "json")
    assert done.exit_code == 1
    assert "control plane" in [category["categoryName"] for category in json.loads(done.output)["categories"]]
    done = tulle("check", "--pre", "-o", "json")
    assert "control plane" not in [category["categoryName"] for category in json.loads(done.output)["categories"]]


def test_the_command_in_ascii(tulle, api, monkeypatch):
    monkeypatch.setattr("tulle_cli.check.kernel.rehearsal", lambda: iter(()))
    done = tulle("check", "--control-plane", api.target, charset="ascii")
    assert "v answers" in done.output
    assert "√" not in done.output


def test_a_locale_that_is_not_utf8_means_ascii(tulle, tmp_path, monkeypatch):
    path = tmp_path / "a.yaml"
    path.write_text("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n")
    monkeypatch.setenv("LC_ALL", "C")
    assert tulle("check", "-f", str(path)).output.endswith("Status check results are v\n")


@pytest.mark.root
def test_the_rehearsal_is_the_init_containers():
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("network namespaces cannot be made here")
    from tulle_cli.check import kernel

    [outcome] = collect(run([kernel.section()]))
    assert "IPv4 redirection works" in " ".join(line.description for line in outcome.lines)
    assert not outcome.failed, outcome
