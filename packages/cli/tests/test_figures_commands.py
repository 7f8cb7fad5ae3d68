"""stat, edges, top: columns as linkerd has them, JSON as the control plane sent it, and what is said of nothing."""

import json

import pytest
from tulle_cli import figures


def test_stat_shows_workloads_of_the_namespace(api, tulle, golden):
    done = tulle("stat", "-n", "demo", "--control-plane", api.target)
    assert done.exit_code == 0
    golden("stat.txt", done.output)
    assert api.asked == [("/api/v1/stat", {"namespace": "demo", "window": "30s"})]


def test_stat_of_everything(api, tulle, golden):
    done = tulle("stat", "-A", "--window", "1m", "--control-plane", api.target)
    golden("stat-all.txt", done.output)
    assert api.asked == [("/api/v1/stat", {"window": "1m"})]


def test_all_namespaces_wins_wherever_it_stands(api, tulle):
    for args in (["-A", "-n", "demo"], ["-n", "demo", "-A"]):
        api.asked.clear()
        tulle("stat", *args, "--control-plane", api.target)
        assert api.asked == [("/api/v1/stat", {"window": "30s"})]


def test_stat_of_a_service(api, tulle, golden):
    done = tulle("stat", "svc/app-b", "-n", "demo", "--control-plane", api.target)
    golden("stat-service.txt", done.output)
    assert api.asked[0][1]["kind"] == "service"


def test_stat_as_json_is_the_answer_with_the_rows_that_were_asked_for(api, tulle):
    done = tulle("stat", "deploy", "-n", "demo", "-o", "json", "--control-plane", api.target)
    answer = json.loads(done.output)
    assert answer["window"] == 30.0
    assert [row["name"] for row in answer["rows"]] == ["app-a", "app-b"]


def test_an_empty_namespace_says_where_there_is_something(api, tulle):
    done = tulle("stat", "--control-plane", api.target)
    assert done.exit_code == 0
    assert done.output == (
        "There is no workload in namespace default. There are some in demo, other: -n NAMESPACE, or -A for all.\n"
    )


def test_a_kind_that_is_nowhere_is_not_said_to_be_elsewhere(api, tulle):
    done = tulle("stat", "pod", "-n", "demo", "--control-plane", api.target)
    assert done.output == "There is no pod without a workload in namespace demo.\n"


def test_a_workload_that_is_not_there_is_an_error(api, tulle):
    done = tulle("stat", "deploy/nope", "-n", "demo", "--control-plane", api.target)
    assert done.exit_code == 1
    assert "there is no deployment 'nope' in namespace demo" in done.stderr
    assert "tulle stat deployment -A" in done.stderr


def test_an_unknown_kind_is_a_usage_error(tulle):
    done = tulle("stat", "foo/bar")
    assert done.exit_code == 2
    assert "'foo' is not a kind with figures" in done.stderr


def test_a_window_that_the_control_plane_refuses_is_a_usage_error(api, tulle):
    api.answers["/api/v1/stat"] = (400, {"error": 'window: expected a duration such as "30s", got "soon"'})
    done = tulle("stat", "--window", "soon", "--control-plane", api.target)
    assert done.exit_code == 2
    assert 'expected a duration such as "30s"' in done.stderr


def test_backends_of_a_service(api, tulle, golden):
    done = tulle("stat", "svc/app-b", "-n", "demo", "--backends", "--window", "1m", "--control-plane", api.target)
    assert done.exit_code == 0
    golden("stat-backends.txt", done.output)
    assert api.asked == [("/api/v1/backends", {"namespace": "demo", "service": "app-b", "window": "1m"})]
    done = tulle("stat", "--backends", "-o", "json", "-n", "demo", "--control-plane", api.target)
    assert json.loads(done.output) == api.answers["/api/v1/backends"]


def test_backends_that_nobody_called(api, tulle):
    done = tulle("stat", "svc/app-b", "--backends", "--control-plane", api.target)
    assert done.output == (
        "No caller in the mesh has called Service app-b of namespace default in the last 30s. "
        "-A looks at all of them.\n"
    )


def test_backends_are_of_services(tulle):
    done = tulle("stat", "deploy/app-b", "--backends")
    assert done.exit_code == 2
    assert "tulle stat svc/app-b --backends" in done.stderr


def test_edges(api, tulle, golden):
    done = tulle("edges", "-n", "demo", "--control-plane", api.target)
    assert done.exit_code == 0
    golden("edges.txt", done.output)


def test_edges_in_ascii(api, tulle, golden):
    done = tulle("edges", "-A", "--control-plane", api.target, charset="ascii")
    golden("edges-ascii.txt", done.output)


def test_edges_as_json_is_the_answer(api, tulle):
    done = tulle("edges", "-A", "-o", "json", "--control-plane", api.target)
    assert json.loads(done.output) == api.answers["/api/v1/edges"]


def test_top_prints_tables_where_there_is_no_terminal_busiest_first(api, tulle):
    done = tulle("top", "-A", "--count", "2", "--interval", "0.1", "--control-plane", api.target)
    assert done.exit_code == 0
    tables = done.output.split("\n\n")
    assert len(tables) == 2
    assert [line.split()[1] for line in tables[0].splitlines()] == ["NAME", "app-b", "web", "app-a"]


def test_ctrl_c_is_the_ordinary_end_of_top(api, tulle, monkeypatch):
    def interrupted(seconds):
        if seconds:
            raise KeyboardInterrupt

    monkeypatch.setattr("tulle_cli.command.top.time.sleep", interrupted)
    done = tulle("top", "-A", "--control-plane", api.target)
    assert done.exit_code == 0
    assert done.output.startswith("NAMESPACE")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.0, "0.00ms"), (0.00085, "0.85ms"), (0.0012, "1.2ms"), (0.0995, "100ms"), (2.5, "2.50s")],
)
def test_latency_in_the_unit_that_reads_best(seconds, text):
    assert figures.latency(seconds) == text


def test_a_failure_is_never_rounded_away():
    assert figures.percent(0.9999999) == "99.99%"
    assert figures.percent(1.0) == "100.00%"
    assert figures.percent(0.0) == "0.00%"
