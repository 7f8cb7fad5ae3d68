"""`python -m tests.acceptance.scale [--kube FILE | --kubeconfig FILE]`: what a large cluster costs the control plane.

Prints JSON. Without either its catalog is a folder of manifests, with 10,000 pods; else a real API server, in which
Services and EndpointSlices are made, without pods, which need kubelets: one of its own (FILE: the cluster kit's
bin/kube.xz, unpacked), or a cluster's, from which they are taken away afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path

import trio

from tests.acceptance.scale.api_server import ApiServer
from tests.acceptance.scale.measure import Source, measure
from tests.acceptance.scale.sources import Cluster, Folder


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.scale", description=__doc__)
    parser.add_argument("--kube", type=Path, help="a program that is etcd and kube-apiserver; both run for as long")
    parser.add_argument("--kubeconfig", help="of a cluster, in which the namespace `scale` is made")
    parser.add_argument("--proxies", type=int, default=1000)
    options = parser.parse_args()
    with contextlib.ExitStack() as opened:
        if options.kube:
            options.kubeconfig = opened.enter_context(ApiServer(options.kube)).kubeconfig
        source: Source = opened.enter_context(Cluster(options.kubeconfig) if options.kubeconfig else Folder())
        print(json.dumps(trio.run(measure, source, options.proxies)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
