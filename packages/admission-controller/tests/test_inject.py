"""Decisions of the injection that golden files do not show: precedence, what is ours, the pieces and their order."""

import copy

import pytest
from tulle_admission_controller import names
from tulle_admission_controller.containers import init_container, proxy_container
from tulle_admission_controller.inject import inject
from tulle_admission_controller.jsonpatch import apply_adds
from tulle_admission_controller.settings import InjectSettings

SETTINGS = InjectSettings()


def pod(annotations=None, labels=None, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "annotations": annotations or {}, "labels": labels or {}},
        "spec": {"containers": [{"name": "web", "image": "shop/web:1"}], **spec},
    }


def run(document, settings=SETTINGS, namespace="shop", **more):
    return inject(document, namespace=namespace, settings=settings, **more)


def patched(document, **more):
    result = run(document, **more)
    assert result.outcome == "injected", result.reason
    return apply_adds(document, result.patch)


# annotation, label, namespace's annotation -> outcome
PRECEDENCE = [
    (None, None, None, "injected"),
    ("enabled", None, None, "injected"),
    ("disabled", None, None, "skipped"),
    (None, "disabled", None, "skipped"),
    (None, "enabled", None, "injected"),
    ("enabled", "disabled", "enabled", "skipped"),
    ("disabled", "enabled", "enabled", "skipped"),
    (None, None, "disabled", "skipped"),
    (None, None, "enabled", "injected"),
    ("enabled", None, "disabled", "injected"),
    (None, "enabled", "disabled", "injected"),
    ("yes", None, None, "refused"),
    (None, "yes", None, "refused"),
    ("disabled", "yes", None, "skipped"),
    (None, None, "yes", "refused"),
    ("", None, None, "refused"),
]


@pytest.mark.parametrize(("annotation", "label", "of_namespace", "outcome"), PRECEDENCE)
def test_who_decides(annotation, label, of_namespace, outcome):
    def switch(value):
        return {} if value is None else {names.INJECT: value}

    result = run(pod(switch(annotation), switch(label)), namespace_annotations=switch(of_namespace))
    assert result.outcome == outcome
    assert bool(result.patch) == (outcome == "injected")
    assert bool(result.reason) == (outcome != "injected")


@pytest.mark.parametrize("namespace", [names.OWN_NAMESPACE, *names.KUBERNETES_NAMESPACES, "private"])
def test_excluded_namespaces_are_left_alone_whatever_the_pod_says(namespace):
    settings = InjectSettings(excluded_namespaces=(*names.KUBERNETES_NAMESPACES, "private"))
    broken = pod({names.INJECT: "enabled", names.OPAQUE_PORTS: "x"}, securityContext={"runAsUser": names.PROXY_ID})
    assert run(broken, settings, namespace).outcome == "skipped"


def test_order_of_init_containers():
    document = patched(pod(initContainers=[{"name": "migrate"}]))
    assert [each["name"] for each in document["spec"]["initContainers"]] == ["tulle-init", "tulle-proxy", "migrate"]
    assert document["spec"]["initContainers"][1]["restartPolicy"] == "Always"
    assert "restartPolicy" not in document["spec"]["initContainers"][0]


def test_order_in_classic_mode():
    document = patched(pod(initContainers=[{"name": "migrate"}]), settings=InjectSettings(mode="classic"))
    assert [each["name"] for each in document["spec"]["initContainers"]] == ["migrate", "tulle-init"]
    assert [each["name"] for each in document["spec"]["containers"]] == ["tulle-proxy", "web"]
    assert "restartPolicy" not in document["spec"]["containers"][0]


@pytest.mark.parametrize("missing", ["tulle-init", "tulle-proxy"])
def test_a_missing_piece_is_put_back_where_it_belongs(missing):
    whole = patched(pod(initContainers=[{"name": "migrate"}]))
    broken = copy.deepcopy(whole)
    inits = broken["spec"]["initContainers"]
    broken["spec"]["initContainers"] = [each for each in inits if each["name"] != missing]
    assert patched(broken) == whole


def test_a_piece_that_is_there_stays_as_it_is():
    document = patched(pod())
    document["spec"]["initContainers"][1]["image"] = "tulle/proxy:older"
    result = run(document)
    assert (result.outcome, result.patch) == ("skipped", [])


