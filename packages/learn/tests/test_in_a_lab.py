"""A lesson in a real lab: the starter fails, the solution passes, a wrong answer is caught, a crash is told."""

import os
import shutil

import pytest
from tulle_lab.launch.requirements import CHECKS
from tulle_learn import lesson as lessons
from tulle_learn import new, verify

FREE = """# No mesh: one pod, which runs the exercise.
apiVersion: v1
kind: Namespace
metadata: {name: demo}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client, namespace: demo}
spec:
  selector: {matchLabels: {app: client}}
  template:
    metadata:
      labels: {app: client}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: app
          image: python:3.12
          args: [/exercise/lesson_balancer.py]
          volumeMounts: [{name: exercise, mountPath: /exercise}]
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
      volumes:
        - {name: exercise, configMap: {name: exercise}}
"""
TOML = """minutes = 30
system = false
reload = ["demo/client"]
config_map = "demo/exercise"
starter_fails = {objective = 1, says = "not what was asked"}
"""
PROGRAM = '''"""Answers each request with a line."""

from http.server import BaseHTTPRequestHandler, HTTPServer

# a line
# of comment
# more


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        text = {text}
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


HTTPServer(("", 8080), Handler).serve_forever()
'''
CHECK = '''"""Ask once."""


def check(mesh, see):
    said = mesh.http("http://127.0.0.1:8080/", source="deploy/client")
    text = next(iter(said)).text
    see(1, "what it says", text, "right", text == "right", "not what was asked")
'''
WRONG = """[[answer]]
what = "a word for another"
file = "lesson_balancer.py"
find = 'b"right"'
replace = 'b"left"'
objective = 1
says = "not what was asked"
"""


def why_no_lab():
    missing = [found.what for check in CHECKS.values() if (found := check())]
    return "; ".join(missing) or ("" if shutil.which("timeout") else "timeout(1) is not installed")


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    if reason := why_no_lab():
        pytest.skip(f"no lab can run here: {reason}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "lessons").mkdir()
    folder = new.write(tmp_path / "lessons", 1, "words")
    for name, text in (("lab.yaml", FREE), ("lesson.toml", TOML), ("check.py", CHECK), ("wrong.toml", WRONG)):
        (folder / name).write_text(text)
    starter = PROGRAM.format(text='b"wrong"  # TODO').replace("# a line\n# of comment\n# more\n", "")
    (folder / "exercise" / "lesson_balancer.py").write_text(starter)
    (folder / "solution" / "lesson_balancer.py").write_text(PROGRAM.format(text='b"right"'))
    return lessons.read(folder)


@pytest.mark.root
def test_the_starter_fails_the_solution_passes_a_wrong_answer_is_caught(lesson):
    said = []
    assert verify.verify([lesson], runs=2, wrong=True, say=said.append), said
    assert "1 wrong answers" in said[0]


@pytest.mark.root
def test_a_solution_that_does_not_pass_is_told(lesson):
    path = lesson.solution / "lesson_balancer.py"
    path.write_text(path.read_text().replace('b"right"', 'b"almost"'))
    said = []
    assert not verify.verify([lesson], runs=1, wrong=False, say=said.append)
    assert any("the solution does not pass" in line and "almost" in line for line in said)


@pytest.mark.root
def test_a_program_that_ends_is_told_with_its_last_words(lesson):
    path = lesson.exercise / "lesson_balancer.py"
    path.write_text("# TODO\nraise SystemExit('I give up')\n")
    said = []
    with verify._bench() as (bench, _):
        verdict = bench.judge(lesson, lesson.exercise, said.append)
    assert verdict.failure is not None
    assert verdict.failure.objective == 0
    assert "I give up" in verdict.failure.observed


@pytest.mark.root
def test_what_a_program_raised_before_it_was_run_again_is_told(lesson):
    path = lesson.exercise / "lesson_balancer.py"
    path.write_text("# TODO\nraise KeyError('greeting')\n")
    with verify._bench() as (bench, _):
        verdict = bench.judge(lesson, lesson.exercise, lambda text: None)
    assert verdict.failure is not None
    assert verdict.failure.raised.startswith("KeyError: 'greeting' (lesson_balancer.py, line 2")
    assert not os.path.exists(bench.state.path / "lab.sock")
