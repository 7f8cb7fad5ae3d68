"""`tulle install` and `tulle uninstall` on a real cluster; and that our reading of kustomizations is kubectl's.

It takes the mesh away and puts it back, so that other files find one whenever they come.
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


# of these a cluster that is itself called tulle has some, or their names are of what they are about
NOT_LOOKED_AT = ("nodes", "csinodes", "leases", "events", "pods", "componentstatuses", "ciliumnodes")


def ours(kubectl):
    """Everything in the cluster that is named after Tulle, of every kind that can be listed."""
    found = set()
    for kind in kubectl("api-resources", "--verbs=list", "-o", "name").split():
        if kind.partition(".")[0] not in NOT_LOOKED_AT:
            _, output = kubectl.run("get", kind, "-A", "-o", "name")
            found |= {line for line in output.split() if "/" in line and "tulle" in line}
    return found


def test_uninstall_leaves_nothing_and_install_brings_it_back(mesh):
    said = tulle(mesh, "check", "--pre", "--kubernetes")
    assert "v1." in said
    tulle(mesh, "uninstall")
    left = mesh.run("get", "all,configmaps,serviceaccounts", "-n", "tulle-system")[1]
    assert "No resources found" in left
    assert ours(mesh) == set()
    tulle(mesh, "install", "--ha")
    try:
        replicas = mesh.get("-n", "tulle-system", "deployments")["items"]
        assert [each["status"]["readyReplicas"] for each in replicas] == [2, 2]
        bundle = mesh.get("mutatingwebhookconfiguration", "tulle")["webhooks"][0]["clientConfig"]["caBundle"]
        assert base64.b64decode(bundle).count(b"BEGIN CERTIFICATE") >= 2  # one of each replica
    finally:
        tulle(mesh, "install")
    assert mesh.get("-n", "tulle-system", "pdb")["items"] == []
