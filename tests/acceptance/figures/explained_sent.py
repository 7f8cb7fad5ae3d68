"""`tulle explain --send` tells of random requests what really happened to them: by the servers' own records.

Each request has an id. Servers remember what they were asked and how they answered, and fail where the request wants
them to, so that some are tried twice. Their records, not the mesh's, are compared with what the command told: at which
pods it was tried and how often, with which path, fields and status.
"""

from __future__ import annotations

import json
import random
from typing import Any

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.mesh import CLIENT, NAMESPACE, Mesh

REQUESTS = 48
RULES = 12
SEED = 5
SERVICE = "recorder"
MARK = "tulle-explain"

Record = dict[str, Any]


def route(chance: random.Random) -> str:
    """An HTTPRoute whose rules overlap, edit fields and paths, split, and redirect."""
    return json.dumps({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "recorded", "namespace": NAMESPACE},
        "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": SERVICE, "port": 80}],
                 "rules": [_rule(chance, number) for number in range(RULES)]},
    })  # fmt: skip


def _rule(chance: random.Random, number: int) -> Record:
    name = f"r{number}"
    match: Record = {"path": {"type": "PathPrefix", "value": "/" + "/".join(chance.choices("ab", k=2))}}
    if chance.random() < 0.4:
        match["headers"] = [{"name": "x-user", "value": chance.choice("12")}]
    if chance.random() < 0.3:
        match["method"] = "POST"
    filters: list[Record] = [{"type": "RequestHeaderModifier", "requestHeaderModifier": {
        "set": [{"name": "x-rule", "value": name}], "remove": ["x-user"]}}]  # fmt: skip
    if number % 6 == 5:
        return {"name": name, "matches": [match], "filters": [
            {"type": "RequestRedirect", "requestRedirect": {"statusCode": 302, "hostname": "elsewhere"}}]}  # fmt: skip
    if chance.random() < 0.5:
        path = {"type": "ReplaceFullPath", "replaceFullPath": f"/to-{name}"}
        filters.append({"type": "URLRewrite", "urlRewrite": {"path": path}})
    weights = chance.choice([[1, 0], [1, 1]])
    backends = [{"name": each, "port": 80, "weight": weight}
                for each, weight in zip((SERVICE, f"{SERVICE}2"), weights, strict=True)]  # fmt: skip
    return {"name": name, "matches": [match], "filters": filters, "backendRefs": backends}


def requests(chance: random.Random) -> list[tuple[str, str, dict[str, str]]]:
    """Method, path and fields."""
    found = []
    for number in range(REQUESTS):
        fields = {"x-id": str(number), "x-user": chance.choice("123")}
        if chance.random() < 0.7:
            fields["x-fail"] = "1"
        path = "/" + "/".join(chance.choices("ab", k=chance.choice([1, 2, 2, 2, 3])))
        found.append((chance.choice(["GET", "GET", "POST"]), f"{path}?n={number}", fields))
    return found


def difference(told: Record, records: dict[str, list[Record]]) -> str:
    """What the command told against what the servers recorded of that request (by pod); empty when they agree."""
    sent = told["sent"]
    if not sent["agrees"]:
        return f"not as was said: {sent['disagreements']}"
    if sent["silent"]:
        return f"silent: {sent['silent']}"
    client = sent["client"]
    tries = [step for step in client["steps"] if step["pod"]]
    seen = {pod: len(found) for pod, found in records.items() if found}
    tried = {pod: [step["pod"] for step in tries].count(pod) for pod in {step["pod"] for step in tries}}
    if tried != seen:
        return f"tries at {tried} were told, {seen} recorded"
    at_servers = [server["pod"] for server in sent["servers"]]
    if sorted(at_servers) != sorted(step["pod"] for step in tries):
        return f"tries at {tried}, and accounts of {at_servers}"
    if not tries:
        wanted = ("redirect", "no-route")
        return "" if client["reason"] in wanted else f"{client['reason']!r} was told of what reached nobody"
    for pod, found in records.items():
        statuses = [step["status"] for step in tries if step["pod"] == pod]
        if statuses != [record["status"] for record in found]:
            return f"{pod}: {statuses} were told, {[record['status'] for record in found]} recorded"
    last = records[tries[-1]["pod"]][-1]
    if client["status"] != last["status"]:
        return f"{client['status']} was told, {last['status']} answered"
    return _edited(told, client, last)


