"""Is the control plane there, has it read everything, was any configuration refused, is each proxy in step?"""

from __future__ import annotations

import json
from typing import Any

from tulle_plugin_api import CheckResult

from tulle_cli import skew, version
from tulle_cli.api_client import ApiClient, Refused, Unreachable
from tulle_cli.check.model import Section, check, failed, passed, warned

CATEGORY = "control plane"
_STATE_HINTS = {
    "STALE": "the proxy has not answered for 5 s: its log says why (tulle lab logs POD -c tulle-proxy)",
    "REJECTED": "the proxy refused its configuration and runs the one before: tulle proxy config POD",
}


def sections(api: ApiClient) -> list[Section]:
    """What can be asked of a running control plane. The later sections need the first."""
    return [
        Section(
            CATEGORY,
            [
                check(CATEGORY, "answers", lambda: _answers(api), before=False),
                check(CATEGORY, "is ready: its catalog has synced", lambda: _ready(api), before=False),
                check(CATEGORY, "has this command's version", lambda: _version(api), before=False),
            ],
            stops=True,
            waits=True,
        ),
        Section(
            "configuration",
            [
                check("configuration", "no source was refused", lambda: _rejected(api), before=False),
                check("configuration", "every object was accepted", lambda: _conditions(api), before=False),
            ],
            needs=CATEGORY,
            waits=True,
        ),
        Section(
            "proxies",
            [
                check("proxies", "every proxy is SYNCED", lambda: _synced(api), before=False),
                check("proxies", "proxies have the control plane's version", lambda: _skew(api), before=False),
            ],
            needs=CATEGORY,
            waits=True,
        ),
    ]


def _answers(api: ApiClient) -> CheckResult:
    try:
        status, body = api.request("/live")
    except Unreachable as error:
        return failed(f"{error.what}: {error.why}", error.next)
    if status != 200:
        return failed(f"GET /live at {api.target} answered {status}: {_error(body)}", "is this Tulle's control plane?")
    return passed(api.target)


def _ready(api: ApiClient) -> CheckResult:
    status, body = api.request("/ready")
    if status == 200:
        return passed()
    return failed(_error(body), "it is still starting (--wait 30), or its catalog cannot be read: see its log")


def _version(api: ApiClient) -> CheckResult:
    theirs, ours = api.get("/api/v1/version").get("version"), version()
    if theirs == ours:
        return passed(ours)
    return warned(f"it is {theirs}, this command {ours}", "install one release of both")


def _rejected(api: ApiClient) -> CheckResult:
    refused = api.get("/api/v1/catalog").get("rejected", [])
    if not refused:
        return passed()
    return failed(
        "\n".join(f"{item['source']}: {item['problem']}" for item in refused),
        "what each held before stays in force; correct it and apply it again",
    )


def _conditions(api: ApiClient) -> CheckResult:
    catalog = api.get("/api/v1/catalog")
    bad = [
        f"{kind} {item['namespace']}/{item['name']}: {condition['type']} is {condition['status']}"
        f" ({condition['reason']}): {condition['message']}"
        for kind, items in catalog.get("objects", {}).items()
        for item in items
        for condition in item.get("conditions", [])
        if condition["status"] != "True"
    ]
    if bad:
        return failed("\n".join(bad), "correct the objects and apply them again")
    return passed(f"{sum(catalog.get('counts', {}).values())} objects")


def _synced(api: ApiClient) -> CheckResult:
    try:
        proxies: list[dict[str, Any]] = api.get("/api/v1/proxies")["proxies"]
    except Refused as error:
        return failed(error.why, error.next)
    if not proxies:
        return warned(
            "no proxy is connected",
            "pods get one when their namespace or template says tulle.dev/inject: enabled",
        )
    behind = [proxy for proxy in proxies if proxy["state"] != "SYNCED"]
    if not behind:
        return passed(f"{len(proxies)} proxies")
    return failed(
        "\n".join(
            f"{proxy['namespace']}/{proxy['pod']} is {proxy['state']}{': ' if proxy['error'] else ''}{proxy['error']}"
            for proxy in behind
        ),
        "\n".join(_STATE_HINTS[state] for state in sorted({p["state"] for p in behind}) if state in _STATE_HINTS),
    )


def _skew(api: ApiClient) -> CheckResult:
    try:
        proxies = api.get("/api/v1/proxies")["proxies"]
        plane = str(api.get("/api/v1/version").get("version", ""))
    except Refused as error:
        return failed(error.why, error.next)
    found = skew.judge(plane, [(f"{each['namespace']}/{each['pod']}", each["version"]) for each in proxies])
    others = skew.listed([*found.far, *found.near, *found.unknown])
    if found.far:
        return failed(
            f"the control plane is {plane}; more than {skew.ALLOWED} minor version away:\n{skew.listed(found.far)}",
            "make these pods anew (kubectl rollout restart, tulle lab rollout restart): they get the proxy of now",
        )
    if others:
        return warned(
            f"the control plane is {plane}:\n{others}",
            "they work together; make these pods anew before the next upgrade",
        )
    return passed(plane if proxies else "")


def _error(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and answer.get("error"):
        return str(answer["error"])
    return body[:200].decode(errors="replace").strip() or "no body"
