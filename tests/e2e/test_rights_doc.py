"""`kubectl auth can-i --list` of each service account is the table of docs/install.md: all of it, and nothing else."""

import pytest

from tests import rights


@pytest.mark.parametrize("account", rights.documented())
def test_rights_are_those_of_the_table_and_no_others(mesh, account):
    def can(who):
        groups = "--as-group=system:serviceaccounts", "--as-group=system:authenticated"
        as_user = f"--as=system:serviceaccount:tulle-system:{who}"
        return rights.listed(mesh("auth", "can-i", "--list", "-n", "tulle-system", as_user, *groups))

    everybody = can("default")  # what any service account may
    own = {what: verbs for what, verbs in can(account).items() if verbs != everybody.get(what)}
    assert own == rights.documented()[account]
