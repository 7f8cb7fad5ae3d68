"""The real webhook, called by a real API server. Opt-in, since the API server is not part of this repository:

    xz -dc ../shared/cluster/bin/kube.xz > /tmp/kube && chmod +x /tmp/kube
    TULLE_KUBE=/tmp/kube .venv/bin/pytest packages/admission-controller/tests/test_api_server.py

TULLE_KUBE is one file that is etcd, kube-apiserver, kube-controller-manager and kubectl, by the name it is called.
Everything listens on loopback only; no node, no pod ever runs.
"""

import base64
import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import yaml

KUBE = os.environ.get("TULLE_KUBE", "")
GOLDEN = sorted(Path(__file__).parent.glob("golden/*.out.yaml"))

pytestmark = pytest.mark.skipif(
    not os.access(KUBE, os.X_OK), reason="no API server: set TULLE_KUBE, as the file's first lines say"
)


def free_port():
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return each.getsockname()[1]


class Cluster:
    """etcd, API server and the controllers that make pods. `kubectl` returns (exit status, output)."""

    def __init__(self, directory):
        self.directory, self.processes = directory, []
        self.port, self.etcd_port, peer = free_port(), free_port(), free_port()
        etcd = f"http://127.0.0.1:{self.etcd_port}"
        key = directory / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        (directory / "tokens.csv").write_text("token,admin,admin,system:masters\n")
        (directory / "config").write_text(json.dumps(self.config()))
        self.start(
            "etcd", "--data-dir", directory / "etcd", "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
            "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--unsafe-no-fsync",
        )  # fmt: skip
        self.start(
            "kube-apiserver", "--etcd-servers", etcd, "--cert-dir", directory / "certs", "--secure-port", self.port,
            "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--authorization-mode", "RBAC",
            "--token-auth-file", directory / "tokens.csv", "--service-account-key-file", key,
            "--service-account-signing-key-file", key, "--service-account-issuer", "https://kubernetes.default.svc",
            "--service-cluster-ip-range", "10.96.0.0/16",
        )  # fmt: skip
        for _ in range(300):
            if self.kubectl("get", "--raw", "/readyz")[0] == 0:
                break
        else:
            pytest.fail("the API server does not become ready; its logs are in " + str(directory))
        self.start(
            "kube-controller-manager", "--kubeconfig", directory / "config", "--leader-elect=false",
            "--cert-dir", directory / "controllers", "--secure-port", free_port(),
            "--service-account-private-key-file", key, "--controllers",
            "deployment-controller,replicaset-controller,serviceaccount-controller,root-ca-certificate-publisher-controller",
        )  # fmt: skip

    def config(self):
        cluster = {"server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "token"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }

    def start(self, *command):
        log = (self.directory / f"{command[0]}.log").open("wb")
        self.processes.append(
            subprocess.Popen([str(each) for each in command], executable=KUBE, stdout=log, stderr=log)
        )
        log.close()

    def kubectl(self, *arguments, given=None):
        ended = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.directory / "config"), *arguments],
            executable=KUBE,
            input=json.dumps(given) if given else None,
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.returncode, ended.stdout + ended.stderr

    def get(self, *arguments):
        status, output = self.kubectl("get", *arguments, "-o", "json")
        assert status == 0, output
        return json.loads(output)

    def apply(self, *documents):
        everything = {"apiVersion": "v1", "kind": "List", "items": documents}
        status, output = self.kubectl("apply", "-f", "-", given=everything)
        assert status == 0, output
        return output

    def namespace(self, name, **labels):
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        assert self.kubectl("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=30s")[0] == 0

    def register(self, webhook, policy="Fail"):
        bundle = base64.b64encode(webhook.bundle.read_bytes()).decode()
        pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        self.apply(
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": "tulle"},
                "webhooks": [
                    {
                        "name": "inject.tulle.dev",
                        "clientConfig": {"url": f"https://127.0.0.1:{webhook.port}/mutate", "caBundle": bundle},
                        "rules": [pods],
                        "namespaceSelector": {"matchLabels": {"tulle.dev/inject": "enabled"}},
                        "failurePolicy": policy,
                        "sideEffects": "None",
                        "reinvocationPolicy": "IfNeeded",
                        "timeoutSeconds": 5,
                        "admissionReviewVersions": ["v1"],
                    }
                ],
            }
        )

    def run_pod(self, name, namespace="shop", wanted=0, **spec):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}}
        pod["spec"] = {"containers": [{"name": "app", "image": "x:1"}], **spec}
        status, output = self.kubectl("create", "-f", "-", given=pod)
        assert (status != 0) == bool(wanted), output
        return output

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    yield made
    made.stop()


