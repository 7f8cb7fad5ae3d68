"""`tulle inject`: kinds of workload, lists, namespaces in the same file, and the report's words."""

import copy

import pytest
from tulle_admission_controller.manifest import TEMPLATES, inject_manifest
from tulle_admission_controller.settings import InjectSettings

SETTINGS = InjectSettings()
POD = {"spec": {"containers": [{"name": "web", "image": "shop/web:1"}]}}


def wrapped(path, value):
    return {path[0]: wrapped(path[1:], value)} if path else value


def workload(kind="Deployment", group="apps", name="web", template=None, **metadata):
    path = TEMPLATES[group, kind]
    version = f"{group}/v1" if group else "v1"
    body = wrapped(path, template or POD)
    own = body.pop("metadata", {}) if not path else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **own, **metadata}, **body}


def annotated(**annotations):
    return {"metadata": {"annotations": {f"tulle.dev/{k.replace('_', '-')}": v for k, v in annotations.items()}}, **POD}


def at(document, path):
    for token in path:
        document = document[token]
    return document


def run(*documents, **more):
    before = copy.deepcopy(documents)
    result = inject_manifest(documents, settings=SETTINGS, **more)
    assert documents == before
    return result


def lines(result):
    return [str(report) for report in result.reports]


@pytest.mark.parametrize(("group", "kind"), TEMPLATES)
def test_kinds(group, kind):
    document = workload(kind, group)
    result = run(document)
    assert lines(result) == [f'{kind.lower()} "web" injected']
    spec = at(result.documents[0], TEMPLATES[group, kind])["spec"]
    assert [each["name"] for each in spec["initContainers"]] == ["tulle-init", "tulle-proxy"]
    environment = {each["name"]: each.get("value") for each in spec["initContainers"][1]["env"]}
    assert environment["TULLE_WORKLOAD"] == ("" if kind == "Pod" else f"{kind.lower()}/web")


@pytest.mark.parametrize(("group", "kind"), TEMPLATES)
def test_twice_is_once(group, kind):
    once = run(workload(kind, group)).documents
    twice = run(*once)
    assert twice.documents == once
    assert lines(twice) == [f'{kind.lower()} "web" skipped: already injected (0.1.0)']


def test_the_report():
    result = run(
        workload(name="web"),
        workload(name="db", template=annotated(inject="disabled")),
        workload(name="bad", template=annotated(opaque_ports="http")),
        workload("DaemonSet", name="agent", template={"spec": {**POD["spec"], "hostNetwork": True}}),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {}},
    )
    assert lines(result) == [
        'deployment "web" injected',
        'deployment "db" skipped: annotated tulle.dev/inject: disabled',
        'deployment "bad" refused: annotation tulle.dev/opaque-ports: "http" is not a port or a range; '
        'write ports from 1 to 65535 and ranges, like "25,8000-8100"',
        'daemonset "agent" skipped: it has hostNetwork: true, so its firewall rules would be the whole node\'s',
        'service "web" skipped: it has no pods',
    ]
    assert result.refused
    assert result.documents[1:] == [
        workload(name="db", template=annotated(inject="disabled")),
        workload(name="bad", template=annotated(opaque_ports="http")),
        workload("DaemonSet", name="agent", template={"spec": {**POD["spec"], "hostNetwork": True}}),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {}},
    ]


def test_lists_also_in_lists():
    inner = {"apiVersion": "v1", "kind": "List", "items": [workload(name="inner")]}
    result = run({"apiVersion": "v1", "kind": "List", "items": [workload(name="outer"), inner]})
    assert lines(result) == ['deployment "outer" injected', 'deployment "inner" injected']
    assert "initContainers" in result.documents[0]["items"][1]["items"][0]["spec"]["template"]["spec"]


def test_namespaces_of_the_file_hold_for_its_pods():
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "annotations": {"tulle.dev/inject": "disabled"}},
    }
    result = run(workload(namespace="shop"), namespace, workload(namespace="other"), workload())
    assert [report.outcome for report in result.reports] == ["skipped", "skipped", "injected", "injected"]
    assert run(workload(), namespace, namespace="shop").reports[0].outcome == "skipped"


def test_excluded_namespaces():
    assert lines(run(workload(namespace="kube-system"))) == [
        'deployment "web" skipped: namespace kube-system is never injected'
    ]


def test_a_kind_of_another_group_is_not_touched():
    job = {"apiVersion": "volcano.sh/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": {"template": POD}}
    assert run(job).documents == [job]


@pytest.mark.parametrize(
    "document",
    [
        "text", 7, [], {}, {"kind": None}, {"kind": ["Pod"]}, {"apiVersion": 1, "kind": "Pod"},
        {"apiVersion": "v1", "kind": "Pod"}, {"apiVersion": "v1", "kind": "Pod", "metadata": "x", "spec": []},
        {"apiVersion": "apps/v1", "kind": "Deployment"}, {"apiVersion": "apps/v1", "kind": "Deployment", "spec": 3},
        {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": []}},
        {"apiVersion": "v1", "kind": "List", "items": None}, {"apiVersion": "v1", "kind": "List", "items": [3]},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"annotations": {"a": 1}}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": []},
    ],
)  # fmt: skip
def test_what_is_no_manifest_comes_out_as_it_went_in(document):
    result = run(document)
    assert result.documents == [document]
    assert [report.outcome for report in result.reports] in (["refused"], ["skipped"])


def test_empty_documents_stay():
    result = run(None, workload(), None)
    assert [document is None for document in result.documents] == [True, False, True]
    assert len(result.reports) == 1


def test_warnings_come_with_the_report():
    [report] = run(workload(template=annotated(opaque_port="1"))).reports
    assert report.outcome == "injected"
    assert "did you mean" in report.warnings[0]
