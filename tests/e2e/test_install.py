"""`tulle install --ha` on a real cluster; and that our reading of kustomizations is kubectl's.

The rest of the way, from `tulle check --pre` to `tulle uninstall`, is docs/install.md: test_word_by_word.py.
"""

import base64
import json

import pytest
import yaml
from tulle_cli.cluster import manifests

from tests.e2e import meshed
from tests.e2e.meshed import ROOT


def tulle(kubectl, *arguments):
    status, said = meshed.tulle(kubectl, *arguments)
    assert status == 0, said
    return said


def as_set(objects):
    return {json.dumps(each, sort_keys=True) for each in objects}


@pytest.mark.parametrize("overlay", ["default", "ha"])
def test_manifests_are_read_as_kustomize_reads_them(kubectl, overlay):
    said = list(yaml.safe_load_all(kubectl("kustomize", ROOT / "deploy/overlays" / overlay)))
    assert as_set(manifests.rendered(overlay)) == as_set(said)


def test_high_availability_is_two_of_each_and_goes_again(mesh):
    said = tulle(mesh, "check", "--pre", "--kubernetes")
    assert "v1." in said
    tulle(mesh, "uninstall")  # what was made with `kubectl apply` conflicts, and is not taken over
    tulle(mesh, "install", "--ha")
    try:
        replicas = mesh.get("-n", "tulle-system", "deployments")["items"]
        assert [each["status"]["readyReplicas"] for each in replicas] == [2, 2]
        bundle = mesh.get("mutatingwebhookconfiguration", "tulle")["webhooks"][0]["clientConfig"]["caBundle"]
        assert base64.b64decode(bundle).count(b"BEGIN CERTIFICATE") >= 2  # one of each replica
    finally:
        tulle(mesh, "install")
    assert mesh.get("-n", "tulle-system", "pdb")["items"] == []
