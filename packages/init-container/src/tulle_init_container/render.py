"""Turns chains into the input of iptables-restore, given what iptables-save printed before. Pure.

`iptables-restore --noflush` commits a table in one transaction: all of it or nothing. Declaring a chain of our
own empties it, and what others have in the table stays. Our jumps stand in chains that are not ours, so the old
ones are taken out by name and new ones put first: applying twice leaves what applying once left.
"""

from collections.abc import Iterator, Sequence

from tulle_init_container.rules import Chain

OWN_PREFIX = "TULLE_"


def restore_input(chains: Sequence[Chain], saved: str = "", *, heading: str = "") -> str:
    """Render the rules with an explanation above each. `saved` is the output of iptables-save, or empty."""
    lines = [f"# {heading}"] if heading else []
    lines.append("*nat")
    # a chain of ours that this version no longer uses is deleted at the end, after nothing points to it
    stale = [name for name in own_chains(saved) if name not in {chain.name for chain in chains}]
    lines += [f":{name} - [0:0]" for name in (*(chain.name for chain in chains), *stale)]
    lines += delete_jumps(saved)
    for chain in chains:
        lines += ["", f"# {chain.hook} -> {chain.name}: {chain.why}",
                  f"-I {chain.hook} 1 -m comment --comment tulle:enter -j {chain.name}"]
        for rule in chain.rules:
            lines += [f"# {rule.why}",
                      f"-A {chain.name} {rule.match} -m comment --comment tulle:{rule.name} -j {rule.target}"]
    lines += ["", *(f"-X {name}" for name in stale), "COMMIT", ""]
    return "\n".join(lines)


def removal_input(saved: str) -> str:
    """Render the input that takes all of our chains and jumps out; the empty text if there are none."""
    names = own_chains(saved)
    if not names:
        return ""
    return "\n".join(["*nat", *(f":{name} - [0:0]" for name in names), *delete_jumps(saved),
                      *(f"-X {name}" for name in names), "COMMIT", ""])


def own_chains(saved: str) -> list[str]:
    """List the chains of ours in the nat table, in the order of iptables-save."""
    return [line[1:].split()[0] for line in nat_lines(saved) if line.startswith(f":{OWN_PREFIX}")]


def delete_jumps(saved: str) -> list[str]:
    """Turn each jump from a chain that is not ours into a chain that is into the line that deletes it."""
    return ["-D" + line[2:] for line in nat_lines(saved)
            if line.startswith("-A ") and not line.startswith(f"-A {OWN_PREFIX}") and f"-j {OWN_PREFIX}" in line]


def nat_lines(saved: str) -> Iterator[str]:
    """Pick the lines of the nat table out of the output of iptables-save."""
    inside = False
    for line in saved.splitlines():
        if line.startswith("*"):
            inside = line == "*nat"
        elif inside:
            yield line
