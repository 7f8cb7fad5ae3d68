"""The process metrics that every Prometheus client library gives, under their usual names. Linux only."""

from __future__ import annotations

import os
import time

from tulle_exporter_prometheus.exposition import Page


def write(page: Page) -> None:
    """CPU time, memory and file descriptors of this process; what the system does not tell is left out."""
    page.counter("process_cpu_seconds_total", "User and system CPU time.", [("", time.process_time())])
    try:
        with open("/proc/self/statm", "rb") as statm:
            resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        descriptors = len(os.listdir("/proc/self/fd"))
    except OSError:
        return
    page.gauge("process_resident_memory_bytes", "Resident memory.", [("", resident)])
    page.gauge("process_open_fds", "Open file descriptors.", [("", descriptors)])
