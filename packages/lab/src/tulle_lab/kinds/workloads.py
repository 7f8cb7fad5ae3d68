"""Deployment and Job (apps/v1, batch/v1): tables and rules."""

from __future__ import annotations

from typing import Any

from tulle_lab.cluster.objects import selects
from tulle_lab.kinds.common import LABEL_SELECTOR, top
from tulle_lab.kinds.pods import TEMPLATE, pod_rules
from tulle_lab.kinds.schema import Either, Inert, Integer, Problems, Shape, Struct, Text, Unsupported, text

_AMOUNT = Either((Integer(0), Text(pattern=r"[0-9]+%")), "a whole number or a percentage such as 25%")

_DEPLOYMENT = top(
    required=("spec",),
    spec=Struct(
        {
            "replicas": Integer(0, 200),
            "selector": LABEL_SELECTOR,
            "template": TEMPLATE,
            "strategy": Struct(
                {
                    "type": text("RollingUpdate", "Recreate"),
                    "rollingUpdate": Struct({"maxSurge": _AMOUNT, "maxUnavailable": _AMOUNT}),
                }
            ),
            "minReadySeconds": Integer(0),
            "progressDeadlineSeconds": Integer(1),
            "revisionHistoryLimit": Inert("there is no `rollout undo`: apply the former manifest"),
            "paused": Unsupported("rollouts cannot be paused"),
        },
        required=("selector", "template"),
    ),
)

_JOB = top(
    required=("spec",),
    spec=Struct(
        {
            "template": TEMPLATE,
            "backoffLimit": Integer(0),
            "completions": Integer(1),
            "parallelism": Integer(0),
            "ttlSecondsAfterFinished": Inert("finished Jobs stay until deleted"),
            "completionMode": text("NonIndexed"),
            "activeDeadlineSeconds": Unsupported("Jobs run until they end or are deleted"),
            "suspend": Unsupported("Jobs start at once"),
            "selector": Inert("the lab selects a Job's pods by owner"),
            "manualSelector": Inert("the lab selects a Job's pods by owner"),
        },
        required=("template",),
    ),
)


def _template(obj: dict[str, Any], problems: Problems) -> None:
    pod_rules(obj["spec"]["template"]["spec"], "spec.template.spec", problems)


def _selector(obj: dict[str, Any], problems: Problems) -> None:
    spec = obj["spec"]
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if not (spec["selector"].get("matchLabels") or spec["selector"].get("matchExpressions")):
        problems.add("spec.selector", "empty: it would claim every pod; repeat the template's labels in matchLabels")
    elif not selects(spec["selector"], labels):
        problems.add("spec.selector", f"does not match spec.template.metadata.labels ({labels})")


def _always(obj: dict[str, Any], problems: Problems) -> None:
    policy = obj["spec"]["template"]["spec"].get("restartPolicy", "Always")
    if policy != "Always":
        problems.add(
            "spec.template.spec.restartPolicy", f"a Deployment's pods have Always, not {policy}; a Job may have it"
        )


def _rolling(obj: dict[str, Any], problems: Problems) -> None:
    strategy = obj["spec"].get("strategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    if strategy.get("type") == "Recreate" and rolling:
        problems.add("spec.strategy.rollingUpdate", "not with type Recreate")
    if str(rolling.get("maxSurge", "25%")) in ("0", "0%") and str(rolling.get("maxUnavailable", "25%")) in ("0", "0%"):
        problems.add(
            "spec.strategy.rollingUpdate", "maxSurge and maxUnavailable are both 0: no pod could ever be replaced"
        )


def _not_always(obj: dict[str, Any], problems: Problems) -> None:
    policy = obj["spec"]["template"]["spec"].get("restartPolicy")
    if policy not in ("Never", "OnFailure"):
        problems.add("spec.template.spec.restartPolicy", "a Job's pods need Never or OnFailure")


DEPLOYMENT = Shape(_DEPLOYMENT, (_template, _selector, _always, _rolling))
JOB = Shape(_JOB, (_template, _not_always))
