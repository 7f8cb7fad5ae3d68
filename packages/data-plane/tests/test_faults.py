"""Who is to blame, how it is told, and when a plugin is left alone."""

from tulle_data_plane.blame import Blame
from tulle_data_plane.faults import LOG_SECONDS, STRIKES, SUSPENDED_SECONDS, Faults, Strikes


def test_after_a_while_it_is_asked_again_and_once_more_is_too_much():
    now = [0.0]
    faults = Faults(lambda *args, **labels: None, lambda: now[0])
    faults.note("p", "overdue", "x", "y")
    strikes = Strikes(faults, "p", lambda: now[0])
    for _ in range(STRIKES):
        assert not strikes.until
        strikes.strike()
    now[0] = SUSPENDED_SECONDS - 1
    assert strikes.out()
    now[0] = SUSPENDED_SECONDS
    assert not strikes.out()
    assert (strikes.until, faults.rows["p"].state) == (0, "misbehaving")
    strikes.strike()
    assert strikes.out()
    assert faults.rows["p"].state == "suspended"


def test_whose_a_module_is():
    blame = Blame()
    blame.learn("acme.mesh.limits", "acme-limits")
    blame.learn("other", "other")
    names = ("acme.mesh.limits.inner", "acme.shared", "other", "json", "", "acmee")
    found = {name: blame.plugin(name) for name in names}
    assert found == {
        "acme.mesh.limits.inner": "acme-limits", "acme.shared": "acme-limits", "other": "other", "json": "", "": "",
        "acmee": "",
    }


def test_what_a_library_raises_is_its_callers_fault():
    import json

    blame = Blame()
    blame.learn(__name__, "mine")
    try:
        json.dumps({1, 2})
    except TypeError as error:
        culprit = blame.raised(ExceptionGroup("g", [error]))
    assert culprit.plugin == "mine"
    assert culprit.where.endswith("in test_what_a_library_raises_is_its_callers_fault")
    assert culprit.alone


def test_the_same_fault_is_logged_now_and_then(caplog):
    now, counts = [100.0], []
    faults = Faults(lambda name, amount=1, /, **labels: counts.append((name, labels)), lambda: now[0])
    for _ in range(50):
        faults.note("p", "raised", "x" * 1000, "nothing")
    faults.note("p", "nonsense", "y", "nothing")
    now[0] += LOG_SECONDS
    faults.note("p", "raised", "z", "nothing")
    lines = [(record.fields["what"], record.fields["times"]) for record in caplog.records]
    assert lines == [("raised", 1), ("nonsense", 1), ("raised", 50)]
    assert counts[0] == ("plugin_failures_total", {"plugin": "p", "what": "raised"})
    assert faults.describe() == [
        {"plugin": "p", "state": "misbehaving", "error": "raised an error: z", "failures": 52,
         "what": {"raised": 51, "nonsense": 1}}
    ]  # fmt: skip
