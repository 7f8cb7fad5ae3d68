"""More than 200 malformed reviews against the real program over TLS: a refusal each, and it lives on."""

import os

import pytest
from tulle_admission_controller.mutate import mutate
from tulle_admission_controller.namespaces import no_annotations
from tulle_admission_controller.review import Decision, review
from tulle_admission_controller.settings import InjectSettings

SERVICE = "tulle-admission-controller.tulle-system.svc"


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def test_every_malformed_review_gets_a_well_formed_refusal(start_webhook, malformed):
    webhook = start_webhook()
    client = malformed.Client("127.0.0.1", webhook.port, webhook.context(), SERVICE)
    assert malformed.good_answer(client)
    webhook.get("/live")
    baseline = descriptors(webhook.process)

    faults, statuses, neighbours = malformed.send_all(client)
    alive = webhook.process.poll() is None and malformed.good_answer(client)
    print("\n" + malformed.summary(faults, statuses, neighbours, alive))

    assert faults == {}
    assert sum(statuses.values()) >= 200
    too_long = [case for case in malformed.cases() if len(case.body) > 3 * malformed.MIB]
    assert statuses[413] == len(too_long) > 0
    assert neighbours == 0
    assert alive
    counted = sum(
        int(line.rsplit(" ", 1)[1])
        for line in webhook.get("/metrics").splitlines()
        if line.startswith("tulle_admission_reviews_total") and ('"malformed"' in line or '"refused"' in line)
    )
    assert counted == sum(statuses.values())
    # each request gives the server a turn to close what the client left; descriptors then are as before
    assert any(descriptors(webhook.process) <= baseline for _ in range(1000) if webhook.get("/live"))


def test_the_cases_are_distinct_and_the_same_every_time(malformed):
    first, second = malformed.cases(), malformed.cases()
    assert first == second
    assert len({(case.path, case.body, case.content_type) for case in first}) >= 200


def test_the_judge_of_answers_can_say_no(malformed):
    case = malformed.Case("a good one", "/mutate", malformed.encoded(malformed.pod_review()))
    answer = review(case.body, lambda request: mutate(request, InjectSettings(), no_annotations))
    assert malformed.fault(case, answer.status, "application/json", answer.body) == "not refused"
    refused = review(case.body, lambda request: Decision(False, "refused", "no", 403))
    assert malformed.fault(case, refused.status, "application/json", refused.body) == ""
    assert malformed.fault(case, 500, "application/json", refused.body) == "HTTP status 500"
    assert malformed.fault(case, 200, "text/plain", refused.body)
    other = malformed.Case("other uid", "/mutate", malformed.encoded(malformed.pod_review(uid="other")))
    assert malformed.fault(other, refused.status, "application/json", refused.body)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods_are_refused(start_webhook, malformed, method):
    webhook = start_webhook()
    client = malformed.Client("127.0.0.1", webhook.port, webhook.context(), SERVICE)
    assert malformed.good_answer(client)
    client.connection.request(method, "/mutate")
    response = client.connection.getresponse()
    assert response.status == 405
    response.read()
    client.close()
