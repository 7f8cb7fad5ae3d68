"""Malformed admission reviews, made from tables of mutations, and what sends them to a webhook. Standard library only.

    python packages/admission-controller/tests/malformed.py https://HOST:8443 --ca ca.pem [--server-name NAME]

sends all of them and prints one line; exit status 0 if each got a well-formed refusal and the webhook still answers
a good review. Deterministic: no seed, the same bytes in the same order every time.
"""

from __future__ import annotations

import argparse
import copy
import http.client
import json
import ssl
import sys
import urllib.parse
from collections import Counter
from dataclasses import dataclass

MIB = 1024 * 1024
UID = "705ab4f5-6393-11e8-b7cc-42010a800002"


@dataclass(frozen=True)
class Case:
    name: str
    path: str
    body: bytes
    content_type: str = "application/json"


def pod_review(**changes):
    """A good review of a pod that is created by a Deployment."""
    request = {
        "uid": UID,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": []},
        "object": {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "web-5f8-", "labels": {"pod-template-hash": "5f8"}},
            "spec": {"containers": [{"name": "web", "image": "shop/web:1"}]},
        },
        "oldObject": None,
        "dryRun": False,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
    }
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {**request, **changes}}


def policy_review():
    """A good envelope around a MeshPolicy; whether the policy is good depends on the plugins at hand."""
    return pod_review(
        kind={"group": "tulle.dev", "version": "v1alpha1", "kind": "MeshPolicy"},
        object={
            "apiVersion": "tulle.dev/v1alpha1",
            "kind": "MeshPolicy",
            "metadata": {"name": "limit"},
            "spec": {"targetRef": {"kind": "Service", "name": "web"}, "type": "no-such-policy", "config": {}},
        },
    )


REMOVED = object()
WRONG = {
    "removed": REMOVED, "null": None, "zero": 0, "fraction": 1.5, "true": True, "empty": "", "list": [],
    "object": {}, "text": "x", "long": "x" * 5000,
}  # fmt: skip

FIELDS = (
    # path, what is (or may be) right there and so is left out
    ("apiVersion", ()),
    ("kind", ()),
    ("request", ()),
    ("request.uid", ("text",)),
    ("request.kind", ()),
    ("request.kind.kind", ()),
    ("request.kind.group", ("removed", "null", "empty")),
    ("request.operation", ()),
    ("request.object", ("object",)),
    ("request.object.kind", ("removed",)),
    ("request.object.metadata", ("removed", "null", "object")),
    ("request.object.metadata.labels", ("removed", "null", "object")),
    ("request.object.metadata.ownerReferences", ("removed", "null", "list")),
    ("request.object.spec", ()),
    ("request.object.spec.containers", ()),
    ("request.object.spec.initContainers", ("removed", "null", "list")),
    ("request.object.spec.volumes", ("removed", "null", "list")),
    ("request.object.spec.hostNetwork", ("removed", "null", "true")),
    ("request.namespace", ("text", "long")),
    ("request.name", ("removed", "null", "empty", "text", "long")),
    ("request.dryRun", ("removed", "null", "true")),
    ("request.oldObject", ("removed", "null", "object")),
    ("request.subResource", ("removed", "null", "empty")),
)


def changed(document, path, value):
    document = copy.deepcopy(document)
    *parents, last = path.split(".")
    node = document
    for name in parents:
        node = node[name]
    if value is REMOVED:
        node.pop(last, None)
    else:
        node[last] = value
    return document


def encoded(document):
    return json.dumps(document).encode()


def field_cases():
    for path, right in FIELDS:
        for name, value in WRONG.items():
            if name not in right:
                yield Case(f"{path} {name}", "/mutate", encoded(changed(pod_review(), path, value)))


