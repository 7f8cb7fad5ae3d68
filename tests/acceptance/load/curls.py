"""One curl, many requests over one kept connection (its URL globbing). Counts strictly; prints JSON.

    curls.py URL [--requests 10000] [--most-seconds 120]

curl quietly opens another connection when a kept one turns out to be dead; so its connections are counted as well, and
more than one is for the caller to judge.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import time
from collections import Counter

MARK = "@@"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--most-seconds", type=float, default=120.0)
    options = parser.parse_args()
    began = time.monotonic()
    done = subprocess.run(
        ["curl", "--disable", "--silent", "--show-error", "--max-time", "10", "--noproxy", "*",
         "--write-out", f"\n{MARK} %{{http_code}} %{{num_connects}} %{{exitcode}}\n",
         f"{options.url}?n=[1-{options.requests}]"],
        capture_output=True, text=True, timeout=options.most_seconds, check=False,
    )
    rows = re.findall(rf"^{MARK} (\d+) (\d+) (\d+)$", done.stdout, re.MULTILINE)
    bad = [(status, code) for status, _, code in rows if (status, code) != ("200", "0")]
    failures = Counter(f"status {status}, curl's exit {code}" for status, code in bad)
    if missing := options.requests - len(rows):
        failures[f"not made (curl exited with {done.returncode}: {done.stderr.strip()[-200:]})"] = missing
    print(json.dumps({
        "requests": options.requests,
        "failed": sum(failures.values()),
        "failures": dict(failures),
        "complete": len(rows) == options.requests,
        "served": Counter(re.findall(r'"pod": ?"([^"]+)"', done.stdout)),
        "connections": sum(int(connects) for _, connects, _ in rows),
        "seconds": round(time.monotonic() - began, 2),
    }))


if __name__ == "__main__":
    main()
