"""`tulle explain` says of 1,000 random requests what then happens to them, under random routes.

What happened is read off the answers alone: each rule sets a response field of its own or redirects to a path of its
own, and the versions behind it say which backend it was. Nothing of the mesh's own records is asked.
"""

from __future__ import annotations

import json
import random
from typing import Any

from tulle_cli import ask

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.mesh import CLIENT, NAMESPACE, SCRIPTS, Mesh

REQUESTS = 1_000
BY_COMMAND = 5
"""So many of them are asked of the command itself, the rest of the function behind it: a start of Python each."""
RULES = 24
SEED = 6
VERSIONS = {"demo/app-b:80": "v1", "demo/app-b2:80": "v2"}

Asked = list[Any]  # method, path, fields


def routes(chance: random.Random) -> str:
    """Two HTTPRoutes of the Service app-b, whose rules overlap as often as they can."""
    found = []
    for name in ("first", "second"):
        rules = [_rule(chance, f"{name}{number}") for number in range(RULES // 2)]
        found.append({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "app-b", "port": 80}], "rules": rules},
        })  # fmt: skip
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": found})


def _rule(chance: random.Random, name: str) -> dict[str, Any]:
    matches = [_match(chance) for _ in range(chance.randint(1, 2))]
    if chance.random() < 0.2:
        target = {"type": "ReplaceFullPath", "replaceFullPath": f"/to-{name}"}
        redirect = {"statusCode": chance.choice([301, 302, 307]), "path": target}
        return {"name": name, "matches": matches, "filters": [{"type": "RequestRedirect", "requestRedirect": redirect}]}
    weights = chance.choice([[1, 0], [0, 1], [1, 1], [90, 10]])
    backends = [{"name": app, "port": 80, "weight": w} for app, w in zip(("app-b", "app-b2"), weights, strict=True)]
    marked = {"set": [{"name": "x-rule", "value": name}]}
    return {"name": name, "matches": matches, "backendRefs": backends,
            "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": marked}]}  # fmt: skip


def _match(chance: random.Random) -> dict[str, Any]:
    kind = chance.choice(["Exact", "PathPrefix", "PathPrefix", "RegularExpression"])
    path = "/" + "/".join(chance.choices("abc", k=chance.randint(1, 3)))
    found: dict[str, Any] = {"path": {"type": kind, "value": path + "/.*" if kind == "RegularExpression" else path}}
    if chance.random() < 0.3:
        found["method"] = chance.choice(["GET", "POST"])
    if chance.random() < 0.3:
        found["headers"] = [{"name": "x-user", "value": chance.choice("123")}]
    if chance.random() < 0.3:
        found["queryParams"] = [{"name": "v", "value": chance.choice("12")}]
    return found


def requests(chance: random.Random) -> list[Asked]:
    """Made of what the rules ask for."""
    found = []
    for _ in range(REQUESTS):
        path = "/" + "/".join(chance.choices(["a", "b", "c", "ab"], k=chance.randint(0, 4)))
        query = f"?v={chance.choice('123')}" if chance.random() < 0.5 else ""
        fields = {"x-user": chance.choice("1234")} if chance.random() < 0.6 else {}
        found.append([chance.choice(["GET", "GET", "POST"]), path + query, fields])
    return found


def disagreement(told: dict[str, Any], seen: list[Any]) -> str:
    """What was said against what was seen; empty when they agree."""
    status, reason, rule, location, version = seen
    if told["route"] is None:
        return "" if (status, reason) == (404, "no-route") else f"404 was told, {seen} seen"
    name = told["route"].rsplit("/", 1)[1]
    if told["filters"] and told["filters"][0].startswith("redirect"):
        words = told["filters"][0].split()
        path = location.partition("?")[0]  # a new path leaves the query as it is
        return "" if str(status) == words[1] and path.endswith(f"/to-{name}") else f"{words} of {name}, {seen} seen"
    reached = [VERSIONS[one["backend"]] for one in told["backends"] if one["weight"]]
    return "" if (status, rule) == (200, name) and version in reached else f"{name} {reached} was told, {seen} seen"


def _agrees(mesh: Mesh) -> Outcome:
    mesh.up()
    chance = random.Random(SEED)
    mesh.apply_text(routes(chance))
    asked = requests(chance)
    try:
        config = mesh.until(lambda: _compiled(mesh), "the routes to be compiled")
        mesh.until(lambda: _runs_it(mesh), "the client's proxy to have them")
        said = mesh.lab.exec(CLIENT, "python", f"{SCRIPTS}/asked.py", "app-b", namespace=NAMESPACE,
                             stdin=json.dumps(asked))  # fmt: skip
        told = [_told(config, one) for one in asked]
        commands = [_by_command(mesh, one) for one in asked[:BY_COMMAND]]
    finally:
        mesh.lab.run("delete", "httproute", "first", "second", "-n", NAMESPACE)
    seen = json.loads(said)
    wrong = [f"{one}: {words}" for one, say, saw in zip(asked, told, seen, strict=True)
             if (words := disagreement(say, saw))]  # fmt: skip
    kinds = {"404": 0, "redirected": 0, "served": 0}
    for status, *_ in seen:
        kinds["404" if status == 404 else "served" if status == 200 else "redirected"] += 1
    rules = len({say["route"] for say in told})
    return judged(
        f"{REQUESTS - len(wrong)} of {REQUESTS} agree ({kinds}; {rules} different outcomes of {RULES} rules)",
        (not wrong, "; ".join(wrong[:3])),
        (min(kinds.values()) > 20 and rules > RULES / 3, "too much of one kind: the figure proves little"),
        (all(say["route"] == one["route"] for say, one in zip(told, commands, strict=False)),
         "the command says something else than the function behind it"),
    )  # fmt: skip


def _compiled(mesh: Mesh) -> dict[str, Any] | None:
    """The Service's configuration, once the last rule is in it."""
    answer = json.loads(mesh.tulle("routes", "app-b", "-n", NAMESPACE, "-o", "json").out)
    config: dict[str, Any] = answer["tables"][0]["config"]
    names = {route["name"] for route in config.get("routes", [])}
    return config if len(names) == RULES else None


def _runs_it(mesh: Mesh) -> bool | None:
    """Whether the client's proxy has acknowledged it (a first call makes it ask)."""
    mesh.lab.exec(CLIENT, "curl", "-s", "-o", "/dev/null", "http://app-b/", namespace=NAMESPACE)
    told = _by_command(mesh, ["GET", "/", {}])
    return told["state"] == "SYNCED" or None


def _told(config: dict[str, Any], one: Asked) -> dict[str, Any]:
    method, path, fields = one
    request = ask.request_of(method, f"http://app-b{path}", [f"{name}: {value}" for name, value in fields.items()])
    return ask.answer(config, request, ask.Asker("client", NAMESPACE), {})


def _by_command(mesh: Mesh, one: Asked) -> dict[str, Any]:
    method, path, fields = one
    words = [word for name, value in fields.items() for word in ("-H", f"{name}: {value}")]
    done = mesh.tulle("explain", CLIENT, method, f"http://app-b{path}", *words, "-n", NAMESPACE, "-o", "json")
    found: dict[str, Any] = json.loads(done.out)
    return found


FIGURES = (
    Figure("explain-agrees", "what `tulle explain` says of 1,000 random requests is what happens to each", _agrees),
)
