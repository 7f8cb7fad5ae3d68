"""The parts that decide, without a lab: lessons as files, progress, the loop's keys, verdicts, the stage, the form."""

import json
import os
import threading
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from tulle_lab.state import StateFolder
from tulle_learn import effort, form, new, screen, stage, verify, work
from tulle_learn import lesson as lessons
from tulle_learn import progress as progress_file
from tulle_learn.answers import Answer, Answers, shares
from tulle_learn.errors import LearnError
from tulle_learn.lesson import Failure, Wrong
from tulle_learn.loop import Do, Loop
from tulle_learn.progress import Progress, state_folder
from tulle_learn.shell import Shell
from tulle_learn.verdict import Mismatch, Observation, See, Verdict
from tulle_learn.workbench import Workbench, load_check

GOOD = Verdict((Observation(1, "shares", "20 each", "20 each", True),), 1.0)
BAD = Verdict((Observation(1, "shares", "60 and 0", "20 each", False, "one pod has all the work"),), 1.0)


@pytest.fixture
def course(tmp_path):
    """Two lessons, as `tulle lessons new` writes them."""
    folder = tmp_path / "lessons"
    folder.mkdir()
    for number, topic in ((1, "first"), (2, "second")):
        new.write(folder, number, topic)
    return lessons.read_all(folder)


@pytest.fixture
def loop(course):
    return Loop(course, course[0], Progress())


# --- lessons ----------------------------------------------------------------------------------------------


def test_a_new_lesson_is_read_and_its_form_is_right(course):
    first = course[0]
    assert (first.number, first.topic, first.title) == (1, "first", "first")
    assert first.objectives == ("Requests go to each endpoint in turn.",)
    assert len(first.hints) == 3
    assert form.problems(first) == []
    assert callable(load_check(first).check)


def test_a_lesson_is_found_by_number_and_name(course):
    assert [lessons.find(course, word).number for word in ("2", "02-second", "second")] == [2, 2, 2]
    with pytest.raises(LearnError, match="one of 1, 2"):
        lessons.find(course, "3")


@pytest.mark.parametrize(
    ("file", "old", "new_text", "said"),
    [
        ("README.md", "## Why meshes need it", "## Why", "no section '## Why meshes need it'"),
        ("README.md", "Links to", "[gone](../gone.py) Links to", "../gone.py leads nowhere"),
        ("README.md", "Links to", "[s](solution/lesson_balancer.py) Links to", "links to the solution"),
        ("README.md", "Links to", "[`Nothing`](check.py) Links to", "check.py has no Nothing"),
        ("README.md", "1. Requests go", "1. Requests go\n2. Requests go", "nothing is looked at for objective 2"),
        ("README.md", "Two or", "word " * 1500 + "Two or", "are ten minutes"),
        ("hints.md", "## 3. Nearly the answer", "", "hints.md: 2 layers"),
        ("check.py", "see(1,", "sleep(1); see(1,", "check.py: sleeps"),
        ("solution/lesson_balancer.py", "        self.turn += 1\n", "", "lines that the exercise does not have"),
        (
            "solution/lesson_balancer.py",
            "return chosen",
            "return (chosen",
            "solution: reading lesson_balancer.py, line",
        ),
        ("exercise/lesson_balancer.py", "# TODO: in turn", "#", "nothing says TODO"),
        ("exercise/lesson_balancer.py", "# TODO", "from solution import x # TODO", "refers to the solution"),
    ],
)
def test_the_linter_names_what_is_wrong(course, file, old, new_text, said):
    path = course[0].folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new_text, 1))
    assert any(said in problem for problem in form.problems(lessons.read(course[0].folder)))


def test_lesson_toml_with_an_unknown_key_is_refused(course):
    path = course[0].folder / "lesson.toml"
    path.write_text(path.read_text() + 'relaod = ["demo/client"]\n')
    with pytest.raises(LearnError, match="relaod"):
        lessons.read(course[0].folder)


def test_a_number_is_not_given_twice(course):
    with pytest.raises(LearnError, match="lesson 2 is there: 02-second"):
        new.write(course[0].folder.parent, 2, "other")


# --- progress ---------------------------------------------------------------------------------------------


def test_progress_is_kept(course, tmp_path):
    path = tmp_path / "state" / "progress.json"
    assert progress_file.load(path) == Progress()
    told = Progress().with_passed(course[0]).with_hint(course[1]).opened(course[1])
    progress_file.save(path, told)
    assert progress_file.load(path) == told
    path.write_text("{")
    with pytest.raises(LearnError, match="mend it, or begin anew"):
        progress_file.load(path)


