"""`python -m tests.acceptance.scale [--kubeconfig FILE]`: what a large cluster costs the control plane, as JSON.

Without a kubeconfig its catalog is a folder of manifests, with 10,000 pods; with one, a real API server, through which
Services and EndpointSlices are made (and taken away afterwards), without pods, which need kubelets.
"""

from __future__ import annotations

import argparse
import json
import sys

import trio

from tests.acceptance.scale.measure import measure
from tests.acceptance.scale.sources import Cluster, Folder


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.scale", description=__doc__)
    parser.add_argument("--kubeconfig", help="of a cluster, in which the namespace `scale` is made")
    parser.add_argument("--proxies", type=int, default=1000)
    options = parser.parse_args()
    with Cluster(options.kubeconfig) if options.kubeconfig else Folder() as source:
        print(json.dumps(trio.run(measure, source, options.proxies)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
