"""Files and identity of a pod's containers: hosts, resolv.conf, user, groups, capabilities. Pure.

Owns the texts of files that kubelet writes, and the reading of securityContext.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tulle_lab.cluster.objects import Object
from tulle_lab.errors import LabError
from tulle_lab.network.addresses import DNS_ADDRESSES
from tulle_lab.network.names import DOMAIN
from tulle_lab.sandbox.spec import CAPABILITIES, DEFAULT_CAPABILITIES

NSSWITCH = (
    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n"
)
"""Names come from /etc/hosts and DNS only: other sources (nss-resolve, mdns) would ask daemons of the host."""

_HOSTS = """\
# Written by the Tulle lab, as kubelet would.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


class BadIdentity(LabError):
    """The container may not run as the user it asks for (Kubernetes: CreateContainerConfigError)."""


def hostname(pod: Object) -> str:
    """The pod's host name: at most 63 characters, never ending in '-' or '.'."""
    return _short_hostname(pod) if not pod["spec"].get("setHostnameAsFQDN") else qualified_hostname(pod)[:64]


def _short_hostname(pod: Object) -> str:
    name: str = pod["spec"].get("hostname") or pod["metadata"]["name"]
    return name[:63].rstrip("-.")


def qualified_hostname(pod: Object) -> str:
    """The name below a headless Service; without a subdomain, the short one."""
    subdomain = pod["spec"].get("subdomain")
    return (
        f"{_short_hostname(pod)}.{subdomain}.{pod['metadata']['namespace']}.svc.{DOMAIN}"
        if subdomain
        else _short_hostname(pod)
    )


def hosts_file(pod: Object, addresses: Sequence[str]) -> str:
    """/etc/hosts."""
    names = "\t".join(dict.fromkeys((qualified_hostname(pod), _short_hostname(pod))))
    lines = [f"{address}\t{names}" for address in addresses]
    aliases = pod["spec"].get("hostAliases") or []
    lines += [f"{alias['ip']}\t{chr(9).join(alias.get('hostnames') or [])}" for alias in aliases]
    return _HOSTS + "\n".join(lines) + "\n"


def resolver_file(namespace: str, policy: str = "ClusterFirst", extra: Object | None = None) -> str:
    """/etc/resolv.conf for a pod's dnsPolicy and dnsConfig."""
    extra = extra or {}
    servers: list[str] = [] if policy == "None" else [DNS_ADDRESSES[0]]
    searches: list[str] = []
    options: dict[str, str] = {}
    if policy.startswith("ClusterFirst"):
        searches = [f"{namespace}.svc.{DOMAIN}", f"svc.{DOMAIN}", DOMAIN]
        options["ndots"] = "5"
    servers += extra.get("nameservers") or []
    searches += [search for search in extra.get("searches") or [] if search not in searches]
    options |= {option["name"]: option.get("value", "") for option in extra.get("options") or []}
    lines = [f"nameserver {server}" for server in servers]
    if searches:
        lines.append("search " + " ".join(searches))
    if options:
        lines.append("options " + " ".join(f"{name}:{value}" if value else name for name, value in options.items()))
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Identity:
    """As whom a container runs."""

    user: int
    group: int
    groups: tuple[int, ...]
    capabilities: tuple[str, ...]
    no_new_privileges: bool


def identity(container: Object, pod: Object) -> Identity:
    """The container's securityContext over the pod's. Raises BadIdentity."""
    own, shared = container.get("securityContext") or {}, pod["spec"].get("securityContext") or {}
    both = {**shared, **own}
    user = both.get("runAsUser", 0)
    if both.get("runAsNonRoot") and user == 0:
        raise BadIdentity(
            f"container {container['name']} has runAsNonRoot and would run as root",
            fix="give it a securityContext.runAsUser",
        )
    groups = [*([shared["fsGroup"]] if "fsGroup" in shared else []), *(shared.get("supplementalGroups") or [])]
    return Identity(
        user,
        both.get("runAsGroup", 0),
        tuple(groups),
        capabilities(own.get("capabilities") or {}),
        own.get("allowPrivilegeEscalation") is False,
    )


def capabilities(change: Object) -> tuple[str, ...]:
    """The runtime's default set with `drop`, then `add`, applied; ALL stands for every one."""
    drop, add = change.get("drop") or [], change.get("add") or []
    kept = () if "ALL" in drop else tuple(name for name in DEFAULT_CAPABILITIES if name not in drop)
    return CAPABILITIES if "ALL" in add else tuple(dict.fromkeys([*kept, *add]))