def _edited(told: Record, client: Record, record: Record) -> str:
    """Path and fields as the application got them."""
    notes = [note for step in client["steps"] for note in step["notes"]]
    path = next((note.rpartition(" ")[2] for note in notes if note.startswith("path ")), told["request"]["path"])
    if record["path"] != path:
        return f"path {path} was told, {record['path']} recorded"
    fields = dict(record["fields"])
    rule = next((note.rpartition(" ")[2] for note in notes if note.startswith("request: set x-rule")), "")
    if fields.get("x-rule", "") != rule or client["route"].rpartition("/")[2] != rule:
        return f"rule {rule!r} of {client['route']} was told, {fields.get('x-rule')!r} recorded"
    taken = "request: took off x-user" in notes
    if taken == ("x-user" in fields):
        return f"x-user was {'' if taken else 'not '}taken off, and is {fields.get('x-user')!r}"
    return f"the application saw {MARK}" if MARK in fields else ""


def _tells(mesh: Mesh) -> Outcome:
    mesh.up()
    mesh.apply("recorder")
    chance = random.Random(SEED)
    mesh.apply_text(route(chance))
    try:
        mesh.until(lambda: _runs_it(mesh), "the client's proxy to have the route")
        asked = requests(chance)
        told = [_told(mesh, one) for one in asked]
        records = {pod["metadata"]["name"]: _recorded(mesh, pod)
                   for app in (SERVICE, f"{SERVICE}2") for pod in mesh.pods(app)}  # fmt: skip
    finally:
        mesh.lab.run("delete", "httproute", "recorded", "-n", NAMESPACE)
        mesh.delete("recorder")
    wrong, kinds = [], {"redirect": 0, "no-route": 0, "served": 0, "tried again": 0, "failed": 0}
    for number, (one, say) in enumerate(zip(asked, told, strict=True)):
        mine = {pod: [each for each in found if each["id"] == str(number)] for pod, found in records.items()}
        if words := difference(say, mine):
            wrong.append(f"{one}: {words}")
        client = say["sent"]["client"]
        kinds["tried again"] += client["attempts"] > 1
        kinds[client["reason"] or ("served" if client["status"] == 200 else "failed")] += 1
    return judged(
        f"{REQUESTS - len(wrong)} of {REQUESTS} are as their servers recorded them ({kinds})",
        (not wrong, "; ".join(wrong[:3])),
        (min(kinds[kind] for kind in ("redirect", "no-route", "served", "tried again")) > 1,
         "too few of a kind: the figure proves little"),
    )  # fmt: skip


def _runs_it(mesh: Mesh) -> bool | None:
    mesh.lab.exec(CLIENT, "curl", "-s", "-o", "/dev/null", f"http://{SERVICE}/", namespace=NAMESPACE)
    told = json.loads(mesh.tulle("explain", CLIENT, f"http://{SERVICE}/", "-n", NAMESPACE, "-o", "json").out)
    rules = {one["route"] for one in told["matches"]}
    return (told["state"] == "SYNCED" and len(rules) == RULES) or None


def _told(mesh: Mesh, one: tuple[str, str, dict[str, str]]) -> Record:
    method, path, fields = one
    words = [word for name, value in fields.items() for word in ("-H", f"{name}: {value}")]
    done = mesh.tulle("explain", CLIENT, method, f"http://{SERVICE}{path}", *words, "-n", NAMESPACE, "--send",
                      "-o", "json")  # fmt: skip
    found: Record = json.loads(done.out) if done.code == 0 else {"sent": {"agrees": False, "disagreements": done.said}}
    return found


def _recorded(mesh: Mesh, pod: Record) -> list[Record]:
    found: list[Record] = json.loads(
        mesh.lab.exec("node", "curl", "-sS", f"http://{pod['status']['podIP']}:8080/recorded")
    )
    return found


FIGURES = (
    Figure("explain-send", "what `tulle explain --send` tells of requests is what their servers recorded", _tells),
)
