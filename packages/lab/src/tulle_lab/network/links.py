"""Links between the node and its pods: one routed point-to-point veth each, as kind's ptp plug-in makes them.

`node_batch`, `pod_node_batch` and `pod_batch` are pure: lines for `ip -batch`. `apply` runs them. The node routes
between pods, so that its conntrack sees both directions of every connection; the node itself has no default route.

    pod: eth0 10.244.0.5/32, default via 10.244.0.1 ---- veth1a2b3c4d :node: 10.244.0.5 dev veth1a2b3c4d
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import trio

from tulle_lab.errors import LabError
from tulle_lab.network.addresses import NODE_ADDRESSES, SERVICE_RANGES

NODE_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/send_redirects": "0",  # a pod that calls itself through a VIP comes back on its own link
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/icmp_ratelimit": "0",  # refusals are ICMP messages, and each client shall get one at once
    "net/ipv6/icmp/ratelimit": "0",
    "net/ipv6/conf/all/disable_ipv6": "0",  # some machines have it off by default
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/conf/default/accept_dad": "0",  # addresses are ours to give; no need to ask around for a second
    "net/ipv6/conf/default/accept_ra": "0",
}
POD_SYSCTLS = {
    "net/ipv6/conf/all/disable_ipv6": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv4/ip_unprivileged_port_start": "0",  # as containerd has it
    "net/ipv4/ping_group_range": "0 65535",
}

VIP_LINK = "clusterips"


def has_ipv6() -> bool:
    """Whether the kernel has IPv6 switched on."""
    return Path("/proc/sys/net/ipv6/conf/default").exists()


def link_name(uid: str) -> str:
    """The node's end of a pod's link (interface names have at most 15 characters)."""
    return "veth" + uid.replace("-", "")[:10]


def node_batch(ipv6: bool) -> list[str]:
    """The node's own addresses, and a route for ClusterIPs, which a packet needs before iptables can rewrite it.

    The route leads to a link that no packet ever takes. (Not to `lo`: the kernel does not forward there.)
    """
    v4, v6 = NODE_ADDRESSES
    lines = [
        "link set lo up",
        f"addr add {v4}/32 dev lo",
        f"link add {VIP_LINK} type veth peer name {VIP_LINK}-end",
        f"link set {VIP_LINK} up",
        f"link set {VIP_LINK}-end up",
        f"route add {SERVICE_RANGES[0]} dev {VIP_LINK} src {v4}",
    ]
    if ipv6:
        lines += [f"addr add {v6}/128 dev lo nodad", f"route add {SERVICE_RANGES[1]} dev {VIP_LINK} src {v6}"]
    return lines


def pod_node_batch(name: str, netns: str, pod: tuple[str, str], ipv6: bool) -> list[str]:
    """The link, its far end in the pod's namespace `netns` (a path), and the way to the pod."""
    v4, v6 = NODE_ADDRESSES
    lines = [
        f"link add {name} type veth peer name eth0 netns {netns}",
        f"link set {name} up",
        f"route add {pod[0]}/32 dev {name} src {v4}",
    ]
    if ipv6:  # IPv6 answers neighbour solicitations only for addresses of that very link (RFC 4861)
        lines += [f"addr add {v6}/128 dev {name} nodad", f"route add {pod[1]}/128 dev {name}"]
    return lines


def pod_batch(pod: tuple[str, str], ipv6: bool) -> list[str]:
    """Inside the pod: its addresses, and everything by way of the node."""
    v4, v6 = NODE_ADDRESSES
    lines = [
        "link set lo up",
        f"addr add {pod[0]}/32 dev eth0",
        "link set eth0 up",
        f"route add {v4} dev eth0 scope link",
        f"route add default via {v4} dev eth0 src {pod[0]}",
    ]
    if ipv6:
        lines += [
            f"addr add {pod[1]}/128 dev eth0 nodad",
            f"route add {v6} dev eth0",
            f"route add default via {v6} dev eth0",
        ]
    return lines


async def apply(lines: list[str], netns: int | None = None) -> None:
    """Run the lines with `ip -batch`, inside the network namespace `netns` (a descriptor) if given. Raises LabError."""
    command = ["ip", "-batch", "-"]
    if netns is not None:
        command = ["nsenter", f"--net=/proc/self/fd/{netns}", *command]
    result = await trio.run_process(
        command,
        stdin="\n".join(lines).encode() + b"\n",
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        pass_fds=() if netns is None else (netns,),
    )
    if result.returncode:
        raise LabError("the network could not be set up", _reason(result, lines), "tulle check --pre")


def _reason(result: subprocess.CompletedProcess[bytes], lines: list[str]) -> str:
    text = result.stderr.decode(errors="replace").strip()
    return f"{text}\n  " + "\n  ".join(f"ip {line}" for line in lines)
