"""410 Gone, said by a real API server, and what the kubernetes catalog makes of it.

Opt-in, as the admission controller's test_api_server.py: TULLE_KUBE is one file that is etcd and kube-apiserver
(scripts/e2e has it from the cluster kit).
"""

import logging
import os
import threading
from pathlib import Path

import pytest
from kubernetes import client, config
from tulle_catalog_kubernetes.api import Api, configuration
from tulle_catalog_kubernetes.resources import RESOURCES
from tulle_catalog_kubernetes.watcher import Watcher
from tulle_plugin_api.protocols import Deleted, Upserted

from tests.acceptance.scale import world
from tests.acceptance.scale.api_server import ApiServer

KUBE = os.environ.get("TULLE_KUBE", "")

pytestmark = pytest.mark.skipif(not os.access(KUBE, os.X_OK), reason="no API server: set TULLE_KUBE")


@pytest.mark.timeout(300)  # a watch that is not answered with 410 goes on for minutes
def test_what_etcd_has_forgotten_is_listed_anew_and_only_the_difference_told(caplog):
    caplog.set_level(logging.INFO)
    (services,) = [each for each in RESOURCES if each.kind == "Service"]
    with ApiServer(Path(KUBE)) as server:
        config.load_kube_config(server.kubeconfig)
        core = client.CoreV1Api()
        core.create_namespace(world.namespace())
        for number in range(2):
            core.create_namespaced_service(world.NAMESPACE, world.service(number))
        told = []
        api = Api(configuration({"TULLE_KUBECONFIG": server.kubeconfig}))
        watcher = Watcher(services, api, lambda events, synced: told.append((events, synced)), threading.Event())
        watcher.step()
        assert told[-1][1]  # it has synced
        told.clear()

        core.delete_namespaced_service(world.name(1), world.NAMESPACE)
        core.create_namespaced_service(world.NAMESPACE, world.service(2))
        server.compact()
        server.restart()  # what it remembers itself would do for a while
        watcher.step()
        assert "Service: the watch is too old to go on" in caplog.text
        assert told == []
        watcher.step()
        ((events, _),) = told
    print(f"\n{caplog.records[-1].getMessage()}")
    gone, new = events
    assert gone == Deleted("Service", world.NAMESPACE, world.name(1))
    assert isinstance(new, Upserted)
    assert new.object["metadata"]["name"] == world.name(2)
