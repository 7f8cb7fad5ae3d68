"""A whole canary against objects in memory and a mesh that is arithmetic; killed, touched, aborted. No time passes.

Everything happens twice: in the lab, and on a cluster, where each write meets somebody who was quicker (stores.py).
"""

import json

import pytest
from tulle_cli.api_client import ApiClient
from tulle_cli.canary import route
from tulle_cli.canary.follow import Follower, RolledBack
from tulle_cli.canary.machine import Seen
from tulle_cli.canary.objects import LabObjects
from tulle_cli.canary.plan import Plan
from tulle_cli.canary.seen import Figures
from tulle_cli.canary.weights import Move
from tulle_cli.errors import CliError

MOVE = Move("demo", "app-b", 80, "app-b2", 80)


def service(name, *ports):
    return {"kind": "Service", "metadata": {"name": name, "namespace": "demo"},
            "spec": {"ports": [{"port": port} for port in ports or (80,)]}}


def http_route(name="app-b", parent="app-b", backends=None, **metadata):
    rules = [{"backendRefs": backends or [{"name": parent, "port": 80}]}]
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": name, "namespace": "demo", **metadata},
            "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": parent, "port": 80}], "rules": rules}}


class World:
    """A clock, and callers who make `rate` requests a second; `fails(percent)` is the canary's rate of failure."""

    def __init__(self, objects, rate=100.0, fails=lambda percent: 0.0, p99=0.01):
        self.objects, self.rate, self.fails, self.p99 = objects, rate, fails, p99
        self.clock, self.trouble, self.away = 1000.0, "", False
        self.told, self.cost, self.killed_at = [], 0.0, float("inf")

    def now(self):
        return self.clock

    @property
    def percent(self):
        for one in self.objects.routes:
            for rule in one["spec"]["rules"]:
                refs = rule.get("backendRefs") or []
                total = sum(ref.get("weight", 1) for ref in refs)
                for ref in refs:
                    if ref["name"] == "app-b2":
                        return 100 * ref["weight"] / total
        return 0.0

    def sleep(self, seconds):
        if self.clock >= self.killed_at:
            raise KeyboardInterrupt
        self.clock += seconds
        self.cost += self.rate * self.percent / 100 * self.fails(self.percent) * seconds

    def look(self, move, window):
        assert move == MOVE
        self.trouble = "no control plane answers" if self.away else ""
        if self.away:
            return None
        requests = round(self.rate * self.percent / 100 * window)
        return Seen(requests, round(requests * self.fails(self.percent)), self.p99 if requests else None)

    def follow(self, name="app-b"):
        Follower(self.objects.adapter, self, self.told.append, self.now, self.sleep).follow("demo", name)

    @property
    def lines(self):
        return [f"{event.percent}% {event.what}" for event in self.told]


def started(objects, *backends, **plan):
    """A world in which the first step has just been written; and the route as it was before."""
    before = http_route(backends=list(backends) or None, annotations={"team": "shop"})
    plan = {"steps": (5, 25, 100), "min_success": 99.5, **plan}
    objects.apply(route.begun(before, MOVE, Plan(**plan), 1000.0, made=False))
    return World(objects), before


def test_a_good_version_reaches_all(store):
    world, _ = started(store)
    world.follow()
    assert world.lines == ["25% step", "100% step", "100% done"]
    assert world.clock - 1000 == pytest.approx(90, abs=5)  # 30 s each, in looks of one second
    (one,) = world.objects.routes
    assert [ref["weight"] for ref in one["spec"]["rules"][0]["backendRefs"]] == [0, 100]
    assert route.read(one).phase == route.DONE
    writes = world.objects.writes
    world.follow()  # once more: it is done
    assert world.objects.writes == writes


def test_a_bad_version_is_rolled_back_at_the_first_step_and_the_route_is_as_it_was(store):
    world, before = started(store, {"name": "app-b", "port": 80})
    world.fails = lambda percent: 0.05
    with pytest.raises(RolledBack, match=r"rolled back at 5%") as error:
        world.follow()
    assert "below 99.5%" in error.value.why or "too many already for 99.5% of 100" in error.value.why
    assert world.lines == ["5% rolled-back"]
    assert world.objects.routes == [before]
    assert world.clock - 1000 < 30  # not at the end of the step
    assert world.cost < 100 * 0.05 * 30 * 0.05


