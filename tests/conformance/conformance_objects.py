"""What tests of either form write: objects as a user would; and what they get back of a request.

Owns the shapes. Refuses to know whether they go to a lab or to a proxy in this process.
"""

import json
from dataclasses import dataclass, field

GATEWAY = "gateway.networking.k8s.io"


@dataclass
class Got:
    """An answer, and what the echo server saw of the request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def reason(self):
        return self.headers.get("tulle-reason", "")

    @property
    def _echo(self):
        return json.loads(self.body) if self.status == 200 else {}

    @property
    def service(self):
        """Who served; "" for nobody."""
        return self._echo.get("service", "")

    @property
    def version(self):
        return self._echo.get("version", "")

    @property
    def path(self):
        return self._echo["path"]

    def sent(self, name):
        """The values of a header field, as they arrived."""
        return [value for field, value in self._echo["headers"] if field.lower() == name]

    @property
    def who(self):
        """The service that served, else the status."""
        return self.service or self.status


@dataclass
class Request:
    """What an echo server has received, and when (seconds of whatever clock is in force there)."""

    method: str
    path: str
    headers: list = field(default_factory=list)
    body: str = ""
    at: float = 0.0

    def header(self, name):
        return [value for field, value in self.headers if field.lower() == name]


def backend(name="app-b", weight=1, port=80, **more):
    return {"name": name, "port": port, "weight": weight, **more}


def rule(to="app-b", *matches, **more):
    """A rule that sends to one Service; `matches` as in the object."""
    return {**({"matches": list(matches)} if matches else {}), "backendRefs": [backend(to)], **more}


def route(*rules, name="app-b", namespace="default", kind="HTTPRoute", parents=None, created=None, annotations=None):
    return {
        "apiVersion": f"{GATEWAY}/v1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations or {},
                     **({"creationTimestamp": created} if created else {})},
        "spec": {"parentRefs": parents or [{"group": "", "kind": "Service", "name": "app-b", "namespace": "default"}],
                 "rules": list(rules)},
    }  # fmt: skip


def grant(namespace="far", of="default", to=None, kind="HTTPRoute"):
    return {
        "apiVersion": f"{GATEWAY}/v1beta1", "kind": "ReferenceGrant",
        "metadata": {"name": "grant", "namespace": namespace},
        "spec": {"from": [{"group": GATEWAY, "kind": kind, "namespace": of}],
                 "to": [{"group": "", "kind": "Service", **({"name": to} if to else {})}]},
    }  # fmt: skip


def policy(name, type, target, config, section=None):
    return {
        "apiVersion": "tulle.dev/v1alpha1", "kind": "MeshPolicy",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": type, "config": config,
                 "targetRef": {**target, **({"sectionName": section} if section else {})}},
    }  # fmt: skip


def named(given):
    """ "far/app-c@v2" -> namespace, name, version."""
    namespace, _, rest = given.rpartition("/")
    name, _, version = rest.partition("@")
    return namespace or "default", name, version or "v1"


def fields_of(fields):
    """Names as Python has them -> a head's."""
    return [[name.replace("_", "-"), value] for name, value in fields.items()]


# --- what tests ask of either form ------------------------------------------------------------------------------------


async def conditions(c, name="app-b", namespace="default", kind="HTTPRoute"):
    """Type -> (status, reason) of an object."""
    (row,) = [each for each in await c.rows(kind) if (each["namespace"], each["name"]) == (namespace, name)]
    return {each["type"]: (each["status"], each["reason"]) for each in row["conditions"]}


async def share(c, count=500, **given):
    """How many of so many requests each service served; those that failed under their status."""
    found = {}
    for answer in await c.many(count, **given):
        found[answer.who] = found.get(answer.who, 0) + 1
    return found


SPREAD = 60
"""So many requests reach each of 3 equal endpoints, whatever balances: all but once in 10^10 times."""


async def versions(c, count=SPREAD, **given):
    """Of which versions the pods are that served so many requests; all have to be answered."""
    answers = await c.many(count, **given)
    assert {answer.status for answer in answers} == {200}
    return {answer.version for answer in answers}


async def about(c, wanted, margin, count=500, rounds=3):
    """Whether the shares of `wanted` (who -> share) are met within `margin` in one of a few rounds.

    500 requests by chance miss 5 points at 70/30 once in 70 times; three rounds in a row once in 300,000. (The Gateway
    API's own tests of weights try again for the same reason.) Nobody else may serve in any of them.
    """
    for _ in range(rounds):
        found = await share(c, count)
        assert set(found) == {who for who, part in wanted.items() if part}, found
        if all(abs(found[who] / count - part) <= margin for who, part in wanted.items() if part):
            return True
    return False
