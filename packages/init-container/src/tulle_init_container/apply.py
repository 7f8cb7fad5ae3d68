"""Puts the rules into the kernel, or takes them out, one family at a time. Decides nothing about rules."""

from collections.abc import Callable, Sequence

from tulle_init_container.backend import Backend, choose, find
from tulle_init_container.config import Mode
from tulle_init_container.errors import KernelLacks, NotPermitted
from tulle_init_container.family import Family
from tulle_init_container.network import has_net_admin
from tulle_init_container.render import removal_input, restore_input
from tulle_init_container.rules import Chain

Say = Callable[..., None]


def apply(chains: Sequence[Chain], family: Family, mode: Mode, say: Say) -> Backend:
    """Commit `chains` with the back end that `mode` and the machine suggest, and return that back end.

    Atomic: on an InitError the family's tables are as they were. In mode auto, a back end that the kernel does
    not support gives way to the other. Rules of ours in the other back end are removed after that, so that no
    connection is ever redirected by neither; `say(level, message, **fields)` is told what was used.
    """
    if not has_net_admin():
        raise NotPermitted("this process does not have CAP_NET_ADMIN, so that it cannot change the firewall")
    found = find(family)
    backend = choose(mode, found)
    try:
        backend.restore(restore_input(chains, backend.saved))
    except KernelLacks as lacking:
        others = [other for other in found if other is not backend and other.problem is None]
        if mode != "auto" or not others:
            raise
        say("warning", f"{family.name}: {lacking}; trying {others[0].mode} instead")
        backend = others[0]
        backend.restore(restore_input(chains, backend.saved))
    say("info", f"{family.name} rules are in place", mode=backend.mode, command=backend.command)
    for other in found:
        if other.mode != backend.mode and _remove(other):
            say("info", f"{family.name}: removed older rules of ours from the other back end", mode=other.mode)
    return backend


def remove(family: Family, say: Say) -> int:
    """Take our chains out of every back end that has them; return from how many. Raises InitError."""
    if not has_net_admin():
        raise NotPermitted("this process does not have CAP_NET_ADMIN, so that it cannot change the firewall")
    removed = 0
    for backend in find(family):
        if _remove(backend):
            removed += 1
            say("info", f"{family.name} rules are removed", mode=backend.mode)
    return removed


def _remove(backend: Backend) -> bool:
    rules = removal_input(backend.saved)
    if rules:
        backend.restore(rules)
    return bool(rules)
