"""Images without images: an image's name says which program of this machine the container runs.

Owns the mapping. `tulle/proxy:dev` is the program `tulle-proxy`; `nginx:1.27` is `nginx`. Pure but for looking at PATH.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass

from tulle_lab.cluster.objects import Object
from tulle_lab.errors import LabError


class NoSuchImage(LabError):
    """No program of that name is installed (Kubernetes: ErrImagePull)."""


@dataclass(frozen=True)
class Image:
    """What an image runs: `entrypoint`, and `arguments` unless the manifest has its own."""

    entrypoint: tuple[str, ...]
    arguments: tuple[str, ...] = ()


_KNOWN = {
    # image name, and what its official image would run
    "python": Image((sys.executable,)),
    "nginx": Image(("nginx",), ("-g", "daemon off;")),
    "redis": Image(("redis-server",)),
}


def program_name(image: str) -> str:
    """The program that an image's name stands for: registry, `library`, tag and digest do not count.

    >>> program_name("registry.example:5000/tulle/proxy:dev")
    'tulle-proxy'
    """
    parts = image.split("@", 1)[0].split("/")
    if len(parts) > 1 and ("." in parts[0] or ":" in parts[0] or parts[0] == "localhost"):
        parts = parts[1:]
    parts[-1] = parts[-1].split(":", 1)[0]
    if len(parts) > 1 and parts[0] == "library":
        parts = parts[1:]
    return "-".join(parts)


def search_path() -> str:
    """Where programs are looked for: beside this Python (the virtual environment), PATH, the sbin directories."""
    own = os.path.dirname(sys.executable)
    return ":".join(
        [
            own,
            *_split(os.environ.get("PATH", "")),
            "/usr/local/sbin",
            "/usr/local/bin",
            "/usr/sbin",
            "/usr/bin",
            "/sbin",
            "/bin",
        ]
    )


def _split(path: str) -> list[str]:
    return [part for part in path.split(":") if part.startswith("/")]


def resolve(image: str, path: str) -> Image:
    """The program and arguments of `image`, searched on `path`. Raises NoSuchImage."""
    name = program_name(image)
    known = _KNOWN.get(name, Image((name,)))
    found = shutil.which(known.entrypoint[0], path=path)
    if found is None:
        raise NoSuchImage(
            f"image {image!r} stands for the program {known.entrypoint[0]!r}, and none of that name is installed",
            fix=f"install {known.entrypoint[0]}, or say which program to run with `command:`",
        )
    return Image((found, *known.entrypoint[1:]), known.arguments)


def command_line(container: Object, path: str) -> tuple[str, ...]:
    """The container's program and arguments: `command` and `args` win over the image's, as on Kubernetes."""
    args = tuple(container.get("args") or ())
    if command := container.get("command"):
        return (*command, *args)
    image = resolve(container.get("image", ""), path)
    return (*image.entrypoint, *(args or image.arguments))