def test_it_is_rolled_back_at_whichever_step_the_bar_is_missed(store):
    world, before = started(store)
    world.fails = lambda percent: 0.02 if percent > 50 else 0.0
    with pytest.raises(RolledBack, match="at 100%"):
        world.follow()
    assert world.lines == ["25% step", "100% step", "100% rolled-back"]
    assert world.objects.routes == [before]


def test_a_slow_version_is_rolled_back(store):
    world, before = started(store, max_p99=0.05)
    world.p99 = 0.08
    with pytest.raises(RolledBack) as error:
        world.follow()
    assert "p99 80ms is above 50ms" in error.value.why
    assert world.objects.routes == [before]


@pytest.mark.parametrize("killed_at", [1000.0, 1029.0, 1031.0, 1065.0])
def test_killed_at_any_time_it_goes_on_where_it_was(store, killed_at):
    world, _ = started(store)
    world.killed_at = killed_at
    with pytest.raises(KeyboardInterrupt):
        world.follow()
    world.killed_at = float("inf")
    world.clock += 7.0  # nobody watched
    world.follow()
    assert world.lines == ["25% step", "100% step", "100% done"]
    assert world.clock - 1000 == pytest.approx(93, abs=9)


def test_what_went_wrong_while_nobody_watched_is_seen_when_it_is_started_again(store):
    world, before = started(store)
    world.killed_at = 1001.0
    with pytest.raises(KeyboardInterrupt):
        world.follow()
    world.killed_at, world.clock, world.fails = float("inf"), world.clock + 500.0, lambda percent: 0.05
    with pytest.raises(RolledBack):
        world.follow()
    assert world.objects.routes == [before]
    assert world.told[-1].seen.requests > 2000  # all of the time since the step began


def test_with_too_few_requests_it_holds_and_says_so_now_and_then(store):
    world, _ = started(store)
    world.rate = 1.0
    world.killed_at = 1100.0
    with pytest.raises(KeyboardInterrupt):
        world.follow()
    assert set(world.lines) == {"5% hold"}
    assert 2 <= len(world.told) <= 4
    assert "of 100 requests: too few to judge" in world.told[0].text
    world.killed_at, world.rate = float("inf"), 100.0
    world.follow()
    assert world.lines[-1] == "100% done"


def test_without_the_control_plane_it_holds_and_says_why(store):
    world, _ = started(store)
    world.away, world.killed_at = True, 1050.0
    with pytest.raises(KeyboardInterrupt):
        world.follow()
    assert "no control plane answers" in world.told[0].text
    assert world.percent == 5
    world.away, world.killed_at = False, float("inf")
    world.follow()
    assert world.lines[-1] == "100% done"


def test_weights_that_somebody_else_has_changed_are_not_overwritten(store):
    world, _ = started(store)
    changed = world.objects.routes[0]
    changed["spec"]["rules"][0]["backendRefs"][0]["weight"] = 1
    world.objects.apply(changed)
    with pytest.raises(CliError, match="somebody else has changed the weights of HTTPRoute demo/app-b"):
        world.follow()
    assert world.objects.routes == [changed]


def test_a_canary_that_somebody_else_has_ended_is_over(store):
    world, before = started(store)
    world.objects.apply(before)
    with pytest.raises(CliError, match="carries no canary any more"):
        world.follow()
    assert world.objects.routes == [before]
    world.objects.delete(before)
    with pytest.raises(CliError, match="carries no canary any more"):
        world.follow()


# --- the command ------------------------------------------------------------------------------------------


@pytest.fixture
def objects(store, monkeypatch):
    """Objects that `tulle canary` finds."""
    for one in (service("app-b"), service("app-b2"), service("many", 80, 81)):
        store.apply(one)
    if store.name == "lab":
        monkeypatch.setattr(LabObjects, "default", classmethod(lambda cls: store.adapter))
    else:
        monkeypatch.setattr("tulle_cli.command.canary.ClusterObjects", lambda target: store.adapter)
    return store


@pytest.fixture
def canary(objects, api, tulle, monkeypatch):
    """Run `tulle canary ...`; each second a second passes, in which 100 requests are made."""
    world = World(objects)
    monkeypatch.setattr("tulle_cli.command.canary.ApiClient", lambda target: ApiClient(api.target))
    monkeypatch.setattr("tulle_cli.command.canary.time.time", world.now)

    def follower(adapter, figures, tell):
        return Follower(adapter, world, tell, world.now, world.sleep)

    monkeypatch.setattr("tulle_cli.command.canary.Follower", follower)
    run = lambda *words: tulle("canary", *words, "-n", "demo", *objects.options.split())  # noqa: E731
    run.world = world
    return run


