"""deploy/ agrees with the programs: names, ports, rights, variables, the CRD. Without a cluster; tests/e2e has one."""

from pathlib import Path

import pytest
import yaml
from tulle_admission_controller import names
from tulle_admission_controller.config import SETTINGS as WEBHOOK_SETTINGS
from tulle_admission_controller.config import load as load_webhook
from tulle_catalog_kubernetes.resources import RESOURCES
from tulle_control_plane.settings import load as load_control_plane
from tulle_plugin_api import meshpolicy

DEPLOY = Path(__file__).parents[2] / "deploy"


def documents(folder):
    """What a kustomization names, read."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for name in kustomization["resources"]:
        path = (folder / name).resolve()
        if path.is_dir():
            yield from documents(path)
        else:
            yield from yaml.safe_load_all(path.read_text())


BASE = list(documents(DEPLOY / "base"))
OBJECTS = {(each["kind"], each["metadata"]["name"]): each for each in BASE}
DEPLOYMENTS = [each for each in BASE if each["kind"] == "Deployment"]
CRD = OBJECTS["CustomResourceDefinition", "meshpolicies.tulle.dev"]


def variables(deployment):
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each["value"] for each in container["env"]}


@pytest.mark.parametrize("overlay", ["default", "dev", "ha"])
def test_overlays_are_of_the_base_and_name_files_that_exist(overlay):
    kinds = {(each["kind"], each["metadata"]["name"]) for each in documents(DEPLOY / "overlays" / overlay)}
    assert kinds >= OBJECTS.keys()
    kustomization = yaml.safe_load((DEPLOY / "overlays" / overlay / "kustomization.yaml").read_text())
    for patch in kustomization.get("patches", ()):
        assert "path" not in patch or (DEPLOY / "overlays" / overlay / patch["path"]).exists()


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda each: each["metadata"]["name"])
def test_pods_are_restricted_bounded_and_of_a_known_version(deployment):
    spec = deployment["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert container["image"].endswith(f":{names.VERSION}")
    assert {"requests", "limits"} == container["resources"].keys()
    assert "cpu" not in container["resources"]["limits"]  # throttling at a start is worse than a busy minute
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    service = OBJECTS["Service", deployment["metadata"]["name"]]
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    ports = {each["name"] for each in container["ports"]}
    assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports


def test_the_programs_take_their_settings():
    webhook = variables(OBJECTS["Deployment", "tulle-admission-controller"])
    assert webhook.keys() <= {row[0] for row in WEBHOOK_SETTINGS}
    config = load_webhook([], webhook)
    assert config.webhook_configuration == "tulle"
    assert config.watch_namespaces
    for image in (config.inject.init_image, config.inject.proxy_image):
        assert image.endswith(f":{names.VERSION}")
    control_plane = load_control_plane([], variables(OBJECTS["Deployment", "tulle-control-plane"]))
    assert control_plane.catalog == "kubernetes"
    host, _, port = config.inject.control_plane.partition(":")
    assert host == "tulle-control-plane.tulle-system.svc.cluster.local"
    assert int(port) == control_plane.grpc_port
    plane = OBJECTS["Deployment", "tulle-control-plane"]["spec"]["template"]["spec"]["containers"][0]
    assert {each["name"]: each["containerPort"] for each in plane["ports"]} == {
        "grpc": control_plane.grpc_port, "health": control_plane.health_port,
    }  # fmt: skip
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert plane[probe]["httpGet"]["port"] == "health"


def test_of_the_control_plane_pods_can_reach_what_proxies_dial_and_nothing_else():
    service = OBJECTS["Service", "tulle-control-plane"]["spec"]["ports"]
    assert [(each["name"], each["port"], each["targetPort"]) for each in service] == [("grpc", 8086, "grpc")]
    policy = OBJECTS["NetworkPolicy", "tulle-control-plane"]["spec"]
    assert policy["ingress"] == [{"from": [{"namespaceSelector": {}}], "ports": [{"port": "grpc"}]}]


def test_the_control_plane_may_read_what_the_catalog_watches_and_nothing_else():
    read = {each for each in _granted() if not each[1].endswith("/status")}
    assert read == {(each.group, each.plural, verb) for each in RESOURCES for verb in ("list", "watch")}


def test_the_control_plane_may_write_the_statuses_of_routes_and_policies_and_nothing_else():
    written = {each for each in _granted() if each[1].endswith("/status")}
    gateway = "gateway.networking.k8s.io"
    assert written == {
        (gateway, "httproutes/status", "patch"),
        (gateway, "grpcroutes/status", "patch"),
        ("tulle.dev", "meshpolicies/status", "patch"),
    }


def _granted():
    """What the control plane may do everywhere: (group, resource, verb)."""
    return {
        (group, what, verb)
        for rule in OBJECTS["ClusterRole", "tulle-control-plane"]["rules"]
        for group in rule["apiGroups"]
        for what in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_admission_controller_may_write_two_objects_and_nothing_else():
    writing = [
        rule
        for rule in OBJECTS["ClusterRole", "tulle-admission-controller"]["rules"]
        if set(rule["verbs"]) - {"get", "list", "watch"}
    ]
    (rule,) = writing
    assert rule["resourceNames"] == ["tulle"]
    assert rule["verbs"] == ["get", "patch"]
    assert {kind for kind, name in OBJECTS if name == "tulle"} == {
        "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
    }  # fmt: skip


def test_webhooks_leave_kubernetes_alone_and_call_what_the_certificate_is_for():
    certificate = load_webhook([], {}).names
    excluded = {names.OWN_NAMESPACE, *names.KUBERNETES_NAMESPACES}
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        for webhook in OBJECTS[kind, "tulle"]["webhooks"]:
            service = webhook["clientConfig"]["service"]
            assert f"{service['name']}.{service['namespace']}.svc" in certificate
            assert "caBundle" not in webhook["clientConfig"]
            assert webhook["sideEffects"] == "None"
            assert webhook["timeoutSeconds"] == 5
            if webhook["name"] == "policies.tulle.dev":
                continue
            left_alone = [
                set(each["values"])
                for each in webhook["namespaceSelector"]["matchExpressions"]
                if (each["key"], each["operator"]) == ("kubernetes.io/metadata.name", "NotIn")
            ]
            assert left_alone == [excluded]
            fails = webhook["failurePolicy"] == "Fail"
            assert fails == (webhook["name"] == "inject-or-fail.tulle.dev")


def selected(webhook, namespace, pod):
    """Whether a mutating webhook is called, by its selectors."""

    def holds(expression, labels):
        there = labels.get(expression["key"]) in expression["values"]
        return there if expression["operator"] == "In" else not there

    return all(holds(each, namespace) for each in webhook["namespaceSelector"]["matchExpressions"]) and all(
        holds(each, pod) for each in webhook["objectSelector"]["matchExpressions"]
    )


@pytest.mark.parametrize(
    ("namespace", "pod", "called"),
    [
        ({}, {}, None),
        ({"inject": "enabled"}, {}, "inject.tulle.dev"),
        ({"inject": "enabled"}, {"inject": "disabled"}, None),
        ({"inject": "enabled"}, {"inject": "enabled"}, "inject.tulle.dev"),
        ({"inject": "enabled", "failure-policy": "fail"}, {}, "inject-or-fail.tulle.dev"),
        ({}, {"inject": "enabled"}, "inject-pod.tulle.dev"),
        ({"inject": "disabled"}, {"inject": "enabled"}, "inject-pod.tulle.dev"),
        ({"inject": "disabled"}, {}, None),
    ],
)
def test_who_is_injected_and_by_one_webhook_only(namespace, pod, called):
    def labels(short):
        return {f"tulle.dev/{key}": value for key, value in short.items()}

    webhooks = OBJECTS["MutatingWebhookConfiguration", "tulle"]["webhooks"]
    of_a_user = {**labels(namespace), "kubernetes.io/metadata.name": "shop"}
    assert [each["name"] for each in webhooks if selected(each, of_a_user, labels(pod))] == ([called] if called else [])
    for own in (names.OWN_NAMESPACE, "kube-system"):
        of_ours = {**labels(namespace), "kubernetes.io/metadata.name": own}
        assert not [each for each in webhooks if selected(each, of_ours, labels(pod))]


def test_a_pod_without_a_proxy_is_noticed_where_it_should_have_one_and_only_there():
    policy = OBJECTS["ValidatingAdmissionPolicy", "tulle-uninjected"]["spec"]
    ignoring, failing, _ = OBJECTS["MutatingWebhookConfiguration", "tulle"]["webhooks"]
    for labels in ({"tulle.dev/inject": "enabled"}, {}, {"tulle.dev/inject": "disabled"}):
        for pod in ({}, {"tulle.dev/inject": "disabled"}):
            for name in ("shop", "kube-system"):
                of = {**labels, "kubernetes.io/metadata.name": name}
                wanted = any(selected(each, of, pod) for each in (ignoring, failing))
                assert selected(policy["matchConstraints"], of, pod) == wanted
    binding = OBJECTS["ValidatingAdmissionPolicyBinding", "tulle-uninjected"]["spec"]
    assert binding == {"policyName": "tulle-uninjected", "validationActions": ["Warn", "Audit"]}


def test_the_crd_says_what_the_contract_says():
    (version,) = CRD["spec"]["versions"]
    assert f"{CRD['spec']['group']}/{version['name']}" == meshpolicy.API_VERSION
    assert CRD["spec"]["names"]["kind"] == meshpolicy.KIND
    target = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["targetRef"]["properties"]
    assert tuple(target["kind"]["enum"]) == meshpolicy.TARGET_KINDS
    assert target.keys() == meshpolicy._TARGET_FIELDS


def test_no_image_is_latest():
    for path in DEPLOY.rglob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            assert ":latest" not in str(document), path
