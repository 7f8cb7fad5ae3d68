"""A made-up result as tables, goals, plots and a page."""

import json
import xml.etree.ElementTree as ET

import pytest

from bench import document, figures, names, report, svg
from bench.ratios import Ratio
from bench.rows import BY_NAME, ROWS


def samples(**subjects):
    return {name: [{"cpu": value, "rate": 1 / value, "p50": value, "p99": value, "p999": value, "busy": 1.0,
                    "system": 0.5} for value in values] for name, values in subjects.items()}


@pytest.fixture
def result():
    return {
        "mode": "full", "command": "scripts/bench --full", "taken": "2026-01-02T03:04:05+00:00", "rounds": 2,
        "disturbance": {"others": 0.01, "stolen": 0.0, "doubtful": False},
        "versions": {"tulle": "1", "envoy": "2", "cores": "2", "processor": "P", "kernel": "K", "commit": "abcdef0"},
        "rows": {
            "keepalive-1": samples(tulle=[8, 7], envoy=[10, 10], floor=[4, 4], **{"tulle-quiet": [3, 3],
                                                                                 "envoy-quiet": [6, 6]}),
            "keepalive-16": samples(tulle=[6, 6], envoy=[10, 10], nginx=[2, 2]),
            "two-hops-16": samples(**{"tulle-mesh": [3, 3], "envoy-mesh": [2, 2]}),
            "idle-connections": {"tulle": [{"each_1000": 9.0, "each_10000": 8.0}],
                                 "envoy": [{"each_1000": 20.0, "each_10000": 19.0}]},
            "memory": {"tulle": [{"idle": 20, "after": 30}], "envoy": [{"idle": 100, "after": 60}]},
        },
    }


def cells(table, title, metric):
    (line,) = [line for line in table if line[:2] == [title, metric]]
    return dict(zip(table[0][2:], line[2:], strict=True))


def test_a_cell_is_the_ratio_to_the_columns_own_baseline(result):
    table = report.table(result, names.PROXIES)
    row = cells(table, BY_NAME["keepalive-1"].title, "CPU time each")
    assert row == {"Tulle": "0.75 (0.70-0.80)", "Tulle, no access log": "0.50 (0.50-0.50)", "nginx": ""}


def test_two_hops_are_in_tulles_column_and_related_to_two_hops(result):
    assert cells(report.table(result, names.PROXIES), BY_NAME["two-hops-16"].title, "CPU time each")["Tulle"] == \
        "1.50 (1.50-1.50)"


def test_columns_without_figures_and_rows_without_are_left_out(result):
    table = report.table(result, names.PROXIES)
    assert "HAProxy" not in table[0]
    assert not any(BY_NAME["get-1m"].title in line for line in table)
    assert report.table(result, ("direct",)) == []


def test_memory_is_told_in_kib_and_as_a_ratio(result):
    table = report.memory(result)
    assert cells(table, "resident, idle", "ratio") == {"Tulle": "0.20", "Envoy": "1.00"}
    assert cells(table, "idle connections: each of 10,000", "KiB") == {"Tulle": "8.00", "Envoy": "19"}


def test_goals_say_figure_and_bar_and_what_falls_short(result):
    lines = figures.lines(result)
    assert "CPU time a request, 1 connection: 0.75 (0.70-0.80) (at most 0.8 of Envoy's)" in lines
    assert "CPU time a request, 16 connections: 0.60 (0.60-0.60) (at most 0.5 of Envoy's)  <-- SHORT" in lines
    assert "requests a second at saturation: 1.67 (1.67-1.67) (at least 1.8 times Envoy's)  <-- SHORT" in lines
    assert "an idle connection, of 10,000: 8.00 KiB (at most 12 KiB)" in lines
    assert "resident memory, after load: 0.50 (at most 0.42 of Envoy's)  <-- SHORT" in lines
    assert not any(line.startswith("opaque bulk") for line in lines)


def test_beside_a_goal_stands_the_ratio_to_envoy_behind_the_same_rules(result):
    result["rows"]["keepalive-16"] |= samples(**{"envoy-redirected": [12, 12]})
    line = "CPU time a request, 16 connections: 0.60 (0.60-0.60); 0.50 (0.50-0.50) to Envoy behind the same rules " \
           "(at most 0.5 of Envoy's)  <-- SHORT"
    assert line in figures.lines(result), "it is told, and the goal's own figure judged"
    (row,) = [row for row in document.goals(result) if row[0] == "CPU time a request, 16 connections"]
    assert row[2:] == ["0.60 (0.60-0.60)", "**short**", "0.50 (0.50-0.50)"]