def test_the_whole_way(cluster, start_webhook):
    webhook = start_webhook("--webhook-names", "127.0.0.1", "--webhook-settle-seconds", "0")
    cluster.namespace("shop", **{"tulle.dev/inject": "enabled"})
    cluster.namespace("plain")
    cluster.register(webhook)
    injects_soon(cluster)

    # a Deployment's pod, with everything that the API server itself adds
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "x:1"}]}}
    template["spec"]["initContainers"] = [{"name": "migrate", "image": "x:1"}]
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    metadata = {"name": "web", "namespace": "shop"}
    cluster.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
    assert cluster.kubectl("-n", "shop", "wait", "--for=create", "pod", "-lapp=web", "--timeout=30s")[0] == 0
    pod = cluster.get("-n", "shop", "pods", "-lapp=web")["items"][0]["spec"]
    init, proxy, migrate = pod["initContainers"]
    assert [init["name"], proxy["name"], migrate["name"]] == ["tulle-init", "tulle-proxy", "migrate"]
    assert proxy["restartPolicy"] == "Always"
    assert {"name": "TULLE_WORKLOAD", "value": "deployment/web"} in proxy["env"]
    mounts = {each["name"]: [mount["name"] for mount in each["volumeMounts"]] for each in (init, proxy, migrate)}
    assert mounts["tulle-init"] == ["tulle-no-token"]
    assert mounts["tulle-proxy"] == ["tulle-token", "tulle-no-token"]
    assert mounts["migrate"][0].startswith("kube-api-access")  # the app's own token is where it always was

    # refused, skipped with a warning, left alone
    said = cluster.run_pod("evil", wanted=1, securityContext={"runAsUser": 4140})
    assert "runs as uid 4140" in said
    assert "Warning: not injected by Tulle" in cluster.run_pod("agent", hostNetwork=True)
    cluster.run_pod("plain", namespace="plain")
    assert "initContainers" not in cluster.get("-n", "plain", "pod", "plain")["spec"]

    # certificate swapped: the old bundle still verifies, then the new one
    for number in range(2):
        webhook.process.send_signal(signal.SIGHUP)
        webhook.wait_for("CA bundle published")
        if number == 0:
            cluster.run_pod("before-the-new-bundle-is-registered")
        cluster.register(webhook)
        injects_soon(cluster)

    # every injected golden pod is a pod to the API server, field by field
    checked = 0
    for path in GOLDEN:
        documents = list(yaml.safe_load_all(path.read_text()))
        if documents[0]["outcome"] == "injected" and path.name[:2] not in NOT_A_POD:
            create = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
            status, output = cluster.kubectl(*create, given=bare(documents[1]))
            assert status == 0, f"{path.name}: {output}"
            checked += 1
    print(f"\ngolden pods that the API server takes: {checked}")
    assert checked >= 20

    # webhook down, under both policies
    webhook.process.send_signal(signal.SIGTERM)
    assert webhook.process.wait(timeout=30) == 0
    assert "failed calling webhook" in cluster.run_pod("down", wanted=1)
    cluster.register(webhook, "Ignore")
    assert any(cluster.kubectl("-n", "shop", "run", f"ignored-{n}", "--image=x:1")[0] == 0 for n in range(100))


NOT_A_POD = ("08",)  # an annotation's key with "~", to test escaping: Kubernetes takes none


def bare(pod):
    """A golden pod without what would have to exist in the cluster."""
    metadata = {name: value for name, value in pod["metadata"].items() if name not in ("ownerReferences", "finalizers")}
    gone = ("serviceAccountName", "priorityClassName")
    spec = {name: value for name, value in pod["spec"].items() if name not in gone}
    return {**pod, "metadata": {"name": "x", **metadata, "namespace": "plain"}, "spec": spec}


def injects_soon(cluster):
    """The API server takes a moment to see a changed configuration."""
    for _ in range(100):
        status, output = cluster.kubectl("-n", "shop", "run", "probe", "--image=x:1", "--dry-run=server", "-o", "json")
        if status == 0 and "tulle-proxy" in output:
            return
    pytest.fail(f"the API server does not call the webhook: {output}")
