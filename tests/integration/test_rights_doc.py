"""The table of rights in docs/install.md is what deploy/ grants: neither says more. `make e2e` asks a cluster."""

import pytest

from tests import rights


@pytest.mark.parametrize("overlay", ["default", "ha"])
def test_what_is_granted_is_what_is_documented(overlay):
    assert rights.of_deploy(overlay) == rights.documented()


def test_a_right_more_or_less_is_seen():
    text = (rights.ROOT / "docs/install.md").read_text()
    assert rights.documented(text.replace("list, watch: `namespaces`,", "list: `namespaces`,")) != rights.of_deploy()
    assert rights.documented(text.replace(", `pods`", "")) != rights.of_deploy()
    with pytest.raises(AssertionError, match="not a row"):
        rights.documented(text.replace("| | list, watch: `namespaces` |", "| everything |"))


def test_nobody_may_read_secrets_or_take_more_rights():
    for account, found in rights.of_deploy("ha").items():
        for resource, verbs in found.items():
            kind = resource.partition(".")[0].partition("/")[0]
            assert kind not in {"secrets", "configmaps", "serviceaccounts"}, account
            assert "rbac.authorization" not in resource, account
            assert not verbs & {"*", "impersonate", "bind", "escalate", "deletecollection"}, (account, resource)


def test_kubectls_list_is_read():
    said = (
        "Resources                                       Non-Resource URLs   Resource Names   Verbs\n"
        "namespaces                                      []                  []               [list watch]\n"
        "mutatingwebhookconfigurations.admissionregistration.k8s.io   []   [tulle]   [get patch]\n"
        "                                                [/api/*]            []               [get]\n"
    )
    assert rights.listed(said) == {
        "namespaces": {"list", "watch"},
        "mutatingwebhookconfigurations.admissionregistration.k8s.io=tulle": {"get", "patch"},
    }
