"""The form that proves: a lab with client pods and echo servers, live traffic through real rules and proxies.

Owns one lab for the whole suite, at .tulle/conformance: it is brought up once, objects go in by the real apply, and a
test goes on when the control plane has them and every proxy has acknowledged them (`Programmed`). What a test told is
deleted before the next one asks. Offers to tests what conformance_process.py does.
"""

import atexit
import contextlib
import fcntl
import itertools
import json
import os
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

from conformance_objects import Got, Request, fields_of, grant, named
from tulle_cli.api_client import ApiClient
from tulle_cli.errors import CliError
from tulle_lab.client import Client
from tulle_lab.errors import LabError
from tulle_lab.state import StateFolder

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / ".tulle" / "conformance"
TULLE = str(Path(sys.executable).with_name("tulle"))
SECONDS = 60.0
"""For a configuration to be in force everywhere, and for anything else that is waited for."""
UP, WAVE = 300.0, 4
"""Seconds for so many pods with proxies to be ready; a few on two processors that do nothing else."""
PORTS = {80: None, 81: None, 8080: None, 82: "kubernetes.io/ws"}
"""Of every Service, with their appProtocol."""
ECHO, CONTROL, ADMIN = 8080, 8081, 4191
ECHOES = ("app-b", "app-b@v2", "app-b@v3", "app-b2", "app-b3", "app-b4", "app-b5", "app-b6", "far/app-c")
CLIENTS = {
    ("default", ""): "client", ("default", "beta"): "client-beta", ("default", "alpha"): "client-alpha",
    ("far", ""): "client", ("far", "x"): "client-x", ("elsewhere", ""): "client",
}  # fmt: skip
"""Namespace and label `team` -> pod."""
NODE = ("", "")
NAMESPACES = ("default", "far", "elsewhere")


def why_no_lab():
    """Why no lab can run here; empty when it can."""
    from tulle_lab.launch.requirements import CHECKS

    return "; ".join(found.what for check in CHECKS.values() if (found := check()))


def _metadata(name, namespace, **more):
    return {"metadata": {"name": name, "namespace": namespace, **more}}


def _pod(name, namespace, labels, program, **variables):
    container = {
        "name": "app", "image": "python", "env": [{"name": k, "value": v} for k, v in variables.items()],
        "volumeMounts": [{"name": "programs", "mountPath": "/conformance"}],
        "command": ["sleep", "infinity"] if program is None else ["python", f"/conformance/{program}"],
    }  # fmt: skip
    if program is not None:
        container["readinessProbe"] = {"httpGet": {"path": "/ready", "port": CONTROL}, "periodSeconds": 1}
    notes = {"tulle.dev/inject": "enabled", "tulle.dev/skip-inbound-ports": str(CONTROL)}
    return {
        "apiVersion": "v1", "kind": "Pod", **_metadata(name, namespace, labels=labels, annotations=notes),
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1,
                 "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
                 "volumes": [{"name": "programs", "configMap": {"name": "programs"}}]},
    }  # fmt: skip


def _service(name, namespace, *, headless=False):
    ports = [{"name": f"p{port}", "port": port, **({"appProtocol": p} if p else {})} for port, p in PORTS.items()]
    spec = {"ports": ports}
    if headless:
        spec["clusterIP"] = "None"
    return {"apiVersion": "v1", "kind": "Service", **_metadata(name, namespace), "spec": spec}


def _echo_pod(given):
    """The pod of "far/app-c@v1": "far", "app-c-v1"."""
    namespace, name, version = named(given)
    return namespace, f"{name}-{version}"


def world():
    """What is there from beginning to end, beside pods. Services have no selector: tests say which pods they have."""
    programs = {path.name: path.read_text() for path in sorted((HERE / "programs").glob("*.py"))}
    for namespace in NAMESPACES:
        # a pod without a proxy would prove nothing
        labels = {"tulle.dev/failure-policy": "fail"}
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
        yield {"apiVersion": "v1", "kind": "ConfigMap", **_metadata("programs", namespace), "data": programs}
    for namespace, name in sorted({named(given)[:2] for given in (*ECHOES, "mute")}):
        yield _service(name, namespace)


