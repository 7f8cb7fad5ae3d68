"""Certificates and their succession. Time is a variable here; every leaf is checked against the bundles of its day."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509 import verification
from tulle_admission_controller.certificates import BACKDATED, make_authority, make_leaf
from tulle_admission_controller.keyring import Keyring, Lifetimes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("tulle-admission-controller.tulle-system.svc", "localhost", "127.0.0.1", "::1")
HOUR = timedelta(hours=1)
LIFETIMES = Lifetimes(authority=timedelta(days=30), leaf=24 * HOUR, settle=HOUR)


def verifies(bundle, leaf, now, name=NAMES[0]):
    """Whether a caller that trusts `bundle` accepts `leaf` at that time."""
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store(x509.load_pem_x509_certificates(bundle)))
        .time(now)
        .build_server_verifier(x509.DNSName(name))
    )
    try:
        verifier.verify(leaf.certificate, [])
    except verification.VerificationError:
        return False
    return True


def test_a_leaf_verifies_for_its_names_and_its_time():
    authority = make_authority(NOW, timedelta(days=30))
    leaf = make_leaf(authority, NAMES, NOW, 24 * HOUR)
    assert verifies(authority.pem, leaf, NOW)
    assert verifies(authority.pem, leaf, NOW, "localhost")
    assert verifies(authority.pem, leaf, NOW - BACKDATED + timedelta(seconds=1))
    assert not verifies(authority.pem, leaf, NOW, "other.tulle-system.svc")
    assert not verifies(authority.pem, leaf, NOW + 25 * HOUR)
    assert not verifies(authority.pem, leaf, NOW - HOUR)
    assert not verifies(make_authority(NOW, timedelta(days=30)).pem, leaf, NOW)


def test_what_the_certificates_are_for():
    authority = make_authority(NOW, timedelta(days=30))
    leaf = make_leaf(authority, NAMES, NOW, 24 * HOUR)
    ca = authority.certificate.extensions
    assert ca.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    assert ca.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    own = leaf.certificate.extensions
    assert own.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert list(own.get_extension_for_class(x509.ExtendedKeyUsage).value) == [x509.OID_SERVER_AUTH]
    alternatives = own.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternatives.get_values_for_type(x509.DNSName) == list(NAMES[:2])
    assert [str(each) for each in alternatives.get_values_for_type(x509.IPAddress)] == list(NAMES[2:])


def test_a_leaf_never_outlives_its_authority():
    authority = make_authority(NOW, 2 * HOUR)
    leaf = make_leaf(authority, NAMES, NOW, 24 * HOUR)
    assert leaf.certificate.not_valid_after_utc == NOW + 2 * HOUR


def test_a_leaf_is_renewed_at_two_thirds():
    keyring = Keyring(NAMES, LIFETIMES, NOW)
    keyring.published(NOW)
    first = keyring.leaf
    keyring.step(NOW + 15 * HOUR)
    assert keyring.leaf is first
    assert keyring.next_step() == NOW + 16 * HOUR
    keyring.step(NOW + 16 * HOUR)
    assert keyring.leaf is not first
    assert len(keyring.authorities) == 1


@pytest.mark.parametrize("publishing_takes", [timedelta(0), 5 * HOUR, timedelta(days=9)])
def test_at_every_moment_the_leaf_verifies_with_the_bundle_known_then(publishing_takes):
    """150 days in steps of an hour: callers know the bundle of `publishing_takes` + settle ago, not the present one."""
    keyring = Keyring(NAMES, LIFETIMES, NOW)
    keyring.published(NOW)
    known, waiting, seen = keyring.bundle, [], {keyring.authorities[0].serial}
    for hour in range(150 * 24):
        now = NOW + hour * HOUR
        while waiting and waiting[0][0] <= now:
            due, known = waiting.pop(0)
            keyring.published(due - LIFETIMES.settle)  # says so when it was put in place, settled or not
        keyring.step(now)
        latest = waiting[-1][1] if waiting else known
        if keyring.bundle != latest:
            waiting.append((now + publishing_takes + LIFETIMES.settle, keyring.bundle))
        seen |= {authority.serial for authority in keyring.authorities}
        assert len(keyring.authorities) <= 2
        if hour % 24 == 0 or waiting:
            assert verifies(known, keyring.leaf, now), f"hour {hour}"
    assert len(seen) > 5  # renewed all the time


def test_the_succession():
    keyring = Keyring(NAMES, LIFETIMES, NOW)
    keyring.published(NOW)
    old = keyring.authorities[0]
    due = NOW + timedelta(days=20)
    keyring.step(due)
    assert [each is old for each in keyring.authorities] == [True, False]
    new = keyring.authorities[1]
    assert keyring.bundle == new.pem + old.pem
    assert keyring.leaf.issuer == old.serial  # the new one is not known yet

    keyring.step(due + 23 * HOUR)  # not published: the old one goes on signing
    assert keyring.leaf.issuer == old.serial
    keyring.published(due + 23 * HOUR)
    keyring.step(due + 23.5 * HOUR, renew=True)  # published, not settled
    assert keyring.leaf.issuer == old.serial
    keyring.step(due + 24 * HOUR, renew=True)
    assert keyring.leaf.issuer == new.serial
    assert keyring.bundle == new.pem  # nobody needs the old one any more


def test_renewing_in_a_row_makes_no_third_authority():
    keyring = Keyring(NAMES, LIFETIMES, NOW)
    keyring.published(NOW)
    for minute in range(10):
        keyring.step(NOW + timedelta(minutes=minute), renew=True)
        assert len(keyring.authorities) <= 2


def test_after_a_long_sleep_everything_is_new():
    keyring = Keyring(NAMES, LIFETIMES, NOW)
    keyring.published(NOW)
    later = NOW + timedelta(days=400)
    keyring.step(later)
    assert verifies(keyring.bundle, keyring.leaf, later)
    assert len(keyring.authorities) == 1
    assert keyring.next_step() > later


def test_short_lives_still_end_in_the_future():
    keyring = Keyring(NAMES, Lifetimes(timedelta(seconds=60), timedelta(seconds=60), timedelta(0)), NOW)
    assert keyring.next_step() == NOW + timedelta(seconds=40)