def test_changing_the_mode_leaves_injected_pods_alone():
    document = patched(pod(), settings=InjectSettings(mode="classic"))
    assert run(document).outcome == "skipped"


@pytest.mark.parametrize("where", ["initContainers", "containers", "ephemeralContainers"])
def test_uid_of_the_proxy_anywhere_is_refused(where):
    extra = {"name": "evil", "securityContext": {"runAsUser": names.PROXY_ID}}
    result = run(pod(**{where: [{"name": "good"}, extra]}))
    assert result.outcome == "refused"
    assert '"evil" runs as uid 4140' in result.reason
    assert "good" not in result.reason


def test_uid_of_the_proxy_is_refused_in_injected_pods_too():
    document = patched(pod())
    document["spec"]["containers"].append({"name": "evil", "securityContext": {"runAsUser": names.PROXY_ID}})
    assert run(document).outcome == "refused"


def test_a_proxy_under_another_uid_is_not_ours():
    document = patched(pod())
    document["spec"]["initContainers"][1]["securityContext"]["runAsUser"] = 1000
    assert run(document).outcome == "refused"


def test_other_uids_are_nobodys_business():
    assert run(pod(securityContext={"runAsUser": 4141, "runAsGroup": names.PROXY_ID})).outcome == "injected"


def test_our_mark_does_not_help_an_app_container():
    # the mark and a good name: the name is taken for ours only with the proxy's uid
    document = pod({names.INJECTED: "0.1.0"}, initContainers=[{"name": "tulle-proxy", "image": "evil"}])
    assert run(document).outcome == "refused"


@pytest.mark.parametrize("name", names.OTHER_MESHES)
def test_pods_of_other_meshes(name):
    result = run(pod(containers=[{"name": "web"}, {"name": name}]))
    assert result.outcome == "skipped"
    assert result.warnings
    asked = run(pod({names.INJECT: "enabled"}, containers=[{"name": "web"}, {"name": name}]))
    assert asked.outcome == "refused"
    assert names.OTHER_MESHES[name] in asked.reason


def test_workload_can_be_given():
    document = patched(pod(), workload="deployment/web")
    environment = {each["name"]: each.get("value") for each in document["spec"]["initContainers"][1]["env"]}
    assert environment["TULLE_WORKLOAD"] == "deployment/web"


def test_warnings_are_about_the_pods_own_annotations():
    assert len(run(pod({"tulle.dev/typo": "1"})).warnings) == 1
    assert run(pod(), namespace_annotations={"tulle.dev/typo": "1"}).warnings == ()


def test_the_containers_share_no_objects():
    document = patched(pod())
    init, proxy = document["spec"]["initContainers"]
    assert init["resources"] == proxy["resources"]
    assert init["resources"]["requests"] is not proxy["resources"]["requests"]


@pytest.mark.parametrize("mode", ["native", "classic"])
def test_the_apps_api_token_stays_out_of_our_containers(mode):
    """What the API server's ServiceAccount plugin does after us: a mount for each container that has none there."""
    document = patched(pod(), settings=InjectSettings(mode=mode))
    every = [*document["spec"]["initContainers"], *document["spec"]["containers"]]
    without = [
        each["name"]
        for each in every
        if not any(mount["mountPath"] == names.API_TOKEN_DIRECTORY for mount in each.get("volumeMounts", []))
    ]
    assert without == ["web"]


def test_what_the_containers_may_do():
    options = _options()
    init = init_container(options, SETTINGS)["securityContext"]
    proxy = proxy_container(options, SETTINGS, "")["securityContext"]
    assert init["capabilities"] == {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]}
    assert proxy["capabilities"] == {"drop": ["ALL"]}
    assert (proxy["runAsUser"], proxy["runAsGroup"], proxy["runAsNonRoot"]) == (4140, 4140, True)
    for each in (init, proxy):
        assert each["allowPrivilegeEscalation"] is False
        assert each["privileged"] is False
        assert each["seccompProfile"] == {"type": "RuntimeDefault"}


def _options():
    from tulle_admission_controller.annotations import read_options

    return read_options({}, SETTINGS)
