"""What the injection may import, the version, settings that agree with the tables, metrics."""

import importlib.metadata
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from tulle_admission_controller import names
from tulle_admission_controller.metrics import Metrics
from tulle_admission_controller.namespaces import FileNamespaces
from tulle_admission_controller.problems import as_one
from tulle_admission_controller.shape import shape_problems


def test_the_injection_imports_nothing_heavy():
    """The CLI imports it for `tulle inject`, and starts in under 150 ms altogether."""
    code = (
        "import sys; before = set(sys.modules); import tulle_admission_controller.manifest; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {
        "msgspec", "cryptography", "starlette", "uvicorn", "asyncio", "ssl", "socket", "yaml", "logging", "json",
        "tulle_plugin_api", "difflib", "subprocess", "typing_extensions",
    }  # fmt: skip
    loaded = set(ended.stdout.split())
    assert "tulle_admission_controller" in loaded
    assert loaded & heavy == set()


def test_the_version_is_the_distributions():
    assert importlib.metadata.version("tulle-admission-controller") == names.VERSION


def test_shape_of_anything():
    assert shape_problems({"spec": {"containers": [{"name": "a"}]}}) == []
    for broken in (None, 3, [], "pod", {}, {"spec": {}}, {"spec": {"containers": []}}, {"spec": {"containers": [3]}}):
        assert shape_problems(broken)
    [problem] = shape_problems({"metadata": {"labels": {"a": True}}, "spec": {"containers": [{"name": "a"}]}})
    assert problem == "metadata.labels: the value of a must be a string, it is true or false; put it in quotes"


def test_several_problems_are_numbered():
    assert as_one(["a"]) == "a"
    assert as_one(["a", "b"]) == "(1) a; (2) b"


def test_metrics():
    metrics = Metrics()
    metrics.reviewed("mutate", "injected", dry_run=False, seconds=0.5)
    metrics.reviewed("mutate", "injected", dry_run=True, seconds=0.25)
    metrics.reviewed("validate", "refused", dry_run=False, seconds=1)
    lines = [
        line for line in metrics.render(datetime(2026, 1, 1, tzinfo=UTC), 2).splitlines() if not line.startswith("#")
    ]
    assert lines == [
        'tulle_admission_reviews_total{endpoint="mutate",outcome="injected",dry_run="false"} 1',
        'tulle_admission_reviews_total{endpoint="mutate",outcome="injected",dry_run="true"} 1',
        'tulle_admission_reviews_total{endpoint="validate",outcome="refused",dry_run="false"} 1',
        'tulle_admission_review_seconds_total{endpoint="mutate"} 0.750000',
        'tulle_admission_review_seconds_total{endpoint="validate"} 1.000000',
        "tulle_admission_certificate_not_after_timestamp_seconds 1767225600",
        "tulle_admission_ca_bundle_certificates 2",
    ]


@pytest.mark.parametrize("content", ["[]", '{"a": []}', '{"a": {"b": 1}}', "x", "[" * 100_000])
def test_a_bad_namespaces_file_changes_nothing(tmp_path, content):
    file = tmp_path / "namespaces.json"
    namespaces = FileNamespaces(file)
    assert namespaces("shop") == {}
    file.write_text('{"shop": {"a": "b"}}')
    assert namespaces("shop") == {"a": "b"}
    file.write_text(content)
    assert namespaces("shop") == {"a": "b"}