def test_every_goal_is_a_metric_of_a_row_that_is_measured():
    measured = {(row.name, metric.key) for row in ROWS for metric in row.metrics} | {("memory", "idle"),
                                                                                     ("memory", "after")}
    assert {(goal.row, goal.metric) for goal in figures.GOALS} <= measured


@pytest.mark.parametrize(("figure", "status"), [(0.4, 0), (0.6, 1)])
def test_the_program_says_by_its_status_whether_all_are_met(result, figure, status, tmp_path, monkeypatch, capsys):
    result["rows"] = {"keepalive-16": {"tulle": [{"cpu": figure}], "envoy": [{"cpu": 1.0}]}}
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result))
    monkeypatch.setattr("sys.argv", ["figures", str(path)])
    assert figures.main() == status
    assert capsys.readouterr().out.startswith(f"CPU time a request, 16 connections: {figure:.2f} (")


def test_the_floor_says_how_far_above_it_tulle_is(result):
    (line,) = report.floor(result)
    assert "the floor is 0.40 (0.40-0.40) of Envoy's CPU time; Tulle is 1.88 (1.75-2.00) times the floor" in line


def test_a_proxy_whose_core_was_idle_is_named(result):
    assert report.unsaturated(result) == ""
    for sample in result["rows"]["keepalive-16"]["nginx"]:
        sample["busy"] = 0.5
    assert f"{BY_NAME['keepalive-16'].title} (nginx)" in report.unsaturated(result)


def test_a_disturbed_run_is_called_doubtful(result):
    assert "DOUBTFUL" not in report.report(result)
    result["disturbance"] = {"others": 0.5, "stolen": 0.0, "doubtful": True}
    assert "other processes took 50%" in report.report(result)
    assert "DOUBTFUL" in document.section(result)


def test_the_page_keeps_what_a_person_wrote(result):
    page = f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n"
    new = document.replaced(page, document.section(result))
    assert new.startswith(f"before\n{document.BEGIN}\n`scripts/bench --full`, 2026-01-02, commit abcdef0")
    assert new.endswith(f"{document.END}\nafter\n")
    assert "old" not in new
    with pytest.raises(ValueError, match="no <!-- bench: begin -->"):
        document.replaced("no markers", "words")


def test_the_committed_page_is_of_the_committed_result():
    latest = json.loads(figures.LATEST.read_text())
    page = document.PAGE.read_text()
    assert document.replaced(page, document.section(latest)) == page
    for file, drawing in document.plots(latest).items():
        assert (document.PLOTS / file).read_text() == drawing


def test_what_is_written_is_all_of_one_result(result, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "LATEST", tmp_path / "latest.json")
    monkeypatch.setattr(document, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(document, "PLOTS", tmp_path / "plots")
    document.PAGE.write_text(f"{document.BEGIN}\n{document.END}\n")
    document.write(result)
    assert json.loads(figures.LATEST.read_text()) == result
    assert document.section(result) in document.PAGE.read_text()
    assert {path.name for path in document.PLOTS.iterdir()} == set(document.plots(result))


def test_plots_are_well_formed_and_hold_every_dot(result):
    made = document.plots(result)
    assert set(made) == {"cpu.svg", "throughput.svg", "latency.svg"}
    root = ET.fromstring(made["cpu.svg"])
    told = {title.text for title in root.iter("{http://www.w3.org/2000/svg}title")}
    assert f"Tulle, {BY_NAME['keepalive-16'].title}: 0.60 (0.60-0.60)" in told
    assert f"nginx, {BY_NAME['keepalive-16'].title}: 0.20 (0.20-0.20)" in told
    assert all(image in document.section(result) for image in made)


def test_the_axis_holds_all_that_is_drawn():
    line = svg.Line("a", [("tulle", Ratio(0.5, 0.15, 3.0, 5))], goal=0.8)
    assert svg.bounds([line]) == (0.1, 5.0)
    assert svg.bounds([]) == (0.5, 2.0)


def test_words_of_a_plot_are_escaped():
    drawing = svg.plot("a < b", "&", [svg.Line("<x>", [("tulle", Ratio(1, 1, 1, 1))])], names.TITLES)
    ET.fromstring(drawing)
    assert "<x>" not in drawing