def test_where_one_resumes(course):
    first, second = course
    assert Progress().resume(course) == first
    assert Progress().opened(second).resume(course) == second
    assert Progress().opened(first).with_passed(first).resume(course) == second
    assert Progress().with_passed(first).with_passed(second).resume(course) == second
    assert Progress().after(first, course) == second
    assert Progress().after(second, course) == second


# --- the loop ---------------------------------------------------------------------------------------------


def test_the_previous_lesson_is_opened_and_before_the_first_there_is_none(loop, course):
    after, do = loop.press("p")
    assert (do, after.lesson, after.text) == (Do.NOTHING, course[0], "This is the first lesson.")
    second, _ = loop.press("n")
    first, do = second.press("p")
    assert (do, first.lesson, first.progress.current) == (Do.OPEN, course[0], course[0].topic)


def test_after_the_last_lesson_it_says_which_are_not_passed(course):
    last = Loop(course, course[1], Progress())
    assert "Not passed yet: 1" in last.seen(GOOD).text
    assert "you have passed them all" in Loop(course, course[1], Progress().with_passed(course[0])).seen(GOOD).text


def test_a_hints_code_keeps_the_indentation_of_its_first_line_and_says_how_to_go_on(course):
    one, two = lessons.hints("## 1. Look\n\n    if a:\n        b\n\n## 2. Use\nwords\n")
    assert one == "    if a:\n        b"
    shown = screen.hint(course[0], 1, "tulle learn hint 1 again")
    assert shown.endswith("(there are two more: tulle learn hint 1 again)")
    assert screen.hint(course[0], 3).endswith("(that was the last one)")
    assert two == "words"


