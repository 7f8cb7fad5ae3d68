"""Each golden pod through a webhook twice: the patch of what has been patched must change nothing. Prints JSON.

    golden.py FOLDER https://HOST:8443 --ca ca.pem

The reviews, and what sends them, are those of FOLDER/../malformed.py.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import json
import ssl
import sys
import urllib.parse
from pathlib import Path
from typing import Any

import yaml

SERVER_NAME = "tulle-admission-controller.tulle-system.svc"


def load_module(path: Path) -> Any:
    """A module by its file."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module


def applied(document: Any, patch: list[dict[str, Any]]) -> Any:
    """A copy of `document` with the operations of RFC 6902 that a webhook may use: add, replace, remove, test."""
    document = json.loads(json.dumps(document))
    for operation in patch:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        node = document
        for name in parents:
            node = node[int(name)] if isinstance(node, list) else node[name]
        if operation["op"] == "test":
            value = node[int(last)] if isinstance(node, list) else node[last]
            assert value == operation["value"], f"test of {operation['path']} failed"
        elif isinstance(node, list):
            if operation["op"] != "add":
                node.pop(int(last))
            if operation["op"] != "remove":
                node.insert(len(node) if last == "-" else int(last), operation["value"])
        elif operation["op"] == "remove":
            del node[last]
        else:
            node[last] = operation["value"]
    return document


def main() -> None:
    """Ask about every golden pod."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("url")
    parser.add_argument("--ca", required=True)
    options = parser.parse_args()
    reviews = load_module(options.folder.parent / "malformed.py")
    url = urllib.parse.urlsplit(options.url)
    client = reviews.Client(url.hostname, url.port, ssl.create_default_context(cafile=options.ca), SERVER_NAME)

    def patched(pod: Any, namespace: str) -> Any:
        """The pod as the webhook wants it; None where it refuses it."""
        body = reviews.encoded(reviews.pod_review(object=pod, namespace=namespace))
        response = json.loads(client.post("/mutate", body, "application/json")[2])["response"]
        if not response["allowed"]:
            return None
        return applied(pod, json.loads(base64.b64decode(response["patch"]))) if response.get("patch") else pod

    pods = changed = same = 0
    different = []
    for path in sorted(options.folder.glob("*.yaml")):
        if path.name.endswith(".out.yaml"):
            continue
        head, pod = [*yaml.safe_load_all(path.read_text())][:2]
        pods += 1
        namespace = head.get("namespace", "shop") if isinstance(head, dict) else "shop"
        once = patched(pod, namespace)
        if once is None or once == pod:
            continue
        changed += 1
        if patched(once, namespace) == once:
            same += 1
        else:
            different.append(path.name)
    print(json.dumps({"pods": pods, "patched": changed, "same": same, "different": different}))


if __name__ == "__main__":
    main()
