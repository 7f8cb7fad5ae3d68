"""The whole story, told against a lab of the imagination: it comes true there, and each lie ends it with exit 1."""

import json
from collections import Counter
from pathlib import Path

import pytest
from tulle_cli.demo import story
from tulle_cli.demo.chapters import killed, scale
from tulle_cli.demo.lab import Lab, LabFailed
from tulle_cli.demo.stage import NotTrue, Stage
from tulle_cli.errors import CliError
from tulle_cli.terminal import ASCII

MANIFESTS = Path(__file__).parents[3] / "deploy" / "sample-app"


def pod(name, app, *, restarts=0, injected=True):
    sidecars = [{"name": "tulle-init"}, {"name": "tulle-proxy"}] if injected else []
    return {
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {"initContainers": sidecars, "containers": [{"name": "app"}]},
        "status": {"podIP": "10.1.0.9", "conditions": [{"type": "Ready", "status": "True"}],
                   "containerStatuses": [{"name": "app", "restartCount": restarts, "containerID": "tulle://77"}]},
    }


class Imagined(Lab):
    """A lab that needs no machine. Each look at app-a's counters finds 100 calls more."""

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        self.commands = []
        self.replicas, self.canary, self.restarts, self.running = 3, False, 0, False
        self.counts = Counter()
        self.total = self.failed = 0
        self.path, self.rate, self.rates, self.looks, self.started = "", 100.0, [], 0, 1.5
        # the lies that a test may tell
        self.failing = lambda: False
        self.started_anew = self.slow = lambda: False
        self.skewed = self.not_injected = self.deaf_to_routes = self.stays_dead = self.served_by_another = False

    def is_running(self):
        return self.running

    def up(self, manifests, each):
        self.run("up", "-f", str(manifests))
        each("ready")

    def run(self, *words, stdin="", seconds=0.0):
        self.commands.append(" ".join(words))
        match words:
            case ("up", *_):
                self.running = True
            case ("down",):
                self.running = False
            case ("scale", *_):
                self.replicas = 5
            case ("apply", *_):
                self.canary = not self.deaf_to_routes
            case ("exec", "-n", "tulle-system", *_):
                self.restarts += not self.stays_dead
                raise LabFailed("the container is gone")
            case ("exec", "node", *_):
                return "-A TULLE_OUTPUT -p tcp -m comment --comment tulle:redirect -j REDIRECT --to-ports 4140\n"
            case ("logs", name, *_):
                return self.log(name)
        return ""

    def log(self, name):
        if name == "a-1":
            chosen = "b-1" if self.served_by_another else "b-0"
            lines = [{"direction": "inbound"}, {"direction": "outbound", "pod": chosen, "endpoint": "10.1.0.3:8080"}]
        else:
            lines = [{"direction": "inbound"}]
        return "\n".join(json.dumps({**line, "path": self.path, "status": 200, "duration_ms": 1.0}) for line in lines)

    def items(self, kind, namespace):
        if namespace == "tulle-system":
            return [pod("tulle-control-plane-1", "cp", restarts=self.restarts)]
        return [
            pod("a-1", "app-a", injected=not self.not_injected), pod("b2-1", "app-b2"),
            *(pod(f"b-{n}", "app-b") for n in range(self.replicas)),
        ]

    def curl(self, url):
        if url.endswith("/knobs"):
            return json.dumps({"load_rps": self.rate})
        if not url.endswith("/stats"):
            self.path = url.removeprefix("http://app-a.demo")
            return json.dumps({"pod": "a-1", "upstream": {
                "status": 200, "answer": {"app": "app-b", "version": "v1", "pod": "b-0"}}})
        self.looks += 1
        if self.started_anew():
            self.forget()
            self.started += 1
        if not self.rate:  # it pauses: what is under way ends, one call a look
            self.ending, self.failed = max(0, self.ending - 1), self.failed + (self.ending > 0)
            return self.stats(under_way=self.ending)
        self.total += 100
        self.failed += self.failing()
        to_b = 90 if self.canary else 100
        for n in range(self.replicas):
            share = to_b / self.replicas + (10 if self.skewed and n == 0 else -10 if self.skewed and n == 1 else 0)
            self.counts[f"app-b v1 b-{n}"] += round(share)
        if self.canary:
            self.counts["app-b v2 b2-1"] += 10
        return self.stats(under_way=90 if self.slow() else 1)

    def stats(self, under_way):
        upstream = {
            "total": self.total, "failed": self.failed, "in_flight": under_way, "answered_by": dict(self.counts)}
        return json.dumps({"pod": "a-1", "started_at": self.started, "upstream": upstream})

    def post(self, url, data):
        if url.endswith("/stats"):
            assert self.ending == 0, "it begins to count before all of its first calls have ended"
            self.forget()
        else:
            self.rate = float(data.removeprefix("load_rps="))
            self.rates.append(self.rate)
        return ""

    ending = 3

    def forget(self):
        self.total = self.failed = 0
        self.counts.clear()


