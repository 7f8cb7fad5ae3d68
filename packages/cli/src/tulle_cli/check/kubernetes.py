"""Can Tulle be installed in this cluster? Asked with kubectl: the user's own rights, nothing changed."""

from __future__ import annotations

from collections.abc import Callable

from tulle_plugin_api import Check, CheckResult

from tulle_cli.check.model import Section, check, failed, passed, warned
from tulle_cli.cluster.kubectl import Kubectl, KubectlFailed

CATEGORY = "kubernetes"
OLDEST = (1, 30)
"""ValidatingAdmissionPolicy and the webhooks' matchConditions are stable since then; native sidecars on since 1.29."""
_NEEDED = (
    "customresourcedefinitions.apiextensions.k8s.io", "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io", "namespaces",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
)  # fmt: skip


def section(make: Callable[[], Kubectl]) -> Section:
    """The checks of this module; `make` may raise CliError, and that is the first check's answer."""

    def each(description: str, run: Callable[[Kubectl], CheckResult]) -> Check:
        return check(CATEGORY, description, lambda: run(make()))

    return Section(
        CATEGORY,
        [
            each("the API server answers, and is new enough", _version),
            each("you may create what Tulle consists of", _rights),
            each("Gateway API's routes are there", _gateway),
        ],
        stops=True,
    )


def _version(kubectl: Kubectl) -> CheckResult:
    try:
        text = kubectl.run("get", "--raw", "/version")
    except KubectlFailed as error:
        return failed(error.why, "kubectl config get-contexts; --context chooses one")
    return judge_version(text)


def judge_version(text: str) -> CheckResult:
    """What /version says, judged."""
    import json
    import re

    said = json.loads(text)
    numbers = tuple(int(re.match(r"\d+", str(said[part]))[0]) for part in ("major", "minor"))  # type: ignore[index]
    if numbers < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        return failed(f"this is {said['gitVersion']}", f"Tulle needs {wanted} or newer (ValidatingAdmissionPolicy)")
    return passed(str(said["gitVersion"]))


def _rights(kubectl: Kubectl) -> CheckResult:
    lacking = []
    for what in _NEEDED:
        try:
            kubectl.run("auth", "can-i", "create", what)
        except KubectlFailed:
            lacking.append(what.partition(".")[0])
    if lacking:
        return failed(f"not allowed: create {', '.join(lacking)}", "ask for cluster-admin, or hand over --dry-run")
    return passed()


def _gateway(kubectl: Kubectl) -> CheckResult:
    try:
        kubectl.run("get", "crd", "httproutes.gateway.networking.k8s.io")
    except KubectlFailed:
        hint = "apply Gateway API's standard-install.yaml, before or after Tulle; without it there are no routes"
        return warned("no HTTPRoute in this cluster", hint)
    return passed()
