"""Tulle's lessons: the loop `tulle learn`, the checks' view of a running mesh, and what keeps lessons in form.

lesson.py      a lesson as its files say it            progress.py  what was passed, which hints were seen
verdict.py     what a check saw, as values             loop.py      keys in, what to do out (pure)
stage.py       the exercise as the lab's programs see it
bench.py       the lab around a lesson: up, reload, check, down
mesh.py        what a check can ask of the lab         traffic.py   the client program, which runs in a pod
screen.py      the loop's words                        shell.py     terminal, keys, watching files
form.py        the form of lessons                     verify.py    starters fail, solutions pass
"""
