"""Pod shapes in `golden/`: NAME.yaml (a case and a pod) becomes NAME.out.yaml (a report and the patched pod).

`TULLE_UPDATE_GOLDEN=1 pytest packages/admission-controller/tests/test_golden.py` writes the outputs anew, and fails,
so that nobody takes a fresh output for a tested one: read the diff, then run without it.
"""

import os
from pathlib import Path

import pytest
import yaml
from tulle_admission_controller.inject import inject
from tulle_admission_controller.jsonpatch import apply_adds
from tulle_admission_controller.settings import InjectSettings

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path for path in GOLDEN.glob("*.yaml") if not path.name.endswith(".out.yaml"))


def read(path):
    case, pod = yaml.safe_load_all(path.read_text())
    return case, pod


def run(case, pod):
    return inject(
        pod,
        namespace=case["namespace"],
        settings=InjectSettings(**case.get("settings", {})),
        namespace_annotations=case.get("namespaceAnnotations"),
    )


def dump(document):
    return yaml.safe_dump(document, sort_keys=False, width=120, default_flow_style=None)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden(path):
    case, pod = read(path)
    result = run(case, pod)
    report = {"outcome": result.outcome, "reason": result.reason, "warnings": list(result.warnings)}
    documents = [{name: value for name, value in report.items() if value}]
    if result.outcome == "injected":
        documents.append(apply_adds(pod, result.patch))
    text = "---\n".join(dump(document) for document in documents)
    expected = path.with_suffix(".out.yaml")
    if os.environ.get("TULLE_UPDATE_GOLDEN"):
        expected.write_text(text)
        pytest.fail(f"{expected.name} written: read the diff, then run again")
    assert text == expected.read_text()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_applied_twice_equals_once(path):
    case, pod = read(path)
    first = run(case, pod)
    once = apply_adds(pod, first.patch)
    second = run(case, once)
    assert apply_adds(once, second.patch) == once
    assert second.patch == []
    if first.outcome == "injected":
        assert second.outcome == "skipped"
        assert second.reason.startswith("already injected")


def test_there_are_enough_and_every_outcome_is_among_them():
    outcomes = [run(*read(path)).outcome for path in CASES]
    print(f"\ngolden pods: {len(outcomes)}; " + ", ".join(f"{o} {outcomes.count(o)}" for o in sorted(set(outcomes))))
    assert len(outcomes) >= 20
    assert set(outcomes) == {"injected", "skipped", "refused"}


def test_no_output_is_left_over():
    assert {path.name.removesuffix(".out.yaml") for path in GOLDEN.glob("*.out.yaml")} == {p.stem for p in CASES}
