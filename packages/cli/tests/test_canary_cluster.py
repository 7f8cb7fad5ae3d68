"""A canary on a cluster: the seam to both kinds of place, and what only a cluster does. An API server that goes away,
loses answers, is written to by others, and refuses.
"""

import json
import socket

import pytest
from tulle_cli.api_client import ApiClient
from tulle_cli.canary import begin, route
from tulle_cli.canary.cluster_objects import ClusterObjects
from tulle_cli.canary.follow import PATIENCE, Follower, RolledBack
from tulle_cli.canary.machine import Seen
from tulle_cli.canary.objects import TRIES, Away, Conflict, LabObjects, NotAllowed, Refused, anew
from tulle_cli.canary.plan import Plan
from tulle_cli.canary.seen import Figures
from tulle_cli.canary.weights import Move
from tulle_cli.cluster import port_forward
from tulle_cli.cluster.kubectl import KubectlFailed
from tulle_cli.errors import CliError

MOVE = Move("demo", "app-b", 80, "app-b2", 80)
PLAN = Plan(steps=(5, 100), every=10.0)


def http_route(name="app-b", **metadata):
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": name, "namespace": "demo", **metadata},
            "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "app-b", "port": 80}],
                     "rules": [{"backendRefs": [{"name": "app-b", "port": 80}]}]}}


# --- the seam: what holds of every adapter -----------------------------------------------------------------


class LabClient:
    """tulle_lab.client.Client, of a lab that holds `memory`."""

    def __init__(self, memory):
        self.memory = memory

    def ask(self, verb, request):
        if verb == "get":
            return {"groups": [{"items": self.memory.list(request["kind"], request["namespace"])}]}
        if verb == "apply":
            for source in request["sources"]:
                self.memory.apply(json.loads(source["text"]))
        else:
            assert (verb, request["missing_ok"]) == ("delete", True)
            for name in request["names"]:
                metadata = {"name": name, "namespace": request["namespace"]}
                self.memory.delete({"kind": request["kind"], "metadata": metadata})
        return {}


@pytest.fixture(params=["memory", "lab", "cluster"])
def adapter(request, memory, cluster):
    """The one that the stories use for the lab, the lab's, and a cluster's."""
    if request.param == "lab":
        pytest.importorskip("tulle_lab.errors", reason="tulle-lab is not installed")
        return LabObjects(LabClient(memory))
    return {"memory": memory, "cluster": cluster}[request.param].adapter


def test_what_is_not_there_is_none(adapter):
    assert adapter.list("HTTPRoute", "demo") == []
    assert adapter.get("HTTPRoute", "demo", "app-b") is None
    adapter.delete(http_route(resourceVersion="7", uid="u7"))