def test_the_loop_keeps_what_another_terminal_has_passed_meanwhile(course, loop, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    shell = Shell(loop, bench=None)
    progress_file.save(shell.progress_path, Progress().with_passed(course[1]))  # `tulle learn check 2`, elsewhere
    shell._reread()
    assert shell.loop.progress.has_passed(course[1])
    assert shell.loop.progress.current == course[0].topic


def test_two_checks_in_one_lab_wait_for_one_another(tmp_path):
    one = Workbench(StateFolder(tmp_path / "lab"), tmp_path)
    two = Workbench(StateFolder(tmp_path / "lab"), tmp_path)
    told, began = threading.Event(), threading.Event()

    def wait():
        with two._alone(lambda text: told.set()):
            began.set()

    with one._alone(lambda text: pytest.fail("nobody else is there")):
        thread = threading.Thread(target=wait)
        thread.start()
        assert told.wait(10)
        assert not began.is_set()
    thread.join(10)
    assert began.is_set()


def test_a_failure_says_what_the_code_raised(loop):
    seen = Observation(1, "shares", "a 500", "20 each", False, "nobody answers", "NameError: team")
    assert "your code:   NameError: team" in screen.verdict(loop.lesson, Verdict((seen,)))


def test_hints_come_one_layer_at_a_time_and_stay_at_the_last(loop):
    for layer in (1, 2, 3, 3):
        loop, do = loop.press("h")
        assert do is Do.NOTHING
        assert f"Hint {layer} of 3" in loop.text


def test_the_solution_is_shown_only_after_passing(loop):
    assert "when the lesson is passed" in loop.press("s")[0].text
    after = loop.seen(GOOD)
    assert "self.turn += 1" in after.press("s")[0].text


def test_passing_is_not_taken_away_by_a_later_failure(loop):
    after = loop.seen(GOOD).seen(BAD)
    assert after.progress.has_passed(loop.lesson)
    assert "one pod has all the work" in after.text


def test_next_opens_another_lesson_and_the_last_one_stays(loop):
    after, do = loop.press("n")
    assert (after.lesson.number, do) == (2, Do.OPEN)
    after, do = after.press("n")
    assert (after.lesson.number, do) == (2, Do.NOTHING)


def test_reset_wants_to_be_asked_twice_in_a_row(loop):
    once, do = loop.press("r")
    assert do is Do.NOTHING
    assert once.press("r")[1] is Do.RESET
    assert once.press("l")[0].press("r")[1] is Do.NOTHING


@pytest.mark.parametrize(("key", "do"), [("c", Do.CHECK), ("q", Do.QUIT), ("\x03", Do.QUIT), ("x", Do.NOTHING)])
def test_other_keys(loop, key, do):
    assert loop.press(key)[1] is do


def test_a_failure_says_what_was_seen_expected_and_which_objective(loop):
    text = screen.verdict(loop.lesson, BAD)
    for part in ("60 and 0", "20 each", "one pod has all the work", "1. Requests go to each endpoint in turn."):
        assert part in text


def test_the_bar(course):
    assert screen.bar(Progress().with_passed(course[0]), course).endswith("1 of 2 lessons")


# --- verdicts ---------------------------------------------------------------------------------------------


def test_the_first_thing_that_does_not_hold_ends_a_check():
    see = See()
    see(1, "a", 1, 1, True)
    with pytest.raises(Mismatch):
        see(2, "b", 1, 2, False)
    verdict = Verdict(tuple(see.observations))
    assert not verdict.passed
    assert verdict.failure is not None
    assert verdict.failure.objective == 2
    assert json.loads(json.dumps(verdict.to_json()))["passed"] is False


def test_a_check_that_looked_at_nothing_has_not_passed():
    assert not Verdict(()).passed


def test_answers_are_counted():
    text = json.dumps({"pod": "a"})
    found = Answers(
        (Answer(200, 0.1, text=text), Answer(503, 0.3, headers={"tulle-reason": "circuit-open"}), Answer(0, error="x"))
    )
    assert found.outcomes() == "1 x 200, 1 x 503 circuit-open, 1 x x"
    assert (len(found.good), len(found.bad)) == (1, 2)
    assert shares(found.good.count(lambda one: one.pod), ["a", "b"]) == "a 100 %, b 0 %"
    assert found.slowest() == 0.3


# --- the exercise -----------------------------------------------------------------------------------------


def test_the_stage_is_an_installed_distribution_with_its_entry_point(course, tmp_path):
    stage.fill(tmp_path / "stage", stage.files(course[0].exercise))
    info = next((tmp_path / "stage").glob("*.dist-info"))
    found = PathDistribution(info)
    assert found.metadata["Name"] == "lesson-first"
    assert [(one.group, one.name, one.value) for one in found.entry_points] == [
        ("tulle", "balancer-lesson", "lesson_balancer")
    ]


def test_pip_is_asked_once_and_then_modules_are_written_over_what_it_installed(tmp_path, monkeypatch):
    pytest.importorskip("hatchling")
    source, target, name = tmp_path / "mine", tmp_path / "stage", "tulle-balancer-sticky"
    module = source / name / "src" / "tulle_balancer_sticky" / "__init__.py"
    module.parent.mkdir(parents=True)
    module.write_text("x = 1\n")
    project = source / name / "pyproject.toml"
    project.write_text(f'''
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "{name}"
version = "1"
[tool.hatch.build.targets.wheel]
packages = ["src/tulle_balancer_sticky"]
''')
    stage.install(target, source, name)
    assert next(target.glob("*.dist-info")).name == "tulle_balancer_sticky-1.dist-info"
    monkeypatch.setattr("sys.executable", "/bin/false")  # from here on, whoever asks pip fails
    module.write_text("x = 2\n")
    stage.install(target, source, name)
    assert (target / "tulle_balancer_sticky" / "__init__.py").read_text() == "x = 2\n"
    project.write_text(project.read_text().replace('"1"', '"2"'))
    with pytest.raises(Mismatch, match="installing"):
        stage.install(target, source, name)


def test_the_stage_never_holds_files_of_two_sources(tmp_path):
    stage.fill(tmp_path, {"a.py": "x = 1\n", "deep/b.py": "y = 1\n"})
    stage.fill(tmp_path, {"c.py": "z = 1\n"})
    assert [path.name for path in tmp_path.rglob("*")] == ["c.py"]


def test_the_labs_other_users_can_read_the_stage(tmp_path):
    before = os.umask(0o077)
    try:
        stage.fill(tmp_path / "stage", {"a.py": "x = 1\n", "deep/b.py": "y = 1\n"})
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o005 for path in (tmp_path / "stage").rglob("*")} == {0o004, 0o005}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("a.py", "def f(:\n", "a.py, line 1"), ("r.yaml", "a: [1", "r.yaml"), ("pyproject.toml", "[a", "pyproject.toml")],
)
def test_what_cannot_be_parsed_leaves_the_stage_as_it_was(tmp_path, name, text, said):
    stage.fill(tmp_path, {"a.py": "x = 1\n"})
    with pytest.raises(Mismatch) as caught:
        stage.fill(tmp_path, {name: text})
    assert said in caught.value.seen.what
    assert (tmp_path / "a.py").read_text() == "x = 1\n"