def text_cases():
    good = encoded(pod_review())
    for part in range(0, 20):
        yield Case(f"cut after {part}/20", "/mutate", good[: len(good) * part // 20])
    rows = {
        "blank": b" \r\n\t ", "null": b"null", "number": b"42", "text": b'"review"', "list": b"[" + good + b"]",
        "twice": good + good, "garbage after": good + b"}", "byte order mark": b"\xef\xbb\xbf" + good,
        "utf-16": good.decode().encode("utf-16"), "bad utf-8": good.replace(b"shop", b"sh\xffp", 1),
        "lone surrogate": good.replace(b'"shop"', b'"\\ud800"', 1), "NUL": good.replace(b"shop", b"sh\x00p", 1),
        "NaN": good.replace(b"false", b"NaN", 1), "infinity": good.replace(b"false", b"1e9999", 1),
        "endless number": good.replace(b"false", b"9" * 6000, 1), "comma": good[:-1] + b",}",
        "single quotes": good.replace(b'"', b"'"), "comment": b"// a review\n" + good,
        "yaml": b"kind: AdmissionReview\n",
        "form": b"kind=AdmissionReview&uid=1", "xml": b"<AdmissionReview/>", "protobuf": b"k8s\x00\x0a\x10",
        "gzip": b"\x1f\x8b\x08\x00", "binary": bytes(range(256)) * 16,
    }  # fmt: skip
    for name, body in rows.items():
        yield Case(name, "/mutate", body)


def nested_cases():
    good = encoded(pod_review())
    for depth in (1_000, 10_000, 100_000, 1_000_000):
        yield Case(f"{depth} lists deep", "/mutate", b"[" * depth)
        yield Case(f"{depth} lists deep, closed", "/mutate", b"[" * depth + b"]" * depth)
        body = good.replace(b"false", b'{"a":' * (depth // 4) + b"1" + b"}" * (depth // 4), 1)
        yield Case(f"{depth // 4} objects deep in dryRun", "/mutate", body)
    for path in ("request.object.spec", "request.object.metadata"):
        document = encoded(changed(pod_review(), path, "HERE")).replace(b'"HERE"', b"[" * 900 + b"]" * 900)
        yield Case(f"900 lists deep in {path}", "/mutate", document)


def size_cases():
    padded = pod_review()
    padded["request"]["object"]["metadata"]["annotations"] = {"big": "x" * 3 * MIB}
    yield Case("3 MiB and a bit", "/mutate", encoded(padded))
    yield Case("4 MiB of blanks", "/mutate", b" " * 4 * MIB)
    yield Case("12 MiB of blanks", "/mutate", b" " * 12 * MIB)
    yield Case("3 MiB of brackets", "/mutate", b"[" * 3 * MIB)
    yield Case("3 MiB and one byte of digits", "/validate", b"1" * (3 * MIB + 1))


def meaning_cases():
    for operation in ("UPDATE", "DELETE", "CONNECT", "create", "PATCH"):
        obj = None if operation == "DELETE" else pod_review()["request"]["object"]
        yield Case(f"operation {operation}", "/mutate", encoded(pod_review(operation=operation, object=obj)))
    for group, kind in (("apps", "Deployment"), ("", "Service"), ("", "Namespace"), ("", "pod"), ("evil", "Pod")):
        yield Case(f"kind {group}/{kind}", "/mutate", encoded(pod_review(kind={"group": group, "kind": kind})))
    for version in ("admission.k8s.io/v1beta1", "admission.k8s.io/v2", "v1", "ADMISSION.K8S.IO/V1"):
        yield Case(f"version {version}", "/mutate", encoded({**pod_review(), "apiVersion": version}))
    yield Case("subresource", "/mutate", encoded(pod_review(subResource="status")))
    yield Case("a Service inside", "/mutate", encoded(changed(pod_review(), "request.object.kind", "Service")))
    yield Case("uid of 257", "/mutate", encoded(pod_review(uid="u" * 257)))
    yield Case("nobody says where", "/mutate", encoded(pod_review(namespace="")))
    yield Case("no containers", "/mutate", encoded(changed(pod_review(), "request.object.spec.containers", [])))
    for name, containers in {
        "null": [None], "text": ["web"], "no name": [{}], "numbers": [{"name": 1}],
        "ports": [{"name": "a", "ports": [1]}],
        "uid text": [{"name": "a", "securityContext": {"runAsUser": "4140"}}],
        "uid true": [{"name": "a", "securityContext": {"runAsUser": True}}],
        "uid of the proxy": [{"name": "a", "securityContext": {"runAsUser": 4140}}],
        "name of the proxy": [{"name": "tulle-proxy"}],
    }.items():  # fmt: skip
        body = encoded(changed(pod_review(), "request.object.spec.containers", containers))
        yield Case(f"containers {name}", "/mutate", body)
    for name, values in {
        "number": {"tulle.dev/opaque-ports": 3306}, "ports": {"tulle.dev/opaque-ports": "0"},
        "switch": {"tulle.dev/inject": "maybe"}, "cpu": {"tulle.dev/proxy-cpu-limit": "-1"},
        "level": {"tulle.dev/proxy-log-level": "loud\r\nX: y"}, "image": {"tulle.dev/proxy-image": "a b"},
    }.items():  # fmt: skip
        document = changed(pod_review(), "request.object.metadata.annotations", values)
        yield Case(f"annotation {name}", "/mutate", encoded(document))
        yield Case(f"annotation {name}", "/validate", encoded(document))


def policy_cases():
    yield Case("no such policy", "/validate", encoded(policy_review()))
    for path in ("spec", "spec.targetRef", "spec.targetRef.kind", "spec.targetRef.name", "spec.type", "spec.config"):
        for name in ("removed", "null", "zero", "list", "long"):
            document = changed(policy_review(), f"request.object.{path}", WRONG[name])
            yield Case(f"policy {path} {name}", "/validate", encoded(document))
    config = changed(policy_review(), "request.object.spec.type", "balancer")
    for name, value in WRONG.items():
        document = changed(config, "request.object.spec.config", {"name": None if value is REMOVED else value})
        yield Case(f"balancer named {name}", "/validate", encoded(document))
    yield Case("DELETE", "/validate", encoded(changed(policy_review(), "request.operation", "DELETE")))
    deep = encoded(changed(policy_review(), "request.object.spec.config", "HERE"))
    yield Case("policy config 900 deep", "/validate", deep.replace(b'"HERE"', b"[" * 900 + b"]" * 900))
    yield Case("a Secret", "/validate", encoded(pod_review(kind={"group": "", "kind": "Secret"})))


def type_cases():
    for content_type in ("", "text/plain", "application/yaml", "application/vnd.kubernetes.protobuf", "a" * 2000):
        yield Case(f"content-type {content_type[:40]!r}", "/mutate", encoded(pod_review()), content_type)


def cases():
    """All of them: more than 200, each refused for a reason of its own."""
    tables = (field_cases, text_cases, nested_cases, size_cases, meaning_cases, policy_cases, type_cases)
    return [case for table in tables for case in table()]


def expected_uid(case):
    """What a well-formed answer repeats: the uid, where the body has one that can be read."""
    if case.content_type != "application/json" or len(case.body) > 3 * MIB:
        return ""
    try:
        uid = json.loads(case.body, parse_constant=float.fromhex)["request"]["uid"]
        case.body.decode("utf-8", "strict")
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return uid if isinstance(uid, str) and 0 < len(uid) <= 256 else ""


def fault(case, status, content_type, body):
    """Why an answer is not a well-formed refusal, or an empty string."""
    if status not in (200, 400, 413, 415):
        return f"HTTP status {status}"
    if content_type != "application/json":
        return f"content-type {content_type!r}"
    review = json.loads(body)
    if (review.get("apiVersion"), review.get("kind")) != ("admission.k8s.io/v1", "AdmissionReview"):
        return "not an AdmissionReview"
    response = review["response"]
    if response.get("allowed") is not False:
        return "not refused"
    if "patch" in response or "patchType" in response:
        return "a patch in a refusal"
    said = response.get("status", {})
    if not (said.get("status") == "Failure" and 400 <= said.get("code", 0) < 500 and said.get("message")):
        return f"status says {said}"
    if response.get("uid") not in ("", expected_uid(case)) or (status == 200) != bool(response["uid"]):
        return f"uid is {response.get('uid')!r}, HTTP status {status}"
    return ""


class Client:
    """One keep-alive connection, opened again when the webhook closed it. No retries."""

    def __init__(self, host, port, context, server_name=None):
        self.address, self.context, self.server_name = (host, port), context, server_name
        self.connection = None

    def post(self, path, body, content_type):
        if self.connection is None:
            self.connection = _Connection(*self.address, self.context, self.server_name)
            try:
                self.connection.connect()
            except OSError:
                self.close()
                raise
        headers = {"content-type": content_type} if content_type else {}
        self.connection.putrequest("POST", path, skip_accept_encoding=True)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.connection.putheader(name, value)
        try:
            self.connection.endheaders(body)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            pass  # refused before the whole body was sent: the answer is there to be read
        response = self.connection.getresponse()
        answer = response.status, response.getheader("content-type", ""), response.read()
        if response.will_close:
            self.close()
        return answer

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class _Connection(http.client.HTTPSConnection):
    def __init__(self, host, port, context, server_name):
        super().__init__(host, port, timeout=30, context=context)
        self._server_name = server_name or host

    def connect(self):
        http.client.HTTPConnection.connect(self)
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._server_name)


def good_answer(client):
    """Whether a good pod is still injected."""
    status, _, body = client.post("/mutate", encoded(pod_review()), "application/json")
    return status == 200 and json.loads(body)["response"].get("patchType") == "JSONPatch"


def send_all(client, chosen=None):
    """Sends every case. Returns (faults by case name, answers by HTTP status, good reviews that failed)."""
    faults, statuses, neighbours = {}, Counter(), 0
    for number, case in enumerate(chosen or cases()):
        status, content_type, body = client.post(case.path, case.body, case.content_type)
        statuses[status] += 1
        reason = fault(case, status, content_type, body)
        if reason:
            faults[f"{case.path} {case.name}"] = reason
        if number % 10 == 0:
            neighbours += not good_answer(client)
    return faults, statuses, neighbours


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--ca", required=True)
    parser.add_argument("--server-name", default="tulle-admission-controller.tulle-system.svc")
    options = parser.parse_args()
    url = urllib.parse.urlsplit(options.url)
    client = Client(url.hostname, url.port or 443, ssl.create_default_context(cafile=options.ca), options.server_name)
    faults, statuses, neighbours = send_all(client)
    alive = good_answer(client)
    print(summary(faults, statuses, neighbours, alive))
    for name, reason in faults.items():
        print(f"  {name}: {reason}")
    sys.exit(bool(faults) or bool(neighbours) or not alive)


def summary(faults, statuses, neighbours, alive):
    total = sum(statuses.values())
    by_status = ", ".join(f"{count} with HTTP {status}" for status, count in sorted(statuses.items()))
    return (
        f"malformed admission reviews: {total - len(faults)} of {total} got a well-formed refusal ({by_status}); "
        f"good reviews between them that failed: {neighbours}; process {'alive' if alive else 'DEAD'}"
    )


if __name__ == "__main__":
    main()
