"""What the init container does in a pod: both families are captured, and doing it twice changes nothing."""

from __future__ import annotations

import json
import re
import secrets
import sys
from pathlib import Path
from typing import Any

from tests.acceptance.figure import Figure, Outcome, judged
from tests.acceptance.lab import LabFailed
from tests.acceptance.mesh import CLIENT, NAMESPACE, Mesh

FAMILIES = ("IPv4", "IPv6")
INIT = str(Path(sys.executable).with_name("tulle-init"))


def _families(mesh: Mesh) -> Outcome:
    """By each family: a call to the Service, seen by the client's proxy; to a pod's address, by the server's."""
    mesh.up()
    mesh.apply("dual")
    client, server = mesh.pod("client"), mesh.pods("app-b")[0]
    services = mesh.lab.item("service", "dual", NAMESPACE)["spec"]["clusterIPs"]
    pods = [entry["ip"] for entry in server["status"]["podIPs"]]
    out = {_family(address): _seen(mesh, client, "outbound", address, 80) for address in services}
    into = {_family(address): _seen(mesh, server, "inbound", address, 8080) for address in pods}
    return judged(
        ", ".join(f"{family} out {_yes(out.get(family))}, in {_yes(into.get(family))}" for family in FAMILIES),
        *((bool(out.get(family)), f"{family}: not through the client's proxy") for family in FAMILIES),
        *((bool(into.get(family)), f"{family}: not through the server's proxy") for family in FAMILIES),
    )


def _seen(mesh: Mesh, pod: dict[str, Any], direction: str, address: str, port: int) -> bool:
    """Call that address from the client's pod; whether `pod`'s proxy logged the call, and to that address."""
    path = f"/seen-{secrets.token_hex(4)}"
    host = f"[{address}]" if ":" in address else address
    url = f"http://{host}:{port}{path}"
    mesh.lab.exec(CLIENT, "curl", "-sS", "--fail", "--globoff", "--max-time", "10", url, namespace=NAMESPACE)

    def look() -> bool | None:
        said = mesh.lab.run("logs", pod["metadata"]["name"], "-n", NAMESPACE, "-c", "tulle-proxy", "--tail", "500")
        lines = [json.loads(line) for line in said.splitlines() if f'"{path}"' in line]
        ours = (line for line in lines if line.get("direction") == direction)
        return any(address in str(line.get("destination", "")) for line in ours) or None

    try:
        return mesh.until(look, "the access log", 3)
    except LabFailed:
        return False


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def _yes(captured: bool | None) -> str:
    return "captured" if captured else "NOT captured"


def _twice(mesh: Mesh) -> Outcome:
    """The injected init container's own arguments, once more, in the network namespace of a pod that runs."""
    mesh.up()
    pod = mesh.pods("app-b")[0]
    init = next(item for item in pod["spec"]["initContainers"] if item["name"] == "tulle-init")
    process = str(pod["status"]["containerStatuses"][0]["containerID"]).removeprefix("tulle://")
    enter = ("nsenter", "--target", process, "--net", "--")
    before = _rules(mesh, enter)
    # --no-verify: its trial connections would need the proxy's own port, which the proxy has by now
    mesh.lab.exec("node", *enter, INIT, *init["args"], "--no-verify")
    after = _rules(mesh, enter)
    count = sum(line.startswith("-A") for line in before)
    now = sum(line.startswith("-A") for line in after)
    return judged(
        f"{count} rules before, {now} after, {'the same' if before == after else 'NOT the same'}",
        (count > 0 and any("TULLE" in line for line in before), "there were no rules of Tulle's to begin with"),
        (before == after, f"changed: {sorted(set(before) ^ set(after))[:4]}"),
    )


def _rules(mesh: Mesh, enter: tuple[str, ...]) -> list[str]:
    """All tables of both families, without counters and comments."""
    found = []
    for program in ("iptables-save", "ip6tables-save"):
        said = mesh.lab.exec("node", *enter, program)
        found += [re.sub(r"\[\d+:\d+\]", "", line).strip() for line in said.splitlines() if not line.startswith("#")]
    return found


FIGURES = (
    Figure("ipv4-ipv6", "both captured, out of the client's pod and into the server's", _families),
    Figure("rules-twice", "applying the rules twice changes nothing", _twice),
)
