"""What is written into a status, and what is left as it is. Pure: wanted and there in, status out."""

from tulle_catalog_kubernetes.statuses import CONTROLLER, due

NOW, BEFORE = "2026-02-02T02:02:02Z", "2026-01-01T01:01:01Z"
PARENT = {"group": "", "kind": "Service", "name": "app-b"}


def condition(type_="Accepted", status="True", reason="Accepted", message="", generation=1, at=None):
    made = {"type": type_, "status": status, "reason": reason, "message": message, "observedGeneration": generation}
    return made | ({"lastTransitionTime": at} if at else {})


def parent(*conditions, reference=PARENT, controller=None):
    made = {"parentRef": reference, "conditions": list(conditions)}
    return made | ({"controllerName": controller} if controller else {})


def test_a_first_status_has_the_time_and_our_name():
    assert due({"parents": [parent(condition())]}, {}, NOW) == {
        "parents": [parent(condition(at=NOW), controller=CONTROLLER)]
    }
    assert due({"conditions": [condition()]}, {}, NOW) == {"conditions": [condition(at=NOW)]}


def test_what_is_there_is_not_written_again():
    there = {"parents": [parent(condition(at=BEFORE), controller=CONTROLLER)]}
    assert due({"parents": [parent(condition())]}, there, NOW) is None
    assert due({"conditions": [condition()]}, {"conditions": [condition(at=BEFORE)]}, NOW) is None


def test_the_time_changes_with_the_status_and_with_nothing_else():
    there = {"conditions": [condition(at=BEFORE)]}
    said = condition(reason="Conflicted", generation=2)
    assert due({"conditions": [said]}, there, NOW) == {"conditions": [said | {"lastTransitionTime": BEFORE}]}
    said = condition(status="False", reason="Conflicted")
    assert due({"conditions": [said]}, there, NOW) == {"conditions": [said | {"lastTransitionTime": NOW}]}


def test_other_controllers_entries_stay_as_they_are_and_first():
    foreign = parent(condition(at=BEFORE), reference={"name": "gate"}, controller="example.org/gateway")
    made = due({"parents": [parent(condition())]}, {"parents": [foreign]}, NOW)
    assert made == {"parents": [foreign, parent(condition(at=NOW), controller=CONTROLLER)]}
    assert due({"parents": [parent(condition())]}, made, NOW) is None


def test_a_parent_that_a_route_has_no_more_goes_and_only_ours():
    foreign = parent(condition(at=BEFORE), controller="example.org/gateway")
    own = parent(condition(at=BEFORE), controller=CONTROLLER)
    assert due({"parents": []}, {"parents": [own, foreign]}, NOW) == {"parents": [foreign]}
    assert due({"parents": []}, {"parents": [foreign]}, NOW) is None


def test_two_ports_of_one_service_are_two_parents():
    one, two = PARENT | {"port": 80}, PARENT | {"port": 81}
    wanted = [parent(condition(), reference=one), parent(condition(status="False"), reference=two)]
    there = {"parents": [parent(condition(at=BEFORE), reference=one, controller=CONTROLLER)]}
    made = due({"parents": wanted}, there, NOW)["parents"]
    assert [(each["parentRef"]["port"], each["conditions"][0]["lastTransitionTime"]) for each in made] == [
        (80, BEFORE), (81, NOW),
    ]  # fmt: skip


def test_there_are_never_more_parents_than_the_list_holds():
    foreign = [parent(condition(at=BEFORE), controller="example.org/gateway")] * 31
    wanted = [parent(condition(), reference=PARENT | {"port": port}) for port in (80, 81)]
    made = due({"parents": wanted}, {"parents": foreign}, NOW)
    assert len(made["parents"]) == 32


def test_a_condition_that_is_over_goes_and_a_foreign_type_is_no_reason_to_write():
    partly = condition("PartiallyInvalid", at=BEFORE)
    there = {"conditions": [condition(at=BEFORE), partly]}
    assert due({"conditions": [condition()]}, there, NOW) == {"conditions": [condition(at=BEFORE)]}
    there = {"conditions": [condition(at=BEFORE), condition("example.org/Looked", at=BEFORE)]}
    assert due({"conditions": [condition()]}, there, NOW) is None


def test_a_message_fits():
    made = due({"conditions": [condition(message="x" * 40_000)]}, {}, NOW)
    assert len(made["conditions"][0]["message"]) == 32_768
    assert due({"conditions": [condition(message="x" * 40_000)]}, made, NOW) is None
