"""Answers that the server breaks off in the middle, as curl and `requests` understand them. Prints JSON.

    cut_short.py HOST [--rounds 5]

Of every framing and every way to break off (answers.py, /cut): whether the client noticed. And the same answers, whole:
there must be nothing to notice. An end that looks orderly is how a body without a length ends, so that is no such way.
"""

from __future__ import annotations

import argparse
import json
import subprocess

import requests

WAYS = (
    # framing, how it ends, is it a whole answer
    ("length", "reset", False),
    ("length", "end", False),
    ("length", "whole", True),
    ("chunked", "reset", False),
    ("chunked", "end", False),
    ("chunked", "whole", True),
    ("close", "reset", False),
    ("close", "whole", True),
)
SIZE = 100_000


def by_curl(url: str) -> tuple[bool, str]:
    """Does it take it for a whole answer; and its own words."""
    done = subprocess.run(
        ["curl", "--disable", "--silent", "--show-error", "--noproxy", "*", "--max-time", "10", "--output", "-", url],
        capture_output=True, timeout=20, check=False,
    )
    whole = done.returncode == 0
    return whole, f"exit {done.returncode}, {len(done.stdout)} bytes"


def by_requests(url: str) -> tuple[bool, str]:
    """As above."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            got = len(session.get(url, timeout=10).content)
        except requests.RequestException as error:
            return False, type(error).__name__
    return True, f"{got} bytes"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = []
    for framing, how, whole in WAYS:
        for name, client in (("curl", by_curl), ("requests", by_requests)):
            for _ in range(options.rounds):
                taken, words = client(f"http://{options.host}/cut?framing={framing}&how={how}")
                right = taken == whole and (not whole or f"{SIZE} bytes" in words)
                rows.append({
                    "client": name, "framing": framing, "how": how, "whole": whole, "right": right, "said": words,
                })
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