def test_the_learners_copy_is_never_overwritten_and_reset_keeps_it(course, tmp_path):
    first = course[0]
    mine = work.prepare(first) / "lesson_balancer.py"
    starter = mine.read_text()
    mine.write_text("mine\n")
    before = work.signature(first.mine)
    work.prepare(first)
    assert mine.read_text() == "mine\n"
    assert work.signature(first.mine) == before
    kept = work.reset(first, tmp_path / "backups")
    again = work.reset(first, tmp_path / "backups")
    assert kept != again
    assert (kept / "lesson_balancer.py").read_text() == "mine\n"
    assert mine.read_text() == starter
    assert work.signature(first.mine) != before


# --- verify -----------------------------------------------------------------------------------------------


def test_a_starter_has_to_fail_for_the_right_reason():
    assert verify.judge_failure(BAD, Failure(1, "One pod"), "it") == []
    assert verify.judge_failure(GOOD, Failure(1, "one pod"), "it") == ["it passes"]
    assert "objective 1" in verify.judge_failure(BAD, Failure(2, "one pod"), "it")[0]
    assert "'hang'" in verify.judge_failure(BAD, Failure(1, "hang"), "it")[0]


def test_the_readmes_commands_that_are_tried():
    text = """```
tulle lab get pods -A
tulle lab down
  tulle stat -n demo
cd lessons
tulle plugins new balancer x
```
tulle lab scale
"""
    assert verify.commands(text) == ["tulle lab get pods -A", "tulle stat -n demo"]


def test_a_wrong_answer_is_the_solution_with_one_thing_changed():
    answer = Wrong("off by one", "a.py", "n - 1", "n", 1, "late")
    assert verify.spoiled({"a.py": "return n - 1\n"}, answer) == {"a.py": "return n\n"}
    with pytest.raises(LearnError, match="2 times"):
        verify.spoiled({"a.py": "n - 1 - n - 1"}, answer)


# --- the lessons that there are ---------------------------------------------------------------------------


def repository_lessons():
    try:
        return lessons.read_all(lessons.find_folder([Path(__file__).parent]))
    except LearnError:
        return []


def test_a_second_verify_in_a_state_folder_says_who_is_at_work_and_touches_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with verify._alone(state_folder()), pytest.raises(LearnError) as refused:
        verify.verify([], runs=1, wrong=False, say=print)
    assert f"process {os.getpid()}" in str(refused.value)
    assert "XDG_STATE_HOME=FOLDER" in str(refused.value)
    assert verify.verify([], runs=1, wrong=False, say=print), "the first one has ended"


def test_processor_time_is_of_a_process_and_all_below_it(tmp_path):
    def stat(pid, parent, began, *ticks):
        (tmp_path / str(pid)).mkdir(exist_ok=True)
        fields = ["S", str(parent), *"0" * 9, *map(str, ticks), *"0" * 4, str(began), "0"]
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a (strange) name) {' '.join(fields)}")

    for one in ((7, 1, 5, 1, 2, 3, 4), (8, 7, 5, 10, 0, 0, 0), (9, 8, 6, 0, 0, 100, 0), (10, 1, 5, 500, 0, 0, 0)):
        stat(*one)
    second = os.sysconf("SC_CLK_TCK")
    before = effort.used(7, tmp_path)
    assert sum(before.values()) == pytest.approx(120 / second)
    stat(9, 8, 66, 1, 1, 0, 0)  # another one, with the number of one that was killed
    stat(8, 7, 5, 10, 5, 0, 0)
    assert effort.since(before, effort.used(7, tmp_path)) == pytest.approx(7 / second)
    assert effort.used(None, tmp_path) == effort.used(6, tmp_path) == {}
    assert sum(effort.used(os.getpid()).values()) > 0


@pytest.mark.parametrize("one", repository_lessons(), ids=lambda one: one.name)
def test_every_lesson_keeps_the_form(one):
    assert form.problems(one) == []
    texts = stage.files(one.solution)
    for answer in one.wrong():
        verify.spoiled(texts, answer)
