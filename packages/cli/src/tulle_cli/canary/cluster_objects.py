"""A cluster's objects, through kubectl: the user's own credentials and rights.

Owns the paths that are asked for, and what kubectl's words of failure mean. Everything is asked with `--raw`, so that
what is written is what was read: `kubectl replace -f` would rewrite the annotation of `kubectl apply` that a route may
carry, and the next `kubectl apply` would then take away what others have added to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from tulle_cli.canary.objects import Away, Conflict, NotAllowed, Refused
from tulle_cli.cluster.kubectl import Kubectl, KubectlFailed
from tulle_cli.cluster.port_forward import context_of
from tulle_cli.errors import CliError

GATEWAY = "gateway.networking.k8s.io"
MANAGER = "tulle-canary"
"""Whose change it is (metadata.managedFields)."""
TIMEOUT = "--request-timeout=10s"

_RESOURCES = {
    "Service": ("v1", "services"),
    "HTTPRoute": (f"{GATEWAY}/v1", "httproutes"),
    "GRPCRoute": (f"{GATEWAY}/v1", "grpcroutes"),
}
_REASON = re.compile(r"Error from server \((\w+)\)")
_RBAC = re.compile(r"cannot \w+ resource")
"""What else is Forbidden was forbidden by an admission webhook or policy, whatever the user's rights."""
_AWAY = re.compile(
    r"Unable to connect to the server|The connection to the server|http2: |reset by peer|EOF$|Error from server: |"
    r"Error from server \((Timeout|ServerTimeout|ServiceUnavailable|InternalError|TooManyRequests)\)",
    re.MULTILINE,
)


class ClusterObjects:
    """Those of the cluster that a target ("kubernetes", "kubernetes:CONTEXT") names. See objects.Objects."""

    def __init__(self, target: str, kubectl: Kubectl | None = None) -> None:
        """Raises CliError where there is no kubectl."""
        context = context_of(target)
        self._kubectl = kubectl or Kubectl(context)
        self._context = f" --context {context}" if context else ""
        self.get_command = f"kubectl{self._context} get"
        self.options = f" --control-plane {target}"

    def list(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        """See Objects."""
        answer = self._ask("list", kind, namespace)
        version, _ = _RESOURCES[kind]
        return [{"apiVersion": version, "kind": kind, **each} for each in (answer or {}).get("items") or []]

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """See Objects."""
        found: dict[str, Any] | None = self._ask("get", kind, namespace, name)
        return found

    def apply(self, obj: Mapping[str, Any]) -> None:
        """See Objects. The status is not ours to write."""
        kind, metadata = obj["kind"], obj["metadata"]
        given = {name: value for name, value in obj.items() if name != "status"}
        if "resourceVersion" in metadata:
            if self._ask("update", kind, metadata["namespace"], metadata["name"], given) is None:
                raise Conflict(f"{kind} {metadata['namespace']}/{metadata['name']} was deleted while it was changed")
        else:
            self._may_be_undone(kind, metadata["namespace"], metadata["name"])
            if self._ask("create", kind, metadata["namespace"], "", given) is None:
                raise Refused(
                    f"{kind} {metadata['namespace']}/{metadata['name']} cannot be made",
                    f"there is no namespace {metadata['namespace']}, or the cluster has no {kind} (Gateway API's CRDs)",
                    "docs/install.md says how to get them; tulle check --pre --kubernetes whether they are there",
                )

    def delete(self, obj: Mapping[str, Any]) -> None:
        """See Objects."""
        metadata = obj["metadata"]
        preconditions = {name: metadata[name] for name in ("uid", "resourceVersion") if name in metadata}
        given = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        self._ask("delete", obj["kind"], metadata["namespace"], metadata["name"], given)

    def _may_be_undone(self, kind: str, namespace: str, name: str) -> None:
        """Raise NotAllowed where the user may make an object, but not divide its weights, or take it away again."""
        for verb in ("update", "delete"):
            try:
                self._kubectl.run(TIMEOUT, "-n", namespace, "auth", "can-i", verb, f"{_resource(kind)}/{name}")
            except KubectlFailed as error:
                if error.why.startswith("no"):
                    why = f"a canary must be able to change, and to take away, the {kind} that it makes"
                    raise self._not_allowed(verb, kind, namespace, why) from None
                raise self._failed(error, verb, kind, namespace) from error

    def _ask(self, verb: str, kind: str, namespace: str, name: str = "", given: Any = None) -> Any:
        """The answer to a verb of Kubernetes' API; None where there is no such thing. Raises CliError."""
        version, plural = _RESOURCES[kind]
        words = ["apis" if "/" in version else "api", version, "namespaces", quote(namespace, safe=""), plural]
        path = "/" + "/".join(words + ([quote(name, safe="")] if name else []))
        if verb in ("update", "create"):
            path += f"?fieldManager={MANAGER}"
        command = {"list": "get", "update": "replace"}.get(verb, verb)
        body, text = ((), None) if given is None else (("-f", "-"), json.dumps(given))
        try:
            return json.loads(self._kubectl.run(TIMEOUT, command, "--raw", path, *body, given=text))
        except KubectlFailed as error:
            reason = _REASON.search(error.why)
            if reason is not None and reason[1] == "NotFound":
                return None
            raise self._failed(error, verb, kind, namespace) from error

    def _failed(self, error: KubectlFailed, verb: str, kind: str, namespace: str) -> CliError:
        """What kubectl's words mean."""
        found = _REASON.search(error.why)
        reason = found[1] if found else ""
        if reason in ("Conflict", "AlreadyExists"):
            look = f"{self.get_command} {_resource(kind)} -n {namespace} -o yaml --show-managed-fields says who"
            return Conflict(f"somebody else changes the {kind} in namespace {namespace} all the time", error.why, look)
        if reason == "Forbidden" and _RBAC.search(error.why):
            return self._not_allowed(verb, kind, namespace, error.why)
        if _AWAY.search(error.why):
            again = f"kubectl{self._context} get --raw /readyz says whether it is ready"
            return Away("the cluster's API server cannot be asked now", error.why, again)
        return Refused(f"the cluster did not {verb} {_resource(kind)} in namespace {namespace}", error.why)

    def _not_allowed(self, verb: str, kind: str, namespace: str, why: str) -> NotAllowed:
        return NotAllowed(
            f"you have no right to {verb} {_resource(kind)} in namespace {namespace}",
            why,
            f"kubectl{self._context} auth can-i {verb} {_resource(kind)} -n {namespace}; "
            "docs/canary.md has a Role with all that a canary needs",
        )


def _resource(kind: str) -> str:
    """ "httproutes.gateway.networking.k8s.io", as kubectl and Roles name it."""
    version, plural = _RESOURCES[kind]
    group, slash, _ = version.partition("/")
    return f"{plural}.{group}" if slash else plural
