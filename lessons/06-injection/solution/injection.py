"""The injection: from a pod as somebody wrote it to the JSON Patch that puts the mesh into it. A pure function."""

ANNOTATION = "tulle.dev/injected"


def patch(pod: dict, init: dict, proxy: dict, volumes: list[dict]) -> list[dict]:
    """JSON Patch operations (RFC 6902) for `pod`; an empty list when there is nothing left to do.

    `init` is the container that writes the rules (lesson 3), `proxy` the sidecar, `volumes` what they mount: all three
    are ready to be put in. An operation is such a dict:

        {"op": "add", "path": "/spec/volumes/-", "value": {...}}          at the end of a list that is there
        {"op": "add", "path": "/spec/initContainers/0", "value": {...}}   before the first of a list that is there
        {"op": "add", "path": "/spec/initContainers", "value": []}        a new member; WHERE THERE IS ONE, IT IS REPLACED

    They are applied in order, each to what the ones before it have made. In a path, "/" in a name is written "~1".
    """
    operations: list[dict] = []

    def add(path: str, value: object) -> None:
        operations.append({"op": "add", "path": path, "value": value})

    spec, metadata = pod["spec"], pod["metadata"]
    for member in ("volumes", "initContainers"):
        if member not in spec:
            add(f"/spec/{member}", [])
    if "annotations" not in metadata:
        add("/metadata/annotations", {})
    there = {volume["name"] for volume in spec.get("volumes", [])}
    for volume in volumes:
        if volume["name"] not in there:
            add("/spec/volumes/-", volume)
    names = [container["name"] for container in spec.get("initContainers", [])]
    for place, container in enumerate((init, proxy)):
        if container["name"] not in names:
            add(f"/spec/initContainers/{place}", container)
    if ANNOTATION not in metadata.get("annotations", {}):
        add(f"/metadata/annotations/{ANNOTATION.replace('/', '~1')}", "lesson")
    return operations if any(one["value"] not in ([], {}) for one in operations) else []