def pods():
    """The echo servers and the clients."""
    for given in (*ECHOES, "mute"):
        namespace, name, version = named(given)
        pod = _echo_pod(given)[1]
        variables = {"SERVICE": name, "VERSION": version, "NAMESPACE": namespace, "POD": pod}
        yield _pod(pod, namespace, {"app": name, "version": version}, "echo_server.py", **variables)
    for (namespace, team), pod in CLIENTS.items():
        yield _pod(pod, namespace, {"app": "client", **({"team": team} if team else {})}, None)


class Lab:
    """The lab, from `up` to `down`."""

    def __init__(self):
        FOLDER.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(FOLDER / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)  # another run of this clone is waited for
        self.state = FOLDER / "lab"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TULLE_")}
        self.environment = {**clean, "TULLE_LAB_STATE": str(self.state), "NO_COLOR": "1"}
        self.client = Client(StateFolder(self.state))
        self.api = ApiClient(f"unix:{self.state / 'control-plane.sock'}")
        self._agents, self._numbers, self._marker = {}, itertools.count(1), None
        self._warm, self._slices = set(), {}

    # --- life -------------------------------------------------------------------------------------------------------

    def up(self):
        """With all of `world`, ready."""
        if (self.state / "lab.json").exists():
            self.command("down", "--now", "-q")  # an earlier run was killed
        atexit.register(self.down)
        self.command("up", "-q", "--timeout", f"{UP:g}s")
        self.apply(*world())
        # a few at a time: all at once, each would be so slow to start that probes take it for dead
        waiting = iter(pods())
        while wave := list(itertools.islice(waiting, WAVE)):
            until(lambda wave=wave: self._made(wave), "the webhook to let pods in", UP)
            keys = [list(_key(pod)) for pod in wave]
            self.client.ask("ready", {"keys": keys, "timeout": UP})
        there = [pod for space in NAMESPACES for pod in self.get("pods", space)]
        self.ips = {(p["metadata"]["namespace"], p["metadata"]["name"]): p["status"]["podIP"] for p in there}

    def _made(self, wave):
        """Whether all of these pods are there; asks for those that are not."""
        there = {_key(pod) for space in NAMESPACES for pod in self.get("pods", space)}
        missing = [pod for pod in wave if _key(pod) not in there]
        if missing:
            request = {"sources": [{"name": "pods", "text": _manifest(missing)}], "namespace": "default"}
            return not self.client.ask("apply", request)["refused"]
        return True

    def down(self):
        """Nothing of it is left."""
        atexit.unregister(self.down)
        for agent in self._agents.values():
            agent.stdin.close()
            try:
                agent.wait(5)
            except subprocess.TimeoutExpired:
                agent.kill()
                agent.wait()
        self._agents.clear()
        self.command("down", "--now", "-q")

    def command(self, *words, stdin=""):
        """`tulle lab WORDS`."""
        done = subprocess.run(
            [TULLE, "lab", *words], input=stdin, capture_output=True, text=True, timeout=UP + 30, check=False,
            env=self.environment,
        )  # fmt: skip
        assert done.returncode == 0, f"tulle lab {' '.join(words)} exited with {done.returncode}: {done.stderr[-2000:]}"

    # --- objects: the verbs that `tulle lab apply`, `get` and `delete` are ---------------------------------------

    def apply(self, *objects):
        """All or nothing. Raises LabError."""
        if objects:
            request = {"sources": [{"name": "test", "text": _manifest(objects)}], "namespace": "default"}
            result = self.client.ask("apply", request)
            assert not result["refused"], result

    def delete(self, kind, name, namespace):
        request = {"kind": kind, "names": [name], "namespace": namespace, "missing_ok": True}
        self.client.ask("delete", request)

    def get(self, kind, namespace):
        return self.client.ask("get", {"kind": kind, "name": None, "namespace": namespace})["groups"][0]["items"]

    def endpoints(self, service, versions):
        """Let a Service (namespace, name) have the pods of these versions, and no others."""
        namespace, name = service
        had = self._slices.get(service, set())
        for version in had - versions:
            self.delete("endpointslices", f"{name}-{version}", namespace)
        self.apply(*[self._slice(namespace, name, version) for version in sorted(versions - had)])
        self._slices[service] = set(versions)

    def versions(self, service):
        return set(self._slices.get(service, ()))

    def _slice(self, namespace, name, version):
        pod = f"{name}-{version}"
        return {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            **_metadata(pod, namespace, labels={"kubernetes.io/service-name": name}),
            "ports": [{"name": f"p{port}", "port": ECHO} for port in PORTS],
            "endpoints": [{"addresses": [self.ips[namespace, pod]], "conditions": {"ready": True},
                           "targetRef": {"kind": "Pod", "name": pod, "namespace": namespace}}],
        }  # fmt: skip

    # --- in force -----------------------------------------------------------------------------------------------------

    def settle(self):
        """Wait until all that was applied is in force at every proxy.

        The catalog takes changes in in their order: an object that is applied last says that the control plane has
        all of them. Its own words of versions and `Programmed` are then of these, and every proxy has to agree.
        """
        name, last = f"marker-{next(self._numbers)}", self._marker
        marker = grant("elsewhere")
        marker["metadata"]["name"] = self._marker = name
        self.apply(marker)
        if last:
            self.delete("referencegrants", last, "elsewhere")
        until(lambda: self._has(name), "the control plane to have what was applied")
        until(self._in_force, "all proxies to have it")

    def _has(self, marker):
        found = self.catalog("ReferenceGrant")["objects"].get("ReferenceGrant", [])
        return any(row["name"] == marker for row in found)

    def _in_force(self):
        for proxy in self.api.get("/api/v1/proxies")["proxies"]:
            for each in proxy["destinations"]:
                assert each["state"] != "REJECTED", f"{proxy['pod']} refused {each['service']}: {each['error']}"
                if each["acked_version"] != each["version"]:
                    return False
        held = [
            condition
            for kind in ("HTTPRoute", "GRPCRoute")
            for row in self.catalog(kind)["objects"].get(kind, [])
            for condition in row["conditions"]
            if condition["type"] == "Programmed"
        ]
        return all(condition["status"] == "True" for condition in held)

    def catalog(self, kind=""):
        return self.api.get("/api/v1/catalog", {"kind": kind})

    # --- traffic ------------------------------------------------------------------------------------------------------

    def ask(self, who, told):
        """Have the client (a key of CLIENTS, or NODE) do something; what it says. Raises AssertionError."""
        agent = self._agents.get(who)
        if agent is None:
            agent = self._agents[who] = self._start(who)
        agent.stdin.write(json.dumps(told) + "\n")
        agent.stdin.flush()
        line = agent.stdout.readline()
        assert line, f"the client {who} has ended: {agent.poll()}"
        said = json.loads(line)
        assert "error" not in said, f"{told}: {said['error']}"
        return said

    def _start(self, who):
        """Its program, by `tulle lab exec`."""
        if who == NODE:
            where = ["node", "--", sys.executable, str(HERE / "programs" / "asker.py")]
        else:
            where = [CLIENTS[who], "-n", who[0], "--", "python", "/conformance/asker.py"]
        return subprocess.Popen(
            [TULLE, "lab", "exec", *where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=self.environment, start_new_session=True,
        )  # fmt: skip

    def from_node(self, host, port, path, method="GET", body=""):
        """A request from outside of the mesh; its body."""
        told = {"do": "ask", "host": host, "port": port, "path": path, "method": method, "body": body,
                "headers": [["host", host]]}  # fmt: skip
        ((status, _, text),) = self.ask(NODE, told)["answers"]
        assert status == 200, (path, status, text)
        return text

    def echo(self, given, path, told=None):
        """Ask an echo server's control port."""
        text = self.from_node(self.ips[_echo_pod(given)], CONTROL, path, "GET" if told is None else "POST",
                              "" if told is None else json.dumps(told))  # fmt: skip
        return json.loads(text)

    def knows(self, who, service, port):
        """Have the client's proxy know a Service: the first call makes it ask."""
        if (who, service, port) in self._warm:
            return
        told = {"do": "ask", "host": ".".join(service[::-1]), "port": port, "path": "/", "headers": [["host", "first"]]}
        self.ask(who, told)
        self._warm.add((who, service, port))
        until(self._in_force, "all proxies to have what they asked for")


def _manifest(objects):
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def until(look, what, seconds=SECONDS):
    """Ask again until `look` holds."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(CliError):  # the API may be busy
            if look():
                return
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.01)


class Cluster:
    """A test's view of the lab."""

    form = "lab"

    def __init__(self, lab, namespace):
        self._lab, self._namespace = lab, namespace
        self._told, self._queue = {}, []
        self.refusals_are_meant = False

    # --- objects --------------------------------------------------------------------------------------------------

    def tell(self, *objects):
        """Apply objects; in force with the next request."""
        self._queue += [("apply", obj) for obj in objects]

    def delete(self, kind, name, namespace="default"):
        self._queue.append(("delete", (kind, namespace, name)))

    def service(self, name, namespace="default", *, headless=False):
        """A Service without endpoints."""
        self.tell(_service(name, namespace, headless=headless))

    async def app(self, given):
        """Its Service is known to the client's proxy, and it answers with 200."""
        namespace, name, _ = named(given)
        self._lab.knows(self._who("", None), (namespace, name), 80)
        await self.be(given)

    def have(self, names):
        """The Services of a test have these pods and no others."""
        wanted = {}
        for given in names:
            namespace, name, version = named(given)
            wanted.setdefault((namespace, name), set()).add(version)
        for service, versions in wanted.items():
            self._lab.endpoints(service, versions)
        self._queue.append(("changed", None))

    async def leave(self, given):
        """Its endpoint leaves the Service."""
        namespace, name, version = named(given)
        self._lab.endpoints((namespace, name), self._lab.versions((namespace, name)) - {version})
        self._queue.append(("changed", None))

    async def silent(self, name):
        """A Service whose one pod takes requests and says nothing."""
        self.have([name])
        self._lab.echo(name, "/be", {"hang": True})

    def _flush(self):
        """Apply what is queued, in its order, and wait until it is in force."""
        if not self._queue:
            return
        for what, group in itertools.groupby(self._queue, key=lambda each: each[0]):
            items = [item for _, item in group]
            if what == "apply":
                # of objects of one name each is applied: the last of them would hide the others
                for batch in _batches(items):
                    self._lab.apply(*batch)
                self._told |= {_key(obj): None for obj in items}
            elif what == "delete":
                for kind, namespace, name in items:
                    self._lab.delete(f"{kind.lower()}s", name, namespace)
        self._queue.clear()
        self._lab.settle()

    def clean(self):
        """Delete what was told; in force with the next test's first request."""
        for kind, namespace, name in self._told:
            plural = "meshpolicies" if kind == "MeshPolicy" else f"{kind.lower()}s"
            self._lab.delete(plural, name, namespace)
        self._told.clear()

    # --- what is said of objects ------------------------------------------------------------------------------------

    async def rows(self, kind="HTTPRoute"):
        """As `GET /api/v1/catalog` has them."""
        self._flush()
        return self._lab.catalog(kind)["objects"].get(kind, [])

    async def rejected(self):
        """What was refused, by source."""
        self._flush()
        return {row["source"]: row["problem"] for row in self._lab.catalog()["rejected"]}

    # --- echo servers -----------------------------------------------------------------------------------------------

    async def be(self, given, *statuses):
        """Answer with each in turn, the last one for ever; what was received is forgotten."""
        self._lab.echo(given, "/be", {"statuses": statuses})

    async def received(self, given, least=0):
        """What it has received, once that is `least` requests."""
        found = []

        def there():
            found[:] = self._lab.echo(given, "/seen")
            return len(found) >= least

        until(there, f"{given} to receive {least} requests")
        return [Request(*(each[name] for name in ("method", "path", "headers", "body", "at"))) for each in found]

    # --- traffic --------------------------------------------------------------------------------------------------

    def _who(self, client, labels):
        return (client or self._namespace, (labels or {}).get("team", ""))

    async def send(self, service="app-b", port=80, client="", labels=None, namespace="default"):
        """Wait until what was told is in force."""
        who = self._who(client, labels)
        self._flush()
        self._lab.knows(who, (namespace, service), port)
        if not self.refusals_are_meant:
            rejected = self._lab.catalog()["rejected"]
            assert not rejected, rejected

    async def _ask(self, method, path, body, times, service, port, client, labels, fields):
        await self.send(service, port, client, labels)
        host = service if port == 80 else f"{service}:{port}"
        told = {"do": "ask", "host": f"{service}.default", "port": port, "method": method, "path": path, "times": times,
                "headers": [["host", host], *fields_of(fields)], "body": body.decode("latin-1")}  # fmt: skip
        return [_got(each) for each in self._lab.ask(self._who(client, labels), told)["answers"]]

    async def request(self, method, path="/", body=b"", *, service="app-b", port=80, client="", labels=None, **fields):
        """One request of a new connection."""
        (answer,) = await self._ask(method, path, body, 1, service, port, client, labels, fields)
        return answer

    async def get(self, path="/", **given):
        return await self.request("GET", path, **given)

    async def many(self, count, path="/", *, service="app-b", port=80, client="", labels=None, **fields):
        """So many GETs over one connection."""
        return await self._ask("GET", path, b"", count, service, port, client, labels, fields)

    async def call_pod(self, given):
        """GET / of a pod's own address."""
        self._flush()
        told = {"do": "ask", "host": self._lab.ips[_echo_pod(given)], "port": ECHO, "path": "/",
                "headers": [["host", "app-b"]]}  # fmt: skip
        (answer,) = self._lab.ask(self._who("", None), told)["answers"]
        return _got(answer)

    async def upgrade(self, path, body, *, service="app-b", port=80):
        """A conversation; the head of the answer and what came back."""
        await self.send(service, port)
        told = {"do": "upgrade", "host": service, "port": port, "path": path, "body": body,
                "headers": [["host", service]]}  # fmt: skip
        said = self._lab.ask(self._who("", None), told)
        return said["head"], said["body"]

    async def counter(self, name):
        """What the client's proxy has counted so far."""
        text = self._lab.from_node(self._lab.ips[self._namespace, CLIENTS[self._who("", None)]], ADMIN, "/metrics")
        starts = (f"tulle_proxy_{name} ", f"tulle_proxy_{name}{{")
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(starts))

    async def routes_taken(self, *paths):
        """Which route took the request for each of these paths, as the client's access log has it."""
        found = {}

        def there():
            lines = []
            request = {"target": CLIENTS[self._who("", None)], "namespace": self._namespace, "container": "tulle-proxy",
                       "follow": False, "tail": 200, "previous": False}  # fmt: skip
            self._lab.client.ask("logs", request, lambda item: lines.append(item["text"]))
            parsed = [json.loads(line) for line in "".join(lines).splitlines() if line.startswith("{")]
            asked = [line for line in parsed if line.get("direction") == "outbound" and "path" in line]
            found.update({line["path"]: line.get("route", "") for line in asked})
            return found.keys() >= set(paths)

        until(there, f"{' and '.join(paths)} in the access log")
        return [found[path] for path in paths]

    @asynccontextmanager
    async def load(self, path, connections=4):
        """Ask without a pause while the block runs; `answers` afterwards, of each connection."""
        await self.send()
        who = self._who("", None)
        self._lab.ask(who, {"do": "load", "host": "app-b", "port": 80, "path": path, "connections": connections,
                            "headers": [["host", "app-b"]]})  # fmt: skip
        load = Load(self._lab, who)
        try:
            yield load
        finally:
            answers = self._lab.ask(who, {"do": "enough"})["answers"]
            load.answers = [[_got(each) for each in mine] for mine in answers]


class Load:
    """See Cluster.load."""

    def __init__(self, lab, who):
        self._lab, self._who = lab, who
        self.answers = []

    async def more(self, count):
        self._lab.ask(self._who, {"do": "more", "count": count})


def _got(each):
    status, headers, text = each
    return Got(status, dict(headers), text.encode("latin-1"))


def _key(obj):
    return obj["kind"], obj["metadata"].get("namespace", "default"), obj["metadata"]["name"]


def _batches(objects):
    """Groups in which no object is there twice."""
    batch = {}
    for obj in objects:
        if _key(obj) in batch:
            yield list(batch.values())
            batch = {}
        batch[_key(obj)] = obj
    if batch:
        yield list(batch.values())


def cluster_in(lab):
    """The `cluster` of tests, in this lab."""

    @asynccontextmanager
    async def cluster(*names, client="default"):
        c = Cluster(lab, client)
        try:
            c.have(names)
            for given in names:
                await c.app(given)
            yield c
        except LabError as error:
            raise AssertionError(str(error)) from error
        finally:
            c.clean()

    return cluster