def test_the_command_from_begin_to_end(canary, objects, golden):
    done = canary("app-b", "--to", "app-b2", "--steps", "5,100", "--every", "10s")
    assert done.exit_code == 0
    golden("canary-good.txt", done.output)
    (one,) = objects.routes
    assert one["metadata"]["name"] == "app-b-canary"


def test_a_canary_that_fails_exits_with_1_and_says_what_to_look_at(canary, objects, golden):
    canary.world.fails = lambda percent: 0.05
    done = canary("svc/app-b", "--to", "app-b2:80", "--max-p99", "50ms", "--min-success", "99.5")
    assert done.exit_code == 1
    golden("canary-bad.txt", done.output.replace(" --control-plane kubernetes", ""))
    assert objects.routes == []  # it had been made for the canary


def test_the_command_as_json_lines(canary, objects):
    objects.apply(http_route())
    done = canary("app-b", "--to", "app-b2", "--steps", "50", "--every", "5s", "-o", "json")
    events = [json.loads(line) for line in done.output.splitlines()]
    assert [event["event"] for event in events] == ["step", "done"]
    assert events[-1]["requests"] >= 100
    assert events[-1]["success"] == 1.0


def test_interrupted_the_weights_stay_and_the_bare_command_goes_on(canary, objects):
    canary.world.killed_at = 1003.0
    done = canary("app-b", "--to", "app-b2", "--steps", "5,100", "--every", "10s")
    assert done.exit_code == 1
    assert "interrupted: the weights stay" in done.stderr
    assert canary.world.percent == 5
    canary.world.killed_at = float("inf")
    other = canary("app-b", "--to", "app-b2", "--every", "20s")
    assert other.exit_code == 1
    assert "every 20.0 instead of 10.0" in other.stderr
    other = canary("app-b", "--to", "many")
    assert "to many instead of app-b2" in other.stderr
    done = canary("app-b")
    assert done.exit_code == 0
    assert done.output.startswith("  5%  going on at step 1 of 2")
    assert "100%  done" in done.output


@pytest.mark.parametrize("phase", ["running", "done"])
def test_abort_puts_the_route_back_also_when_it_is_done(canary, objects, phase):
    before = http_route(backends=[{"name": "app-b", "port": 80}])
    objects.apply(before)
    canary.world.killed_at = 1003.0 if phase == "running" else float("inf")
    canary("app-b", "--to", "app-b2", "--every", "5s")
    assert objects.routes != [before]
    done = canary("app-b", "--abort")
    assert (done.exit_code, objects.routes) == (0, [before])
    assert "rolled back: asked for by --abort" in done.output
    assert canary("app-b", "--abort").exit_code == 1


def test_abort_does_not_touch_what_somebody_else_has_changed(canary, objects):
    canary.world.killed_at = 1003.0
    canary("app-b", "--to", "app-b2")
    changed = objects.routes[0]
    changed["spec"]["rules"][0]["backendRefs"][1]["weight"] = 50
    objects.apply(changed)
    done = canary("app-b", "--abort")
    assert done.exit_code == 1
    assert "somebody else has changed the weights" in done.stderr
    assert objects.routes == [changed]


