"""Whatever pod comes: nothing of it is lost, the patch is valid, and a second time changes nothing."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st
from tulle_admission_controller import names
from tulle_admission_controller.inject import inject
from tulle_admission_controller.jsonpatch import apply_adds
from tulle_admission_controller.settings import InjectSettings

name = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
odd = st.sampled_from(["a~b", "a~1b/c", "tulle.dev~1injected", ""])
key = st.one_of(name, st.tuples(name, name).map("/".join), odd)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8))
json = st.recursive(
    scalars, lambda each: st.lists(each, max_size=3) | st.dictionaries(key, each, max_size=3), max_leaves=6
)
ours = st.fixed_dictionaries(
    {},
    optional={
        names.OPAQUE_PORTS: st.sampled_from(["", "3306", "1-65535"]),
        names.SKIP_INBOUND_PORTS: st.sampled_from(["9000", "9000-9100,22"]),
        names.PROXY_LOG_LEVEL: st.sampled_from(["debug", "error"]),
        names.CPU_LIMIT: st.sampled_from(["1", "5m"]),
        names.INJECT: st.just("enabled"),
    },
)
strings = st.dictionaries(key, st.text(max_size=8), max_size=4)
container = st.fixed_dictionaries(
    {"name": name},
    optional={
        "image": st.text(min_size=1, max_size=8),
        "securityContext": st.none() | st.fixed_dictionaries({}, optional={"runAsUser": st.integers(0, 4139)}),
        "ports": st.none() | st.lists(st.fixed_dictionaries({"containerPort": st.integers(5000, 65535)}), max_size=2),
        "env": st.lists(st.fixed_dictionaries({"name": name, "value": st.text(max_size=4)}), max_size=2),
        "anything": json,
    },
)
containers = st.lists(container, min_size=1, max_size=3, unique_by=lambda each: each["name"])
owner = st.fixed_dictionaries({"kind": name, "name": name})
pods = st.fixed_dictionaries(
    {
        "apiVersion": st.just("v1"),
        "kind": st.just("Pod"),
        "spec": st.fixed_dictionaries(
            {"containers": containers},
            optional={
                "initContainers": st.none() | st.just([]) | containers,
                "volumes": st.none() | st.lists(st.fixed_dictionaries({"name": name, "emptyDir": json}), max_size=2),
                "securityContext": st.none() | st.just({"runAsUser": 1000}),
                "anything": json,
            },
        ),
    },
    optional={
        "metadata": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "annotations": st.none() | st.tuples(strings, ours).map(lambda pair: {**pair[0], **pair[1]}),
                "labels": st.none() | strings,
                "generateName": name,
                "ownerReferences": st.none() | st.lists(owner, max_size=2),
                "anything": json,
            },
        )
    },
)
modes = st.sampled_from(["native", "classic"])
OURS = {names.INIT_CONTAINER, names.PROXY_CONTAINER, *names.VOLUMES}


def kept(before, after):
    """Whether `after` has all of `before`: members equal or kept in turn, list items in their order, null filled."""
    if before is None:
        return True
    if isinstance(before, dict):
        return isinstance(after, dict) and all(k in after and kept(v, after[k]) for k, v in before.items())
    if isinstance(before, list) and isinstance(after, list):
        rest = [item for item in after if not (isinstance(item, dict) and item.get("name") in OURS)]
        return rest == before
    return type(before) is type(after) and before == after


@settings(max_examples=100, deadline=None)
@given(pod=pods, mode=modes)
def test_nothing_is_lost_and_twice_is_once(pod, mode):
    before = copy.deepcopy(pod)
    chosen = InjectSettings(mode=mode)
    first = inject(pod, namespace="shop", settings=chosen)
    assert pod == before
    assert first.outcome == "injected", first.reason
    assert all(set(operation) == {"op", "path", "value"} and operation["op"] == "add" for operation in first.patch)

    once = apply_adds(pod, first.patch)
    assert pod == before
    assert kept(before, once)
    every = [*once["spec"]["initContainers"], *once["spec"]["containers"]]
    assert sum(each["name"] in OURS for each in every) == 2
    assert sorted(each["name"] for each in once["spec"]["volumes"] if each["name"] in OURS) == sorted(names.VOLUMES)
    mounted = [each["name"] for each in every if names.TOKEN_VOLUME in str(each.get("volumeMounts"))]
    assert mounted == [names.PROXY_CONTAINER]

    second = inject(once, namespace="shop", settings=chosen)
    assert (second.outcome, second.patch) == ("skipped", [])


@settings(max_examples=100, deadline=None)
@given(pod=json | st.fixed_dictionaries({"metadata": json, "spec": json}), namespace=st.sampled_from(["", "shop"]))
def test_any_json_gets_an_outcome(pod, namespace):
    result = inject(pod, namespace=namespace, settings=InjectSettings())
    assert result.outcome in ("injected", "skipped", "refused")
    assert (result.outcome == "injected") == bool(result.patch)


def test_the_judge_of_keeping_can_say_no():
    assert not kept({"a": 1}, {})
    assert not kept({"a": 1}, {"a": 2})
    assert not kept({"a": True}, {"a": 1})
    assert not kept([1, 2], [2, 1])
    assert not kept([{"name": "app"}], [{"name": "app", "image": "other"}])
    assert kept({"a": None}, {"a": [{"name": "tulle-init"}]})
