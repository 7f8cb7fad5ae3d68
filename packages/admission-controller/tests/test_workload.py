"""Whose pod is it, by what its metadata tells."""

import pytest
from tulle_admission_controller.workload import workload_of


def owned(kind, name, **metadata):
    return {"ownerReferences": [{"kind": kind, "name": name, "controller": True}], **metadata}


HASH = {"labels": {"pod-template-hash": "7d9c6bdf9c"}}

NOT_THE_CONTROLLER = {"kind": "Node", "name": "n", "controller": False}


@pytest.mark.parametrize(
    ("metadata", "workload"),
    [
        (owned("ReplicaSet", "web-7d9c6bdf9c", **HASH), "deployment/web"),
        (owned("ReplicaSet", "my-web-7d9c6bdf9c", **HASH), "deployment/my-web"),
        (owned("ReplicaSet", "web"), "replicaset/web"),
        (owned("ReplicaSet", "web-7d9c6bdf9c"), "replicaset/web-7d9c6bdf9c"),
        (owned("ReplicaSet", "-7d9c6bdf9c", **HASH), "replicaset/-7d9c6bdf9c"),
        (owned("StatefulSet", "db", generateName="db-"), "statefulset/db"),
        (owned("DaemonSet", "agent"), "daemonset/agent"),
        (owned("Job", "migrate"), "job/migrate"),
        (owned("Job", "backup-29384280"), "cronjob/backup"),
        (owned("Job", "backup-20240101"), "job/backup-20240101"),  # a date, not minutes since 1970
        (owned("Job", "backup-2938428"), "job/backup-2938428"),
        (owned("Rollout", "web"), "rollout/web"),
        ({"ownerReferences": [NOT_THE_CONTROLLER, {"kind": "Job", "name": "j"}]}, "job/j"),
        ({"ownerReferences": [], "generateName": "web-7d9c6bdf9c-", **HASH}, "deployment/web"),
        ({"generateName": "runner-"}, "pod/runner"),
        ({"generateName": "-"}, ""),
        ({"labels": {"job-name": "migrate"}, "generateName": "migrate-"}, "job/migrate"),
        ({"labels": {"batch.kubernetes.io/job-name": "backup-29384280"}}, "cronjob/backup"),
        ({"name": "by-hand"}, ""),
        ({}, ""),
    ],
)
def test_workload(metadata, workload):
    assert workload_of(metadata) == workload
