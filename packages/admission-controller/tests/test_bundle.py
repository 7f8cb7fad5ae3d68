"""One CA bundle of several replicas: who is in it, who goes, and that nobody writes for nothing."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from tulle_admission_controller.bundle import MOST, merged
from tulle_admission_controller.certificates import make_authority
from tulle_admission_controller.sinks import ca_bundle_patch

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def authority(age=timedelta(0), lifetime=WEEK):
    return make_authority(NOW - age, lifetime).pem


def serials(bundle):
    return [each.serial_number for each in x509.load_pem_x509_certificates(bundle)]


def test_replicas_add_themselves_and_leave_the_others():
    one, other = authority(), authority()
    both = merged(merged(b"", one, NOW), other, NOW)
    assert set(serials(both)) == {*serials(one), *serials(other)}
    assert serials(both)[0] == serials(other)[0]
    assert merged(both, one, NOW) is both  # whoever is in it already has nothing to write
    assert merged(both, other, NOW) is both


def test_two_of_ones_own_during_a_rotation():
    old, new = authority(timedelta(days=5)), authority()
    bundle = merged(merged(b"", old, NOW), new + old, NOW)
    assert set(serials(bundle)) == {*serials(old), *serials(new)}


def test_what_has_expired_goes():
    gone, own = authority(timedelta(days=8)), authority()
    assert serials(merged(gone, own, NOW)) == serials(own)
    assert serials(merged(gone + own, own, NOW)) == serials(own)


def test_of_many_the_newest_stay_and_ones_own_always():
    others = [authority(timedelta(hours=hours)) for hours in range(MOST + 5)]
    own = authority(timedelta(hours=60))
    kept = serials(merged(b"".join(reversed(others)), own, NOW))
    assert kept == [*serials(own), *(serials(each)[0] for each in others[: MOST - 1])]


@pytest.mark.parametrize("present", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
def test_what_is_no_bundle_is_replaced(present):
    own = authority()
    assert merged(present, own, NOW) == own


def configuration(*bundles):
    webhooks = [{"name": str(n), "clientConfig": {"caBundle": each} if each else {}} for n, each in enumerate(bundles)]
    return {"metadata": {"resourceVersion": "7"}, "webhooks": webhooks}


def test_the_patch_touches_those_webhooks_that_lack_it_and_guards_itself():
    own = authority()
    there = base64.b64encode(own).decode()
    patch = ca_bundle_patch(configuration("", there, "!"), own, NOW)
    assert patch == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": there},
        {"op": "add", "path": "/webhooks/2/clientConfig/caBundle", "value": there},
    ]
    assert ca_bundle_patch(configuration(there, there), own, NOW) == []
    assert ca_bundle_patch({"metadata": {"resourceVersion": "7"}}, own, NOW) == []
