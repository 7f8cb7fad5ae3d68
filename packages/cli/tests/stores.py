"""Where the canary's objects are in the tests: in memory as the lab has them, and as an API server behind kubectl does.

The second is as unquiet as a cluster: the control plane writes a route's status after each change of it, just before
the next write arrives, so that each write meets a Conflict first. It can be away, lose answers and refuse rights.
"""

import copy
import json

from tulle_cli.canary.cluster_objects import ClusterObjects
from tulle_cli.cluster.kubectl import KubectlFailed

SERVERS = ("uid", "resourceVersion", "generation")
KINDS = {"services": "Service", "httproutes": "HTTPRoute", "grpcroutes": "GRPCRoute"}
STATUS = {"parents": [{"controllerName": "tulle.dev/control-plane"}]}


class Memory:
    """Objects as the lab holds them: what is applied last is what is there. `writes` counts changes."""

    name, options = "lab", ""
    get_command = "tulle lab get"

    def __init__(self):
        self.objects = {}
        self.writes = 0

    @property
    def adapter(self):
        """What the canary is given."""
        return self

    def list(self, kind, namespace):
        return [copy.deepcopy(o) for (k, ns, _), o in self.objects.items() if (k, ns) == (kind, namespace)]

    def get(self, kind, namespace, name):
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    def apply(self, obj):
        self.writes += 1
        self.objects[obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]] = copy.deepcopy(obj)

    def delete(self, obj):
        self.writes += 1
        self.objects.pop((obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]), None)

    @property
    def routes(self):
        """All HTTPRoutes in demo, without what their server has put in."""
        return [
            {**{k: v for k, v in one.items() if k != "status"},
             "metadata": {k: v for k, v in one["metadata"].items() if k not in SERVERS}}
            for one in self.list("HTTPRoute", "demo")
        ]  # fmt: skip


class Cluster(Memory):
    """An API server, as kubectl tells of it: `run` is Kubectl's. What tests do to it goes by Memory's methods."""

    name, options = "cluster", " --control-plane kubernetes"
    get_command = "kubectl get"

    def __init__(self):
        super().__init__()
        self.kinds = set(KINDS.values())
        self.forbidden = set()
        self.away = self.loses_answers = False
        self.version, self.conflicts, self.never_quiet, self.news = 100, 0, False, set()

    @property
    def adapter(self):
        return ClusterObjects("kubernetes", self)

    def apply(self, obj):
        key = obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]
        there = self.objects.get(key)
        super().apply(obj)
        self.version += 1
        metadata = self.objects[key]["metadata"]
        metadata["resourceVersion"] = str(self.version)
        metadata["uid"] = there["metadata"]["uid"] if there else f"u{self.version}"
        self.objects[key].pop("status", None)
        if there and "status" in there:
            self.objects[key]["status"] = there["status"]
        self.news.add(key)

    def run(self, *arguments, given=None):
        """kubectl of one call. Raises KubectlFailed in kubectl's words."""
        timeout, command, *rest = arguments
        assert timeout == "--request-timeout=10s"
        if self.away:
            raise failed("The connection to the server api:1 was refused - did you specify the right host or port?")
        if command == "-n":
            verb = rest[3]
            if verb in self.forbidden:
                raise failed("no")
            return "yes\n"
        flag, path, *body = rest
        assert (flag, body) == ("--raw", [] if given is None else ["-f", "-"])
        if given is not None:
            given = json.loads(given)
        path, _, query = path.partition("?")
        namespace, plural, *name = path.partition("/namespaces/")[2].split("/")
        kind = KINDS[plural]
        assert path.startswith("/api/v1/" if kind == "Service" else "/apis/gateway.networking.k8s.io/v1/")
        verb = {"get": "get" if name else "list", "replace": "update"}.get(command, command)
        assert query == ("fieldManager=tulle-canary" if verb in ("create", "update") else "")
        if verb in self.forbidden:
            raise failed(
                f'Error from server (Forbidden): {plural} is forbidden: User "eve" cannot {verb} resource "{plural}" '
                f'in API group "gateway.networking.k8s.io" in the namespace "{namespace}"'
            )
        if kind not in self.kinds:
            raise failed("Error from server (NotFound): the server could not find the requested resource")
        answer = getattr(self, f"_{verb}")(kind, namespace, *name, *([] if given is None else [given]))
        if self.loses_answers and verb in ("create", "update", "delete"):
            self.loses_answers, self.away = False, True
            raise failed("Unable to connect to the server: EOF")
        return json.dumps(answer)

    def _list(self, kind, namespace):
        return {"kind": f"{kind}List", "items": self.list(kind, namespace)}

    def _get(self, kind, namespace, name):
        if (kind, namespace, name) not in self.objects:
            raise failed(f'Error from server (NotFound): {kind} "{name}" not found')
        return self.get(kind, namespace, name)

    def _create(self, kind, namespace, obj):
        name = obj["metadata"]["name"]
        if "resourceVersion" in obj["metadata"]:
            raise failed("Error from server: resourceVersion should not be set on objects to be created")
        if (kind, namespace, name) in self.objects:
            raise failed(f'Error from server (AlreadyExists): {kind} "{name}" already exists')
        self.apply(obj)
        return self.get(kind, namespace, name)

    def _update(self, kind, namespace, name, obj):
        assert "status" not in obj
        there = self._as_read(kind, namespace, name, obj["metadata"])
        assert obj["metadata"]["uid"] == there["metadata"]["uid"]
        self.apply(obj)
        return self.get(kind, namespace, name)

    def _delete(self, kind, namespace, name, options):
        self.delete(self._as_read(kind, namespace, name, options["preconditions"]))
        return {"kind": "Status", "status": "Success"}

    def _as_read(self, kind, namespace, name, metadata):
        """The object, unless somebody has written it since."""
        there = self._get(kind, namespace, name)
        key = kind, namespace, name
        if self.never_quiet or key in self.news:
            self.news.discard(key)
            self.version += 1
            self.objects[key]["status"] = STATUS
            self.objects[key]["metadata"]["resourceVersion"] = str(self.version)
        if metadata["resourceVersion"] != self.objects[key]["metadata"]["resourceVersion"]:
            self.conflicts += 1
            raise failed(f'Error from server (Conflict): Operation cannot be fulfilled on {kind} "{name}": the object '
                         "has been modified; please apply your changes to the latest version and try again")
        return there


def failed(words):
    """kubectl's failure."""
    return KubectlFailed("kubectl failed", words)


STORES = {store.name: store for store in (Memory, Cluster)}
