"""A lab that has been made to work hard is as before: no descriptor, link, process, file or address is left over."""

import json
import os
import random

import pytest
from lab_runner import config_map, container, deployment, manifest, pod, service

pytestmark = pytest.mark.root


def resources(lab):
    """Everything that could leak, as numbers and names."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent = int(open(f"/proc/{entry}/stat").read().rpartition(")")[2].split()[1])  # noqa: SIM115
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry))
    daemon = min(children[lab.pid])
    links = json.loads(lab.run("exec", "node", "--", "ip", "-json", "link"))
    return {
        "descriptors of PID 1": len(os.listdir(f"/proc/{lab.pid}/fd")),
        "descriptors of the daemon": len(os.listdir(f"/proc/{daemon}/fd")),
        "mounts of the node": len(open(f"/proc/{daemon}/mountinfo").readlines()),
        "children of PID 1": len(children[lab.pid]),
        "links": sorted(link["ifname"] for link in links),
        "volumes": sorted(os.listdir(f"/proc/{daemon}/root/run/tulle/pods")),
        "logs": sorted(str(path) for path in (lab.state / "logs").rglob("*.log")),
        "routes": len(lab.run("exec", "node", "--", "ip", "route").splitlines()),
        "rules": len(lab.run("exec", "node", "--", "iptables-save").splitlines()),
    }


def test_nothing_is_left_of_what_came_and_went(lab, space):
    lab.apply(config_map("c", space, a="b"))
    before = resources(lab)
    app = container(volumeMounts=[{"name": "v", "mountPath": "/v"}, {"name": "e", "mountPath": "/e"}])
    volumes = [{"name": "v", "configMap": {"name": "c"}}, {"name": "e", "emptyDir": {}}]
    sidecar = {**container("sidecar", script="import signal; signal.pause()"), "restartPolicy": "Always"}
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    busy = deployment(
        "busy", space, {**app, "livenessProbe": probe}, volumes=volumes, initContainers=[sidecar], replicas=2
    )
    crash = pod("crash", space, container(script="raise SystemExit(1)"))
    missing = pod("missing", space, {"name": "app", "image": "no/such:1"})
    lab.apply(busy, service("busy", space), crash, missing, wait=False)
    choose = random.Random(7)
    for _ in range(8):  # without waiting for what it leads to
        match choose.choice(["scale", "restart", "delete", "exec"]):
            case "scale":
                lab.run("scale", "deploy/busy", "-n", space, "--replicas", str(choose.randint(0, 5)))
            case "restart":
                lab.run("rollout", "restart", "deploy/busy", "-n", space)
            case "delete":
                for found in lab.pods(space, app="busy")[:1]:
                    lab.run("delete", "pod", found["metadata"]["name"], "-n", space, "--no-wait", "--ignore-not-found")
            case "exec":
                lab.run_raw("exec", "deploy/busy", "-n", space, "--", "true")
    lab.run("scale", "deploy/busy", "-n", space, "--replicas", "3")
    lab.run("rollout", "status", "deploy/busy", "-n", space, "--timeout", "60s")
    assert len([found for found in lab.pods(space, app="busy") if not found["metadata"].get("deletionTimestamp")]) == 3
    lab.run("delete", "-f", "-", stdin=manifest(busy, service("busy", space), crash, missing))
    for found in lab.pods(space):
        lab.run("wait", f"pod/{found['metadata']['name']}", "--for=delete", "-n", space)
    after = resources(lab)
    assert after == before