def test_what_is_made_is_found_changed_and_taken_away(adapter):
    labels, annotations = {"team": "shop"}, {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    adapter.apply(http_route(labels=labels, annotations=annotations))
    adapter.apply(http_route("other"))
    assert {one["metadata"]["name"] for one in adapter.list("HTTPRoute", "demo")} == {"app-b", "other"}
    assert adapter.list("HTTPRoute", "else") == adapter.list("GRPCRoute", "demo") == []

    def change():
        found = adapter.get("HTTPRoute", "demo", "app-b")
        found["spec"]["rules"][0]["backendRefs"][0]["weight"] = 7
        adapter.apply(found)

    anew(change)
    found = adapter.get("HTTPRoute", "demo", "app-b")
    assert found["spec"]["rules"] == [{"backendRefs": [{"name": "app-b", "port": 80, "weight": 7}]}]
    assert (found["metadata"]["labels"], found["metadata"]["annotations"]) == (labels, annotations)
    assert (found["apiVersion"], found["kind"]) == ("gateway.networking.k8s.io/v1", "HTTPRoute")
    anew(lambda: adapter.delete(adapter.get("HTTPRoute", "demo", "app-b")))
    assert [one["metadata"]["name"] for one in adapter.list("HTTPRoute", "demo")] == ["other"]


def test_what_can_be_typed_to_look_is_named(adapter):
    assert adapter.get_command.endswith(" get")
    assert adapter.options == "" or adapter.options.startswith(" --control-plane ")


# --- a cluster's adapter ------------------------------------------------------------------------------------


def test_a_change_since_it_was_read_is_a_conflict_and_nothing_is_lost(cluster):
    cluster.apply(http_route())
    found = cluster.adapter.get("HTTPRoute", "demo", "app-b")
    cluster.apply(http_route(labels={"by": "somebody else"}))
    for act in (cluster.adapter.apply, cluster.adapter.delete):
        with pytest.raises(Conflict):
            act(found)
    assert cluster.routes == [http_route(labels={"by": "somebody else"})]
    cluster.delete(found)
    with pytest.raises(Conflict, match="was deleted while it was changed"):
        cluster.adapter.apply(found)
    cluster.apply(http_route())
    with pytest.raises(Conflict):
        cluster.adapter.apply(http_route())  # that it was there was not seen


def test_the_status_is_not_written(cluster):
    cluster.apply(http_route())
    cluster.objects["HTTPRoute", "demo", "app-b"]["status"] = {"parents": ["theirs"]}
    anew(lambda: cluster.adapter.apply(cluster.adapter.get("HTTPRoute", "demo", "app-b")))  # stores.py looks
    assert cluster.writes == 2


def test_kinds_that_the_cluster_does_not_have(cluster):
    cluster.kinds = {"Service"}
    assert cluster.adapter.list("GRPCRoute", "demo") == []
    with pytest.raises(CliError, match="HTTPRoute demo/app-b cannot be made") as error:
        cluster.adapter.apply(http_route())
    assert "Gateway API's CRDs" in error.value.why


@pytest.mark.parametrize("verb", ["update", "delete"])
def test_nothing_is_made_that_cannot_be_taken_away_again(cluster, verb):
    cluster.forbidden = {verb}
    with pytest.raises(NotAllowed, match=f"no right to {verb} httproutes.gateway.networking.k8s.io in namespace demo"):
        cluster.adapter.apply(http_route())
    assert cluster.routes == []


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?", Away),
        ("Unable to connect to the server: context deadline exceeded", Away),
        ("Unable to connect to the server: EOF", Away),
        ("error: http2: client connection lost", Away),
        ("error: unexpected EOF", Away),
        ("error: read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer", Away),
        ("Error from server (ServiceUnavailable): the server is currently unable to handle the request", Away),
        ("Error from server (Timeout): the server was unable to return a response in the time allotted", Away),
        ("Error from server: etcdserver: request timed out", Away),
        ('Error from server (Conflict): Operation cannot be fulfilled on httproutes "app-b"', Conflict),
        ('Error from server (Forbidden): httproutes "a" is forbidden: User "eve" cannot get resource "x"', NotAllowed),
        ('Error from server (Forbidden): admission webhook "w" denied the request: no', Refused),
        ("error: You must be logged in to the server (Unauthorized)", Refused),
        ('The HTTPRoute "app-b" is invalid: spec.rules: Too many', Refused),
        ('error: context "nope" does not exist', Refused),
    ],
)
def test_what_kubectls_words_mean(kubectl, words, kind):
    kubectl.answer(["get --raw", 1, words])
    with pytest.raises(CliError) as error:
        ClusterObjects("kubernetes").get("HTTPRoute", "demo", "app-b")
    assert type(error.value) is kind
    assert words in error.value.why


def test_how_kubectl_is_called(kubectl):
    path = "/apis/gateway.networking.k8s.io/v1/namespaces/demo/httproutes"
    kubectl.answer(["get --raw", 0, json.dumps(http_route())], ["", 0, "{}"])
    objects = ClusterObjects("kubernetes:there")
    objects.get("HTTPRoute", "demo", "app-b")
    objects.apply({**http_route(resourceVersion="7"), "status": {}})
    objects.apply(http_route())
    objects.delete(http_route(resourceVersion="7", uid="u7"))
    before = ["--context", "there", "--request-timeout=10s"]
    read, replaced, *may, created, deleted = kubectl.calls
    assert read == [[*before, "get", "--raw", f"{path}/app-b"], ""]
    assert replaced[0] == [*before, "replace", "--raw", f"{path}/app-b?fieldManager=tulle-canary", "-f", "-"]
    assert json.loads(replaced[1]) == http_route(resourceVersion="7")
    resource = "httproutes.gateway.networking.k8s.io/app-b"
    assert [call for call, _ in may] == [
        [*before, "-n", "demo", "auth", "can-i", verb, resource] for verb in ("update", "delete")
    ]
    assert created[0] == [*before, "create", "--raw", f"{path}?fieldManager=tulle-canary", "-f", "-"]
    assert deleted[0] == [*before, "delete", "--raw", f"{path}/app-b", "-f", "-"]
    assert json.loads(deleted[1])["preconditions"] == {"resourceVersion": "7", "uid": "u7"}


# --- stories that only a cluster has ------------------------------------------------------------------------


