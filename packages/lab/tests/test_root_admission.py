"""Admission in a real lab: a real webhook in a pod, a real AdmissionReview, over TLS that is checked."""

import datetime
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from lab_runner import Lab, config_map, container, deployment, manifest, namespace, pod

pytestmark = pytest.mark.root

PROGRAM = str(Path(__file__).parent / "programs" / "webhook.py")
NAME = "tulle-admission-controller"


def certificate(name):
    """A self-signed certificate for `name` and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return (
        made.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(serialization.Encoding.PEM, *form).decode(),
    )


def webhook_objects(name=f"{NAME}.tulle-system.svc"):
    cert, key = certificate(name)
    app = {
        "name": "webhook",
        "image": "python",
        "args": ["-u", PROGRAM],
        "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
        "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": "tulle-system"},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": 443, "targetPort": 8443}]},
    }
    volume = {"name": "tls", "configMap": {"name": "tls"}}
    files = config_map("tls", "tulle-system", **{"cert.pem": cert, "key.pem": key})
    return cert, [files, service, deployment(NAME, "tulle-system", app, volumes=[volume])]


@pytest.fixture(scope="module")
def meshed(tmp_path_factory):
    """A lab with the test's webhook in it, and a namespace `shop` whose pods it is asked about."""
    lab = Lab(tmp_path_factory.mktemp("lab-test") / "state")
    lab.run("up", "--no-system")
    cert, objects = webhook_objects()
    (lab.state / "run" / "admission" / "ca.pem").write_text(cert)
    lab.apply(*objects)
    lab.apply(namespace("shop", **{"tulle.dev/inject": "enabled"}), namespace("plain"))
    yield lab
    lab.run("down")


def reviews(lab):
    lines = lab.run("logs", f"deploy/{NAME}", "-n", "tulle-system").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_a_deployments_pods_are_injected(meshed):
    meshed.apply(deployment("web", "shop", replicas=2))
    for found in meshed.pods("shop", app="web"):
        assert [c["name"] for c in found["spec"]["initContainers"]] == ["tulle-proxy"]
        assert found["metadata"]["annotations"]["tulle.dev/injected"] == "test"
    assert meshed.run("get", "pods", "-n", "shop", "-l", "app=web", "--no-headers").count("2/2") == 2
    asked = [
        review
        for review in reviews(meshed)
        if review["request"]["object"]["metadata"].get("labels", {}).get("app") == "web"
    ]
    assert len(asked) == 2
    request = asked[0]["request"]
    assert (asked[0]["path"], asked[0]["host"]) == ("/mutate", f"{NAME}.tulle-system.svc")
    assert (asked[0]["apiVersion"], asked[0]["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert (request["operation"], request["namespace"], request["name"]) == ("CREATE", "shop", "")
    assert request["object"]["metadata"]["generateName"].startswith("web-")
    assert request["object"]["metadata"]["ownerReferences"][0]["kind"] == "Deployment"


def test_other_namespaces_are_left_alone(meshed):
    before = len(reviews(meshed))
    meshed.apply(pod("p", "plain", container()))
    assert "initContainers" not in meshed.get("pod", "p", "plain")["spec"]
    assert len(reviews(meshed)) == before


def test_a_pod_may_ask_for_itself(meshed):
    meshed.apply(pod("q", "plain", container(), annotations={"tulle.dev/inject": "enabled"}))
    assert meshed.get("pod", "q", "plain")["spec"]["initContainers"]


def test_a_refused_pod_is_refused_with_the_reason(meshed):
    done = meshed.run_raw("apply", "-f", "-", stdin=manifest(pod("bad", "shop", labels={"refuse": "yes"})))
    assert (done.returncode, done.stdout) == (1, "pod/bad refused\n")
    assert "the admission controller refuses the pod: the label says so" in done.stderr


def policy(kind):
    return {
        "apiVersion": "tulle.dev/v1alpha1",
        "kind": "MeshPolicy",
        "metadata": {"name": "slow", "namespace": "shop"},
        "spec": {"targetRef": {"kind": "Service", "name": "web"}, "type": kind, "config": {}},
    }


def test_policies_are_validated_on_apply(meshed):
    message = meshed.fails("apply", "-f", "-", stdin=manifest(config_map("c", "shop"), policy("nonsense")))
    assert "MeshPolicy slow: spec.type: no policy plugin 'nonsense'" in message
    assert meshed.items("configmaps", "shop") == [], "all of a file or nothing"
    assert meshed.apply(policy("timeout")) == "meshpolicy.tulle.dev/slow created\n"
    assert meshed.run("get", "meshpolicies", "-n", "shop", "--no-headers").split()[:3] == [
        "slow",
        "timeout",
        "Service/web",
    ]


def test_a_certificate_that_is_not_trusted_is_not_talked_to(meshed):
    """The real defence: with another authority in the file, nothing is sent, and the policy for failure decides."""
    path = meshed.state / "run" / "admission" / "ca.pem"
    right, before = path.read_text(), len(reviews(meshed))
    try:
        for wrong in (certificate(f"{NAME}.tulle-system.svc")[0], "not a certificate"):
            path.write_text(wrong)
            done = meshed.run_raw("apply", "-f", "-", stdin=manifest(pod("lonely", "shop")))
            assert (done.returncode, done.stdout) == (0, "pod/lonely created\n")
            assert (
                "warning: Pod lonely: started without a proxy: the admission controller cannot be asked" in done.stderr
            )
            meshed.run("delete", "pod", "lonely", "-n", "shop", "--force")
    finally:
        path.write_text(right)
    assert len(reviews(meshed)) == before


def test_a_webhook_that_is_gone(meshed):
    meshed.run("scale", f"deploy/{NAME}", "--replicas=0", "-n", "tulle-system")
    meshed.run("rollout", "status", f"deploy/{NAME}", "-n", "tulle-system")
    meshed.apply(namespace("strict", **{"tulle.dev/inject": "enabled", "tulle.dev/admission": "fail"}))
    done = meshed.run_raw("apply", "-f", "-", stdin=manifest(pod("p", "strict")))
    assert (done.returncode, done.stdout) == (1, "pod/p refused\n")
    assert "no pod of it is ready" in done.stderr
    meshed.apply(deployment("waits", "strict"), wait=False)
    assert meshed.apply(pod("open", "shop")) == "pod/open created\npod open is ready\n"
    assert "FailedCallingWebhook" in meshed.run("get", "events", "-n", "shop")
    meshed.run("scale", f"deploy/{NAME}", "--replicas=1", "-n", "tulle-system")
    meshed.wait("condition=Available", "deploy/waits", "strict")
    [found] = meshed.pods("strict")
    assert found["spec"]["initContainers"], "made when the webhook was back, and not before"
