"""The webhook in trouble: certificates change, its CA is taken away, its pods are killed."""

import json
import signal
import threading
import time

from tests.e2e.meshed import FULL, creates, documents, pod, policy, proxied

PODS = 1000 if FULL else 100
HANG_UP = f"import os; os.kill(1, {int(signal.SIGHUP)}); print(1)"  # it renews its certificate at once


def test_the_webhooks_certificate_changes_while_pods_are_made_and_none_misses_its_proxy(demo):
    """By dry run: the whole way of a pod's creation through the API server, without a thousand pods after it."""

    def bundle():
        return demo.get("mutatingwebhookconfiguration", "tulle")["webhooks"][0]["clientConfig"]["caBundle"]

    before, asked = bundle(), time.time()
    given = {"apiVersion": "v1", "kind": "List", "items": [pod(f"r{number}", "demo") for number in range(PODS)]}
    making = demo.start("create", "--dry-run=server", "-o", "json", "-f", "-", given=given)
    renewals, output = 0, []
    reader = threading.Thread(target=lambda: output.extend(making.communicate(timeout=900)))
    reader.start()
    # the first renewal brings a second authority; after it, only the certificate changes until that one has settled
    while reader.is_alive() or renewals < 2:
        demo.python("tulle-system", "deploy/tulle-admission-controller", "admission-controller", HANG_UP)
        renewals += 1
    reader.join()
    said, problems = output
    assert making.returncode == 0, problems
    made = documents(said)
    assert len(made) == PODS
    assert [each["metadata"]["name"] for each in made if not proxied(each)] == []
    since = f"--since={int(time.time() - asked) + 5}s"
    log = demo("-n", "tulle-system", "logs", "deploy/tulle-admission-controller", since)
    served = log.count("serving a new certificate")
    print(f"\n{PODS} pods while {served} new certificates were served: each has its proxy")
    assert served >= 2
    assert bundle() != before


def test_a_ca_bundle_that_somebody_emptied_comes_back(demo):
    empty = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
    demo("patch", "mutatingwebhookconfiguration", "tulle", "--type=json", "-p", json.dumps(empty))
    demo.until(lambda: creates(demo, "demo", "x")[1], "pods are injected again", times=600)


def test_without_the_webhook_pods_start_unless_their_namespace_says_otherwise(demo):
    labels = {"tulle.dev/inject": "enabled", "tulle.dev/failure-policy": "fail"}
    demo.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": labels}})
    demo("-n", "strict", "wait", "--for=create", "serviceaccount/default", "--timeout=300s")
    assert creates(demo, "strict", "x")[:2] == (True, True)
    demo("-n", "tulle-system", "scale", "deploy/tulle-admission-controller", "--replicas=0")
    demo("-n", "tulle-system", "wait", "--for=delete", "pod", "-l", "app=tulle-admission-controller", "--timeout=300s")
    try:
        made, injected, said = creates(demo, "demo", "x")
        assert (made, injected) == (True, False)
        assert "is in a namespace of the mesh and has no proxy" in said
        made, _, said = creates(demo, "strict", "x")
        assert not made
        assert 'failed calling webhook "inject-or-fail.tulle.dev"' in said
        status, said = demo.run("apply", "-f", "-", given=policy("x", "timeout", {"request": "1s"}))
        assert status != 0
        assert 'failed calling webhook "policies.tulle.dev"' in said
    finally:
        demo("-n", "tulle-system", "scale", "deploy/tulle-admission-controller", "--replicas=1")
        demo.rolled_out("tulle-system", "deploy/tulle-admission-controller")
        demo("delete", "namespace", "strict", "--wait=false")


def test_a_webhook_pod_that_is_killed_is_replaced_and_its_ca_with_it(demo):
    """The new pod has an authority of its own; the API server believes it without anybody's doing."""
    pods = ("-n", "tulle-system", "delete", "pod", "-l", "app=tulle-admission-controller")
    demo(*pods, "--grace-period=0", "--force")
    for number in range(3):  # whatever became of the webhook: a pod can be made
        assert creates(demo, "demo", f"x{number}")[0]
    demo.rolled_out("tulle-system", "deploy/tulle-admission-controller")
    demo.until(lambda: creates(demo, "demo", "x")[1], "pods are injected again", times=600)