def test_status(canary, objects, api, golden):
    canary.world.killed_at = 1010.0
    canary("app-b", "--to", "app-b2")
    writes = objects.writes
    done = canary("app-b", "--status")
    golden("canary-status.txt", done.output)
    assert api.asked[-1] == (
        "/api/v1/backends", {"namespace": "demo", "service": "app-b", "window": "8s0ms"},
    )  # fmt: skip
    told = json.loads(canary("app-b", "--status", "-o", "json").output)
    assert (told["percent"], told["phase"], told["requests"], told["failures"]) == (5, "running", 150, 3)
    assert objects.writes == writes
    api.answers["/api/v1/backends"] = (503, {"error": "not yet synced"})
    assert "not yet synced" in canary("app-b", "--status").output


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["app-b"], 2, "--to SERVICE begins one"),
        (["app-b", "--status"], 1, "there is no canary of app-b in namespace demo"),
        (["app-b", "--status", "--abort"], 2, "exclude each other"),
        (["app-b", "--to", "app-b"], 1, "cannot be its own canary"),
        (["app-b", "--to", "nobody"], 1, "there is no Service nobody in namespace demo"),
        (["nobody", "--to", "app-b"], 1, "there are: app-b, app-b2, many"),
        (["app-b", "--to", "app-b2:81"], 1, "Service app-b2 has no port 81"),
        (["app-b", "--to", "app-b2:http"], 1, "is no port"),
        (["many", "--to", "app-b2"], 1, "which port of Service many?"),
        (["app-b", "--to", "app-b2", "--steps", "5,3"], 2, "rising percentages"),
        (["app-b", "--to", "app-b2", "--steps", "x"], 2, "such as 5,25,50,100"),
        (["app-b", "--to", "app-b2", "--max-p99", "50"], 2, "a duration such as"),
        (["app-b", "--to", "app-b2", "--min-success", "0"], 2, "--min-success: expected percent"),
        (["app-b", "--to", "app-b2", "--route", "none"], 1, "no HTTPRoute 'none' of app-b:80"),
        (["deploy/app-b", "--to", "app-b2"], 2, "is no Service"),
    ],
)
def test_what_is_refused_changes_nothing(canary, objects, words, code, said):
    writes = objects.writes
    done = canary(*words)
    assert done.exit_code == code
    assert said in " ".join(done.stderr.split())
    assert objects.writes == writes


def test_several_routes_or_a_name_that_is_taken_are_refused(canary, objects):
    objects.apply(http_route("first"))
    objects.apply(http_route("second"))
    done = canary("app-b", "--to", "app-b2")
    assert "first, second" in done.stderr
    canary.world.killed_at = 0.0
    assert "HTTPRoute second (1 of its rules)" in canary("app-b", "--to", "app-b2", "--route", "second").output
    objects.objects.clear()
    for one in (service("app-b"), service("app-b2"), http_route("app-b-canary", parent="other")):
        objects.apply(one)
    assert "the name app-b-canary is taken" in canary("app-b", "--to", "app-b2").stderr


def test_a_service_with_a_grpc_route_is_refused(canary, objects):
    objects.apply({**http_route("calls"), "kind": "GRPCRoute"})
    writes = objects.writes
    done = canary("app-b", "--to", "app-b2")
    assert done.exit_code == 1
    assert "app-b has a GRPCRoute, calls" in done.stderr
    assert objects.writes == writes


def test_a_service_of_several_ports_is_told_which(canary, objects):
    canary.world.killed_at = 0.0
    done = canary("many", "--port", "81", "--to", "app-b2")  # whose only port is another
    assert done.exit_code == 1
    state = route.read(objects.routes[0])
    assert (state.move.port, state.move.to_port) == (81, 80)


# --- the control plane's figures, and the lab's objects ---------------------------------------------------


def test_figures_of_the_canary_alone(api):
    figures = Figures(ApiClient(api.target))
    assert figures.look(MOVE, 28.5) == Seen(150, 3, 0.3401)
    assert api.asked == [("/api/v1/backends", {"namespace": "demo", "service": "app-b", "window": "28s500ms"})]
    assert figures.look(Move("demo", "app-b", 80, "app-b3", 80), 599.9999) == Seen(0, 0)
    assert api.asked[-1][1]["window"] == "600s0ms"
    api.answers["/api/v1/backends"] = (500, {"error": "no"})
    assert figures.look(MOVE, 5.0) is None
    assert figures.trouble
    del api.answers["/api/v1/backends"]
    assert figures.look(MOVE, 5.0) is None


def test_the_labs_objects_and_its_errors():
    lab = pytest.importorskip("tulle_lab.errors", reason="tulle-lab is not installed")

    class Client:
        asked = []  # noqa: RUF012

        def ask(self, verb, request):
            self.asked.append((verb, request))
            if verb == "delete":
                raise lab.LabError("no lab is running", "", "tulle lab up")
            return {"groups": [{"items": [http_route(uid="7", resourceVersion="3", generation=2)]}]}

    objects = LabObjects(Client())
    found = objects.get("HTTPRoute", "demo", "app-b")
    assert objects.get("HTTPRoute", "demo", "else") is None
    objects.apply(found)
    verb, request = Client.asked[-1]
    assert (verb, request["namespace"]) == ("apply", "demo")
    assert json.loads(request["sources"][0]["text"]) == http_route()  # what the server owns is left out
    with pytest.raises(CliError, match="no lab is running"):
        objects.delete(found)