class World:
    """A clock; callers whose requests all go well, but for `fails`; `at`: what happens at a second."""

    def __init__(self, cluster, fails=0.0):
        self.cluster, self.fails = cluster, fails
        self.clock, self.trouble, self.told, self.at = 1000.0, "", [], {}
        cluster.apply(route.begun(http_route(), MOVE, PLAN, 1000.0, made=False))

    def now(self):
        return self.clock

    def sleep(self, seconds):
        self.clock += seconds
        assert self.clock < 2000
        self.at.pop(round(self.clock - 1000), lambda: None)()

    def look(self, move, window):
        requests = round(100 * window)
        return Seen(requests, round(requests * self.fails), 0.01)

    def follow(self):
        Follower(self.cluster.adapter, self, self.told.append, self.now, self.sleep).follow("demo", "app-b")

    def goes(self, away):
        def change():
            self.cluster.away = away

        return change

    @property
    def lines(self):
        return [f"{event.percent}% {event.what}" for event in self.told]


def test_an_api_server_that_comes_back_is_waited_for(cluster):
    world = World(cluster)
    world.at = {5: world.goes(True), 60: world.goes(False), 65: world.goes(True), 66 + PATIENCE - 2: world.goes(False)}
    world.follow()
    assert world.lines == ["5% hold", "100% step", "100% hold", "100% done"]
    assert "trying again for 120s: the cluster's API server cannot be asked now: The connection" in world.told[0].text


def test_one_that_stays_away_ends_it_and_it_says_where_the_route_was_left(cluster):
    world = World(cluster)
    world.at = {15: world.goes(True)}
    with pytest.raises(CliError, match="API server cannot be asked now") as error:
        world.follow()
    assert "for 120s it was tried again" in error.value.why
    assert "HTTPRoute app-b is left at 100% (step 2 of 2), and nobody watches it now" in error.value.why
    assert "--abort rolls back" in error.value.next
    assert world.clock == pytest.approx(1000 + 15 + PATIENCE, abs=2)
    cluster.away = False
    world.follow()
    assert world.lines[-1] == "100% done"


@pytest.mark.parametrize(
    ("second", "fails", "lines"),
    [
        (9, 0.0, ["5% hold", "100% step", "100% done"]),
        (15, 0.0, ["100% step", "100% hold", "100% done"]),
        (1, 0.05, ["5% hold", "5% rolled-back"]),
    ],
)
def test_a_write_whose_answer_was_lost_is_found_done(cluster, second, fails, lines):
    world = World(cluster, fails)

    def lose():
        cluster.loses_answers = True

    world.at = {second: lose, 40: world.goes(False)}
    if fails:
        with pytest.raises(RolledBack, match="rolled back at 5%"):
            world.follow()
        assert cluster.routes == [http_route()]
    else:
        world.follow()
    assert world.lines == lines


@pytest.mark.parametrize(("fails", "asked"), [(0.0, "100%"), (0.05, "a rollback")])
def test_a_write_whose_answer_never_comes_is_named(cluster, fails, asked):
    world = World(cluster, fails)

    def lose():
        cluster.loses_answers = True

    world.at = {1: lose}
    with pytest.raises(CliError) as error:
        world.follow()
    assert f"the last that was asked for was {asked}, and whether that was done is not known" in error.value.why


def test_somebody_who_is_always_quicker_is_named_in_the_end(cluster):
    world = World(cluster, 0.05)
    cluster.never_quiet = True
    with pytest.raises(CliError, match="somebody else changes the HTTPRoute in namespace demo all the time") as error:
        world.follow()
    assert "is left at 5%" in error.value.why
    assert "whether that was done" not in error.value.why  # a conflict changes nothing
    assert cluster.conflicts % TRIES == 0
    assert cluster.conflicts <= TRIES * (PATIENCE + 3)
    cluster.never_quiet = False
    with pytest.raises(RolledBack):
        world.follow()
    assert cluster.routes == [http_route()]


def test_what_will_never_go_well_ends_it_at_once(cluster):
    world = World(cluster)

    def expired(*arguments, given=None):
        raise KubectlFailed("kubectl failed", "error: You must be logged in to the server (Unauthorized)")

    world.at = {15: lambda: setattr(cluster, "run", expired)}
    with pytest.raises(CliError) as error:
        world.follow()
    assert "Unauthorized" in error.value.why
    assert "is left at 100%" in error.value.why
    assert world.clock == 1015


def test_a_right_that_was_withdrawn_is_named_and_where_the_route_was_left(cluster):
    world = World(cluster, 0.05)
    cluster.forbidden = {"update"}
    with pytest.raises(CliError, match="no right to update httproutes") as error:
        world.follow()
    assert 'User "eve" cannot update' in error.value.why
    assert "is left at 5%" in error.value.why


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def canary(cluster, api, tulle, monkeypatch):
    """Run `tulle canary ... --control-plane kubernetes`: it begins, and is interrupted."""
    for name in ("app-b", "app-b2"):
        cluster.apply({"kind": "Service", "metadata": {"name": name, "namespace": "demo"},
                       "spec": {"ports": [{"port": 80}]}})  # fmt: skip

    def interrupted(self, namespace, name):
        raise KeyboardInterrupt

    monkeypatch.setattr("tulle_cli.command.canary.ClusterObjects", lambda target: cluster.adapter)
    monkeypatch.setattr("tulle_cli.command.canary.ApiClient", lambda target: ApiClient(api.target))
    monkeypatch.setattr(Follower, "follow", interrupted)
    return lambda *words: tulle("canary", "app-b", *words, "-n", "demo", "--control-plane", "kubernetes")


