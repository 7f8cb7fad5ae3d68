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
    # TODO
    # 1. A pod may have no initContainers, volumes or annotations: make the empty ones first. Where there are some,
    #    they are somebody else's, and stay.
    # 2. Every volume of `volumes` that the pod does not have (judged by "name") is added.
    # 3. `init` becomes the first of the init containers, `proxy` the second: before the app's own, which so have a
    #    network that works. Each only if no container of its name is there.
    # 4. The annotation ANNOTATION: "lesson" says that it was done.
    return []