class ImaginedApi:
    def __init__(self, lab, success=1.0):
        self.lab, self.success = lab, success

    def get(self, path, query=None):
        figures = {"requests": 9, "rps": 100.0, "success": self.success, "latency_p50": 0.001, "latency_p99": 0.002}
        return {
            "/api/v1/edges": {"rows": [{
                "src": "deployment/app-a", "dst": "deployment/app-b", "src_namespace": "demo", "dst_namespace": "demo",
                "secured": False, **figures}]},
            "/api/v1/stat": {"rows": [{"namespace": "demo", "kind": "deployment", "name": "app-b", **figures}]},
            "/api/v1/proxies": {"counts": {"SYNCED": len(self.lab.items("pods", "demo"))}},
        }[path]


class Clock:
    time = 0.0

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds


@pytest.fixture
def lab(tmp_path):
    return Imagined(tmp_path)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tell(lab, monkeypatch, clock):
    api = ImaginedApi(lab)
    monkeypatch.setattr(story, "ApiClient", lambda target: api)

    def run(keep=False, success=1.0):
        api.success = success
        story.tell(MANIFESTS, keep=keep, stage=Stage(clock.now, clock.sleep, ASCII), lab=lab)

    return run


def test_the_story_comes_true_and_cleans_up(lab, tell, capsys):
    tell()
    told = capsys.readouterr().out
    titles = [line for line in told.splitlines() if line[1:3] == ". "]
    assert titles == [
        "1. A mesh starts", "2. One request's way", "3. Who calls whom", "4. More replicas", "5. A canary",
        "6. The control plane is killed", "7. Your turn",
    ]
    assert lab.commands[0] == f"up -f {MANIFESTS}"
    assert lab.commands[-1] == "down"
    assert "0 failed (counted by app-a itself)" in told
    assert "make demo KEEP=1" in told
    assert len(told.split()) < 700, "under a minute and a half of reading, tables included"


def test_keep_leaves_the_lab(lab, tell, capsys):
    tell(keep=True)
    assert lab.running
    assert "tulle top -n demo" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lie", "what"),
    [
        ({"not_injected": True}, "each has a proxy"),
        ({"served_by_another": True}, "served it"),
        ({"skewed": True}, "a fifth of the calls"),
        ({"deaf_to_routes": True}, "waited 180 s in vain for: the first call to reach v2"),
        ({"stays_dead": True}, "waited 180 s in vain for: the control plane to be gone"),
    ],
)
def test_what_is_not_true_ends_it_and_the_lab(lab, tell, lie, what):
    vars(lab).update(lie)
    with pytest.raises(NotTrue) as caught:
        tell()
    assert what in caught.value.what
    assert "tulle demo --keep" in caught.value.next
    assert not lab.running


