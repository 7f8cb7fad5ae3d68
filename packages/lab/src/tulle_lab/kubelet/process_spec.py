"""From a container's manifest to the process that PID 1 shall run: command, variables, user, mounts. Pure but for PATH.

Owns the assembly; each part is decided elsewhere (images, environment, identity).
"""

from __future__ import annotations

from pathlib import Path

from tulle_lab.cluster.objects import ZONE, Object, labels_of
from tulle_lab.kubelet import identity, images
from tulle_lab.kubelet.context import Context
from tulle_lab.kubelet.environment import environment, expand_all
from tulle_lab.sandbox.spec import MountSpec, ProcessSpec

ETC = ".etc"
"""Folder in a pod's volume folder that holds hosts, resolv.conf, hostname and nsswitch.conf."""

LOADS_PLUGINS = frozenset({"tulle-proxy", "tulle-control-plane", "tulle-admission-controller"})
"""Programs that find plugins by entry point. An application's Python is left alone."""

ETC_FILES = ("hosts", "resolv.conf", "hostname", "nsswitch.conf")


def process_spec(container: Object, pod: Object, context: Context, volumes: Path) -> ProcessSpec:
    """The container's process. Raises MissingConfig, NoSuchImage or BadIdentity."""
    who = identity.identity(container, pod)
    base = {
        "PATH": context.search_path,
        "HOSTNAME": identity.hostname(pod),
        "HOME": "/root" if who.user == 0 else "/",
    }
    program = images.program_name(container.get("image", ""))
    if program in LOADS_PLUGINS and context.plugins:
        base["PYTHONPATH"] = ":".join(context.plugins)
    if program == "tulle-proxy" and (zone := labels_of(pod).get(ZONE)):
        base["TULLE_ZONE"] = zone
    variables = environment(container, pod, context.config_maps(pod), base)
    command = images.command_line(container, context.search_path)
    return ProcessSpec(
        name=container["name"],
        argv=expand_all(command, variables),
        env=variables,
        cwd=container.get("workingDir", "/"),
        user=who.user,
        group=who.group,
        groups=who.groups,
        capabilities=who.capabilities,
        no_new_privileges=who.no_new_privileges,
        sandbox=pod["metadata"]["uid"],
        hidden=(str(context.state),),
        mounts=(*etc_mounts(volumes / ETC), *_volume_mounts(container, pod, volumes)),
    )


def etc_mounts(folder: Path) -> tuple[MountSpec, ...]:
    """The files that kubelet manages, over those of the machine."""
    return tuple(MountSpec(str(folder / name), f"/etc/{name}", readonly=name != "hosts") for name in ETC_FILES)


def _volume_mounts(container: Object, pod: Object, volumes: Path) -> list[MountSpec]:
    """In the order of their depth, so that a mount within a mount is seen."""
    sources = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
    found = []
    for mount in container.get("volumeMounts") or []:
        volume = sources[mount["name"]]
        base = Path(volume["hostPath"]["path"]) if "hostPath" in volume else volumes / mount["name"]
        source = base / mount["subPath"] if mount.get("subPath") else base
        from_objects = any(name in volume for name in ("configMap", "downwardAPI", "projected"))
        found.append(MountSpec(str(source), mount["mountPath"], bool(mount.get("readOnly")) or from_objects))
    return sorted(found, key=lambda mount: mount.target.rstrip("/").count("/"))