def test_it_says_how_to_go_on(canary):
    done = canary("--to", "app-b2")
    assert "tulle canary app-b -n demo --control-plane kubernetes goes on" in done.stderr


def test_an_answer_that_is_lost_when_it_begins_or_aborts_can_be_asked_for(canary, cluster):
    for words in (("--to", "app-b2"), ("--abort",)):
        cluster.loses_answers = True
        done = canary(*words)
        assert done.exit_code == 1
        assert "tulle canary app-b -n demo --control-plane kubernetes --status says whether anything" in done.stderr
        cluster.away = False
        assert canary("--status").exit_code == (0 if "--to" in words else 1)


def test_a_cluster_without_grpc_routes(canary, cluster):
    cluster.kinds.discard("GRPCRoute")
    assert "step 1 of 4" in canary("--to", "app-b2").output


def test_of_two_that_begin_at_once_the_second_goes_on_with_the_firsts(canary, cluster, monkeypatch):
    create = cluster._create

    def late(kind, namespace, obj):
        if not cluster.routes:
            cluster.apply(route.begun(route.fresh(MOVE), MOVE, Plan(steps=(7, 100)), 1.0, made=True))
        return create(kind, namespace, obj)

    monkeypatch.setattr(cluster, "_create", late)
    done = canary("--to", "app-b2")
    assert "7%  going on at step 1 of 2" in done.output
    state = route.read(cluster.routes[0])
    assert (state.percent, state.before[0][1][0]["weight"]) == (7, 1)


def test_where_nobody_can_give_figures_nothing_is_begun(canary, cluster, api):
    api.answers["/api/v1/backends"] = (503, {"error": "not yet synced"})
    done = canary("--to", "app-b2")
    assert done.exit_code == 1
    assert "there would be no figures to judge it by" in done.stderr
    assert "not yet synced" in done.stderr
    assert cluster.routes == []


def test_without_the_right_to_look_it_says_so(kubectl, tulle):
    words = 'services is forbidden: User "eve" cannot list resource "services" in API group "" in the namespace "demo"'
    kubectl.answer(["httproutes", 0, '{"items": []}'], ["services", 1, f"Error from server (Forbidden): {words}"])
    done = tulle("canary", "app-b", "--to", "app-b2", "-n", "demo", "--control-plane", "kubernetes:there")
    assert done.exit_code == 1
    assert "you have no right to list services in namespace demo" in done.stderr
    assert words in done.stderr
    assert "kubectl --context there auth can-i list services -n demo" in done.stderr


def test_a_canary_of_a_cluster_is_not_the_labs(kubectl, tulle):
    kubectl.answer(["httproutes", 0, '{"items": []}'])
    done = tulle("canary", "app-b", "--status", "-n", "demo", "--control-plane", "kubernetes")
    assert "there is no canary of app-b in namespace demo" in done.stderr
    assert "tulle canary app-b -n demo --control-plane kubernetes --to SERVICE begins one" in done.stderr


def test_a_port_forward_that_says_nothing_is_not_waited_for(tmp_path, monkeypatch):
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(port_forward, "PATIENCE", 0.05)
    with pytest.raises(CliError, match="the control plane of the cluster cannot be reached") as error:
        port_forward.PortForward("kubernetes").port()
    assert "said nothing" in error.value.why


def test_a_port_forward_that_leads_nowhere_is_started_again(tmp_path, monkeypatch):
    with socket.socket() as bound:  # and nobody listens
        bound.bind(("127.0.0.1", 0))
        program = tmp_path / "kubectl"
        line = f"Forwarding from 127.0.0.1:{bound.getsockname()[1]} -> 8085"
        program.write_text(f"#!/bin/sh\necho once >> {tmp_path}/starts\necho '{line}'\nexec sleep 60\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        figures = Figures(ApiClient("kubernetes"))
        assert figures.look(MOVE, 5.0) is figures.look(MOVE, 5.0) is None
        assert "no control plane answers at kubernetes" in figures.trouble
    assert (tmp_path / "starts").read_text() == "once\nonce\n"


def test_begin_is_bounded(cluster):
    cluster.apply(http_route())
    cluster.never_quiet = True
    with pytest.raises(Conflict):
        anew(lambda: begin.begin(cluster.adapter, MOVE, PLAN, None, 0.0))
    assert cluster.conflicts == TRIES