def test_one_failed_call_is_enough(lab, tell):
    lab.failing = lambda: lab.replicas == 5 and lab.failed == 0
    with pytest.raises(NotTrue, match="0 failed") as caught:
        tell()
    assert caught.value.why.startswith("1 of ")


def test_a_failed_call_while_the_control_plane_was_away(lab, tell):
    lab.failing = lambda: lab.restarts == 1
    with pytest.raises(NotTrue, match="0 failed"):
        tell()


def test_what_failed_before_the_story_begins_does_not_count(lab, tell, capsys):
    lab.total, lab.failed = 170, 39
    tell()
    assert lab.rates == [0.0, 100.0]
    assert " 39 " not in capsys.readouterr().out


def test_a_machine_that_cannot_follow_gets_less_to_do_and_says_so(lab, tell, capsys):
    lab.slow = lambda: lab.rate > 20 and lab.looks > 6
    tell()
    assert lab.rates == [0.0, 100.0, 50.0, 25.0, 12.0]
    assert "from here on, app-a calls 12 times a second" in capsys.readouterr().out


def test_a_machine_whose_commands_take_long_gets_less_to_do_from_the_beginning(lab, tell, clock, monkeypatch):
    looked = lab.curl

    def late(url):
        clock.sleep(4 if lab.rate > 20 else 1)
        return looked(url)

    monkeypatch.setattr(lab, "curl", late)
    tell()
    assert lab.rates == [0.0, 100.0, 50.0, 25.0, 12.0]


def test_the_load_has_a_least(lab, tell):
    lab.slow = lambda: True
    tell()
    assert lab.rates[-1] == 10.0


@pytest.mark.parametrize("look", range(6, 14))
def test_an_app_that_is_started_anew_is_counted_right_and_said(lab, tell, capsys, look):
    lab.started_anew = lambda: lab.looks == look
    tell()
    told = capsys.readouterr().out
    assert ", which was started anew in the meantime)" in told
    assert "-" not in [line.split()[1][:1] for line in told.splitlines() if " calls " in line]


def test_a_call_that_fails_after_it_was_started_anew_counts(lab, tell):
    lab.started_anew = lambda: lab.looks == 6
    lab.failing = lambda: lab.looks == 7
    with pytest.raises(NotTrue, match="0 failed"):
        tell()


def test_a_success_rate_below_one(tell):
    with pytest.raises(NotTrue, match="every call succeeds") as caught:
        tell(success=0.999)
    assert caught.value.why == "its success rate is 0.999"


def test_a_claim_that_fails_leaves_the_lab_when_asked_to(lab, tell):
    lab.skewed = True
    with pytest.raises(NotTrue) as caught:
        tell(keep=True)
    assert lab.running
    assert caught.value.next == "tulle proxy config app-a -n demo"


def test_a_lab_that_runs_is_not_touched(lab, tell):
    lab.running = True
    with pytest.raises(CliError, match="a lab is already running"):
        tell()
    assert lab.commands == []


def test_the_canary_weight_is_the_manifests():
    import yaml
    from tulle_cli.demo.chapters import canary

    [route] = yaml.safe_load_all((MANIFESTS / "canary" / "httproute.yaml").read_text())
    weights = {ref["name"]: ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"]}
    assert weights == {"app-b": 100 - canary.WEIGHT, "app-b2": canary.WEIGHT}


def test_the_manifests_are_found(monkeypatch):
    monkeypatch.chdir(MANIFESTS / "canary")
    assert (story.manifests() / "app-a.yaml").is_file()
    assert scale.REPLICAS == 5
    assert killed.CALLS > 0


def test_a_lab_command_that_fails_says_what_it_said(tmp_path):
    with pytest.raises(LabFailed) as caught:
        Lab(tmp_path).run("no-such-command")
    assert caught.value.what == "`tulle lab no-such-command` failed"
    assert "no-such-command" in caught.value.why or "No such command 'lab'" in caught.value.why
